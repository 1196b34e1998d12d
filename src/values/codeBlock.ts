/** JSON in a code block of Markdown. */
import * as Json from "./json.ts"

const fence = /`{3,}|~{3,}/

/** The JSON in a code block of Markdown, on one line or several. Models often write one, some with text around it. */
export const withoutFence = (text: string): string => {
  const opening = fence.exec(text)
  if (opening === null || isJson(text)) return text
  const [mark] = opening
  const rest = text.slice(opening.index + mark.length)
  // The block may contain the mark in a text, more text may follow with another block, and the end of the block may be missing.
  const blocks = [rest.lastIndexOf(mark), rest.indexOf(mark), rest.length]
    .filter((end) => end !== -1)
    .map((end) => rest.slice(0, end))
  return blocks.flatMap(contentsOf).find(isJson)?.trim() ?? text
}

/** What may be the content of a block: all of it, or what follows its language, or its first line. */
const contentsOf = (block: string): ReadonlyArray<string> => [
  block,
  block.replace(/^[^\s{["]+/, ""),
  block.slice(block.indexOf("\n") + 1)
]

const isJson = (text: string): boolean => Json.parse(text) !== undefined
