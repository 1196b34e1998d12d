/** Replaces what is between the markers of a page. */
export function fillIn(document: string, name: string, content: string): string {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
  const [from, to] = [document.indexOf(begin), document.indexOf(end)]
  if (from === -1 || to < from) throw new Error(`the page lacks the markers ${begin} and ${end}`)
  return `${document.slice(0, from + begin.length)}\n\n${content}\n\n${document.slice(to)}`
}
