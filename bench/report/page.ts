import { readFileSync, writeFileSync } from "node:fs"

/** Replaces what is between markers, each in the page that has them. */
export function rewrite(pages: ReadonlyArray<URL>, contents: Readonly<Record<string, string>>): void {
  const texts = pages.map((page) => ({ page, text: readFileSync(page, "utf8") }))
  for (const [name, content] of Object.entries(contents)) {
    const entry = texts.find(({ text }) => text.includes(`<!-- ${name} -->`))
    if (entry === undefined) throw new Error(`no page has the marker <!-- ${name} -->`)
    entry.text = fillIn(entry.text, name, content)
  }
  for (const { page, text } of texts) writeFileSync(page, text)
}

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
