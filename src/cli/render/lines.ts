/** How a line of Markdown begins. */
import { type Cell, join, type Style, toCells } from "./cells.ts"

export interface Fence {
  /** The mark that ends the code, such as three backticks. More of them do too. */
  readonly mark: string
  /** So many spaces at the begin of each line are no part of the code. */
  readonly indent: number
  readonly isQuoted: boolean
  readonly language: string
}

export interface Text {
  readonly kind: "text"
  /** How much of the line is its margin. */
  readonly length: number
  readonly margin: ReadonlyArray<Cell>
  /** The margin of the rows below. */
  readonly continuation: ReadonlyArray<Cell>
  readonly style: Style
  readonly isItem: boolean
}

export type Beginning =
  | Text
  | { readonly kind: "fence"; readonly fence: Fence; readonly margin: ReadonlyArray<Cell>; readonly text: string }
  | { readonly kind: "rule" }
  /** Of a table. */
  | { readonly kind: "row" }

export interface Options {
  /** Whether the line ends here. */
  readonly isComplete: boolean
  readonly columns: number
  readonly hasStyles: boolean
}

/** Lines that are not decided by then, in UTF-16 units, are text. Rows of tables are longer. */
const maxLength = 200
export const maxRowLength = 4000

const markStyle = "36"
const barStyle = "2"

const fencePattern = /^ *(`{3,}|~{3,})(.*)$/s
const rulePattern = /^ {0,3}([-*_])(?: *\1)* *$/
const headingPattern = /^ {0,3}(#{1,6})[ \t]+(?=\S)/
const quotePattern = /^( {0,3})(>)( ?)/
const itemPattern = /^([ \t]*)([-*+]|\d{1,9}[.)])([ \t]{1,4})(?=\S)/
/** What may become one of them with more text. */
const openPattern = /^[ \t]*(?:[-*+][ \t]*|\d{1,9}[.)]?[ \t]*|#{1,6}[ \t]*|`{1,2}|~{1,2})?$/

/** `undefined` if the text so far may be the begin of several things. */
export const begin = (line: string, options: Options): Beginning | undefined => {
  if (/^ *\|/.test(line) && line.length <= maxRowLength) return options.isComplete ? { kind: "row" } : undefined
  const isTooLong = line.length > maxLength
  const { isComplete } = options
  const [, mark] = rulePattern.exec(line) ?? []
  if (mark !== undefined && !isTooLong) {
    if (!isComplete) return undefined
    if (line.split(mark).length > 3) return { kind: "rule" }
  }
  const margins = readMargins(line, options)
  const rest = line.slice(margins.length)
  const [fenced, fence = "", info = ""] = fencePattern.exec(rest) ?? []
  if (fenced !== undefined && !isTooLong && !(fence.startsWith("`") && info.includes("`"))) {
    if (!isComplete) return undefined
    const indent = /^ */.exec(fenced)?.[0].length ?? 0
    return {
      kind: "fence",
      margin: margins.margin,
      text: fenced.trim(),
      fence: {
        mark: fence,
        indent: (margins.isQuoted ? 0 : margins.length) + indent,
        isQuoted: margins.isQuoted,
        language: /^\s*\{?\.?([\w+#.-]*)/.exec(info)?.[1]?.toLowerCase() ?? ""
      }
    }
  }
  if (!isComplete && !isTooLong && openPattern.test(rest)) return undefined
  return toText(line, margins, options)
}

/** A line that has no margin. */
export const plain: Text = { kind: "text", length: 0, margin: [], continuation: [], style: "", isItem: false }

interface Margins {
  readonly length: number
  readonly margin: ReadonlyArray<Cell>
  readonly continuation: ReadonlyArray<Cell>
  readonly isQuoted: boolean
  readonly isItem: boolean
}

/** The marks of quotes and of items of lists, one inside the other. */
const readMargins = (line: string, { hasStyles }: Options): Margins => {
  const margin: Array<Cell> = []
  const continuation: Array<Cell> = []
  let length = 0
  let isQuoted = false
  let isItem = false
  for (;;) {
    const rest = line.slice(length)
    const quote = isItem ? null : quotePattern.exec(rest)
    const [found, indent = "", mark = "", space = ""] = quote ?? itemPattern.exec(rest) ?? []
    if (found === undefined) return { length, margin, continuation, isQuoted, isItem }
    length += found.length
    const shown = hasStyles ? (quote !== null ? "│" : /^[-*+]$/.test(mark) ? "•" : mark) : mark
    const spaces = toCells(indent.replaceAll("\t", "    "))
    // A number looks the same before it is known that it begins an item.
    const style = quote !== null ? barStyle : shown === "•" ? markStyle : ""
    const marks = toCells(shown, hasStyles ? style : "")
    const gap = toCells(quote === null ? space.replaceAll("\t", " ") : " ")
    margin.push(...spaces, ...marks, ...gap)
    continuation.push(...spaces, ...(quote === null ? marks.map(() => blank) : marks), ...gap)
    if (quote === null) isItem = true
    else isQuoted = true
  }
}

const blank: Cell = { text: " ", width: 1, style: "", at: 0, isInside: false }

/** Rows below begin where the text of the first one does, unless little room is left there. */
const toText = (line: string, margins: Margins, { columns, hasStyles }: Options): Text => {
  const rest = line.slice(margins.length)
  const [heading, level = ""] = (hasStyles ? headingPattern.exec(rest) : undefined) ?? []
  const spaces = heading === undefined ? (/^[ \t]*/.exec(rest)?.[0] ?? "") : ""
  const indent = toCells(spaces.replaceAll("\t", "    "))
  const continuation = [...margins.continuation, ...indent]
  return {
    kind: "text",
    length: margins.length + (heading ?? spaces).length,
    margin: [...margins.margin, ...indent],
    continuation: continuation.length > columns / 2 ? [] : continuation,
    style: level === "" ? "" : join("1", level === "#" ? "4" : ""),
    isItem: margins.isItem
  }
}

/** A line of code without what is in front of all of its lines. `undefined` if the text ends here. */
export const readCodeLine = (line: string, { indent, isQuoted }: Fence): string | undefined => {
  const [quote] = isQuoted ? (/^ {0,3}> ?/.exec(line) ?? []) : [""]
  if (quote === undefined) return undefined
  const code = line.slice(quote.length)
  const spaces = /^ */.exec(code)?.[0].length ?? 0
  return code.slice(Math.min(indent, spaces))
}

/** Whether a line of code, or what it may become, ends the code. */
export const endsCode = (code: string, { mark }: Fence, isComplete: boolean): boolean => {
  const text = code.trim()
  const isMark = text !== "" && text === mark.slice(0, 1).repeat(text.length)
  return isMark && (!isComplete || text.length >= mark.length)
}
