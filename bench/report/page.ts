/** Replaces what is between the markers of a page. */
export function fillIn(document: string, name: string, content: string): string {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
  const [from, to] = [document.indexOf(begin), document.indexOf(end)]
  if (from === -1 || to < from) throw new Error(`the page lacks the markers ${begin} and ${end}`)
  return `${document.slice(0, from + begin.length)}\n\n${content}\n\n${document.slice(to)}`
}

/** A heading and rows of cells, padded in the way of the formatter of this repository. */
export function table([heading = [], ...lines]: ReadonlyArray<ReadonlyArray<string>>): string {
  const widths = heading.map((_, column) => Math.max(3, ...[heading, ...lines].map((row) => row[column]?.length ?? 0)))
  const rule = widths.map((width) => "-".repeat(width))
  const padded = [heading, rule, ...lines].map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)))
  return padded.map((row) => `| ${row.join(" | ")} |`).join("\n")
}

export function formatNumber(value: number, digits: number): string {
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })
}
