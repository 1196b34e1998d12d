/**
 * Lines that differ only in their text. A server repeats the same JSON around each text of a response, so one such line is parsed and
 * checked as a whole, and of the lines that repeat it only the text is parsed.
 */
import type { ContentChunk } from "../StreamingChunk.ts"
import * as Json from "../values/json.ts"

/** What a line adds to a response if it adds a single text. */
export interface Text {
  readonly kind: "content" | "thinking"
  readonly text: string
}

export const toChunk = ({ kind, text }: Text): ContentChunk =>
  kind === "content" ? { content: text, isFinal: false } : { content: "", isFinal: false, thinking: text }

export interface TextLines {
  /** The text of a line that repeats the learned one with another text. `undefined`: the line has to be parsed as a whole. */
  readonly read: (line: string) => Text | undefined
  /** Learns a line that adds this text and nothing else. */
  readonly learn: (line: string, text: Text) => void
  /** To be called for every other line: the metadata of the learned one are not the latest any more. */
  readonly forget: () => void
}

/** What is around the text. In a line with a time, `before` ends where the time begins, and `between` is what follows it. */
interface Template {
  readonly kind: Text["kind"]
  readonly before: string
  readonly between: string
  readonly after: string
}

/** After so many templates that no line repeated, the lines of a response are taken to differ in more than their text. */
const maxUnused = 3
const maxLength = 4096
/** A time has no escapes, and a control character is not JSON. */
const time = /^[\w:.+-]*$/

/** `findText` parses and checks a line. `timeField` is the beginning of the field with the time of a line, which is not read. */
export const make = (findText: (line: string) => Text | undefined, timeField?: string): TextLines => {
  let template: Template | undefined
  let unused = 0

  return {
    read: (line) => {
      const text = template && readText(line, template)
      if (template === undefined || text === undefined) return undefined
      unused = 0
      return { kind: template.kind, text }
    },
    learn: (line, text) => {
      // Also if this line is not learned, the metadata of the one before are not the latest any more.
      template = undefined
      if (unused === maxUnused || line.length > maxLength) return
      unused++
      template = findTemplate(line, text, timeField, findText)
    },
    forget: () => {
      template = undefined
    }
  }
}

/** Another JSON text in its place changes nothing else in a line. */
const readText = (line: string, { after, before, between }: Template): string | undefined => {
  if (line.slice(0, before.length) !== before) return undefined
  let start = before.length
  if (between !== "") {
    const timeEnd = line.indexOf('"', start)
    if (!time.test(line.slice(start, timeEnd))) return undefined
    start = timeEnd + between.length
    if (line.slice(timeEnd, start) !== between) return undefined
  }
  const end = line.length - after.length
  if (end <= start || line.slice(end) !== after) return undefined
  return Json.toText(Json.parse(line.slice(start - 1, end + 1)))
}

const findTemplate = (
  line: string,
  { kind, text }: Text,
  timeField: string | undefined,
  findText: (line: string) => Text | undefined
): Template | undefined => {
  const quoted = JSON.stringify(text)
  const start = line.indexOf(quoted) + 1
  // Not found, or the same text in another field too.
  if (start === 0 || line.lastIndexOf(quoted) + 1 !== start) return undefined
  const field = timeField === undefined ? -1 : line.lastIndexOf(timeField, start)
  const timeStart = timeField === undefined || field === -1 ? start : field + timeField.length
  const timeEnd = timeStart === start ? start : line.indexOf('"', timeStart)
  // Another text, and no time, prove that the places are those of the text and the time.
  const other = text === "x" ? "y" : "x"
  const changed = line.slice(0, timeStart) + line.slice(timeEnd, start) + other + line.slice(start + quoted.length - 2)
  const found = findText(changed)
  if (found?.text !== other || found.kind !== kind) return undefined
  // Slices of the changed line: those of the line would keep the block in memory that it came in.
  const place = timeStart + start - timeEnd
  return {
    kind,
    before: changed.slice(0, timeStart),
    between: changed.slice(timeStart, place),
    after: changed.slice(place + 1)
  }
}
