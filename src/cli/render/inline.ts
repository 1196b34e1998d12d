/** The Markdown within a line: emphasis, code and links. */
import { join, type Cell, type Style, toCells } from "./cells.ts"

export interface Options {
  /** The character before the text. */
  readonly before: string
  /** Whether the line ends with the text. */
  readonly isEnd: boolean
  /** The largest distance of two marks that belong together. */
  readonly limit: number
  /** Of all the text. */
  readonly style: Style
}

export interface Parsed {
  readonly cells: ReadonlyArray<Cell>
  /** Where the text begins whose cells may change with more text. */
  readonly pending: number
  /** Where the text begins that has no cells yet. */
  readonly held: number
}

interface Token {
  text: string
  readonly at: number
  style: Style
  isInside: boolean
}

/** Marks whose closing marks have not come yet. */
interface Opener {
  readonly mark: string
  count: number
  readonly token: number
  readonly at: number
}

interface Scan extends Options {
  readonly text: string
  readonly tokens: Array<Token>
  openers: Array<Opener>
  pending: number
  held: number
}

const codeStyle = "36"
const linkStyle = "4"
const addressStyle = "2"

/**
 * A mark that opens something is not shown, and what follows has its style from the start, so that nothing changes when the closing mark
 * arrives. If that does not come within the line or the limit, the mark is text. A mark at the end of the text is not
 * shown before the next character decides about it.
 */
export const parse = (text: string, options: Options): Parsed => {
  const scan: Scan = { ...options, text, tokens: [], openers: [], pending: text.length, held: text.length }
  for (let at = 0; at < text.length;) at = step(scan, at)
  finish(scan)
  return {
    cells: scan.tokens.flatMap(({ at, isInside, style, text }) =>
      text === "" ? [{ text, width: 0, style, at, isInside }] : toCells(text, style, at, isInside)
    ),
    pending: scan.pending,
    held: scan.held
  }
}

/** The text as it is. */
export const literal = (text: string, { style }: Options): Parsed => ({
  cells: toCells(text, style),
  pending: text.length,
  held: text.length
})

/** Reads what is at a place, and returns where the next one is. */
const step = (scan: Scan, at: number): number => {
  switch (scan.text[at]) {
    case "\\":
      return readEscape(scan, at)
    case "`":
      return readCode(scan, at)
    case "*":
    case "_":
    case "~":
      return readMarks(scan, at)
    case "[":
    case "!":
      return readLink(scan, at)
    default: {
      const [run = ""] = match(/[^\\`*_~[!]+/y, scan.text, at) ?? []
      return add(scan, run, at)
    }
  }
}

const match = (pattern: RegExp, text: string, at: number): RegExpExecArray | null => {
  pattern.lastIndex = at
  return pattern.exec(text)
}

const add = (scan: Scan, text: string, at: number, length = text.length): number => {
  scan.tokens.push({ text, at, style: scan.style, isInside: false })
  return at + length
}

/** Nothing of the text from here on is shown yet. */
const hold = (scan: Scan, at: number): number => {
  scan.pending = Math.min(scan.pending, at)
  scan.held = at
  return scan.text.length
}

const isExpired = ({ isEnd, limit, text }: Scan, at: number): boolean => isEnd || text.length - at > limit

/** Parentheses and brackets keep their backslashes, since those are marks of formulas. */
const readEscape = (scan: Scan, at: number): number => {
  const next = scan.text[at + 1]
  if (next === undefined) return scan.isEnd ? add(scan, "\\", at) : hold(scan, at)
  if (/[()[\]]/.test(next)) return add(scan, `\\${next}`, at)
  return /[!-/:-@[-`{-~]/.test(next) ? add(scan, next, at, 2) : add(scan, "\\", at)
}

const readCode = (scan: Scan, at: number): number => {
  const { limit, text } = scan
  const [run = ""] = match(/`+/y, text, at) ?? []
  const start = at + run.length
  if (start === text.length && !scan.isEnd) return hold(scan, at)
  const closing = findRun(text.slice(0, at + limit), run.length, start)
  const isClosed = closing !== -1
  if (!isClosed && isExpired(scan, at)) return add(scan, run, at)
  const end = isClosed ? closing : text.length - (/`*$/.exec(text)?.[0].length ?? 0)
  if (end + run.length >= text.length) scan.pending = Math.min(scan.pending, at)
  const content = text.slice(start, end)
  const isPadded = /^ (.*[^ ].*) $/.test(content) || (!isClosed && content.startsWith(" "))
  const code = isPadded ? content.slice(1, isClosed ? -1 : undefined) : content
  const style = join(scan.style, codeStyle)
  scan.tokens.push({ text: "", at, style, isInside: false })
  if (code !== "") scan.tokens.push({ text: code, at: start + (isPadded ? 1 : 0), style, isInside: true })
  return isClosed ? end + run.length : text.length
}

/** Where a run of exactly so many backticks begins. */
const findRun = (text: string, length: number, from: number): number => {
  for (const { 0: run, index } of text.slice(from).matchAll(/`+/g)) if (run.length === length) return from + index
  return -1
}

/** Letters and digits of scripts that have spaces between words. */
const isAlphanumeric = (text: string): boolean =>
  /^(?![\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}])[\p{L}\p{N}]/u.test(text)

/** A product such as `2*3` and names such as `__init__` have no marks. */
const readMarks = (scan: Scan, at: number): number => {
  const { text } = scan
  const [run = ""] = match(/\*+|_+|~+/y, text, at) ?? []
  const mark = run.slice(0, 1)
  const end = at + run.length
  if (end === text.length && !scan.isEnd) {
    for (const opener of scan.openers) scan.pending = Math.min(scan.pending, opener.at)
    return hold(scan, at)
  }
  const isMark = mark === "*" ? run.length <= 3 : run.length === (mark === "_" ? 1 : 2)
  if (!isMark) return add(scan, run, at)
  const before = text[at - 1] ?? scan.before
  const after = text[end] ?? " "
  const isNarrow = mark !== "~" && run.length === 1
  const mayClose = /\S/.test(before) && !(isNarrow && isAlphanumeric(after))
  const mayOpen = /[^\s,.;:?)\]}]/.test(after) && !isAlphanumeric(before)
  const rest = mayClose ? close(scan, mark, run.length, at) : run.length
  const token = scan.tokens.length
  add(scan, mark.repeat(rest), at)
  if (rest < run.length) for (const each of scan.tokens.slice(-1)) each.isInside = true
  if (rest > 0 && mayOpen) open(scan, { mark, count: rest, token, at })
  return end
}

/** Emphasis is not nested deeper. */
const maxOpeners = 6

const open = (scan: Scan, opener: Opener): void => {
  scan.openers = scan.openers.filter(({ at }) => opener.at - at <= scan.limit)
  if (scan.openers.length < maxOpeners) scan.openers.push(opener)
}

const styles: Readonly<Record<string, readonly [Style, Style]>> = { "*": ["3", "1"], _: ["3", "1"], "~": ["9", "9"] }

/** Closes what such marks have opened. Returns how many of them are left. */
const close = (scan: Scan, mark: string, count: number, at: number): number => {
  let rest = count
  for (let index = scan.openers.length - 1; index >= 0 && rest > 0; index--) {
    const opener = scan.openers[index]
    if (opener === undefined || opener.mark !== mark || at - opener.at > scan.limit) continue
    if (opener.count !== rest && opener.count !== 3 && rest !== 3) continue
    const used = Math.min(opener.count, rest)
    applyTo(scan, opener, used)
    rest -= used
    opener.count -= used
    scan.openers = scan.openers.slice(0, opener.count > 0 ? index + 1 : index)
  }
  return rest
}

/** Hides marks of the opener, and gives their style to what follows. */
const applyTo = (scan: Scan, opener: Opener, used: number): void => {
  const [single = "", double = ""] = styles[opener.mark] ?? []
  const style = used === 3 ? join(double, single) : used === 2 ? double : single
  for (const [index, token] of scan.tokens.entries()) {
    if (index === opener.token) token.text = token.text.slice(used)
    if (index <= opener.token) continue
    token.style = join(token.style, style)
    token.isInside = true
  }
}

const link =
  /!?\[((?:[^[\]\\]|\\.|\[[^[\]]*\])*)\]\(\s*<?((?:[^\s()<>]|\([^\s()]*\))*)>?(?:\s+(?:"[^"]*"|'[^']*'))?\s*\)/y

/** What may become a link with more text. */
const beginOfLink = /!?(?:\[(?:[^[\]\\]|\\.|\[[^[\]]*\])*(?:\](?:\([^)]*)?)?)?$/y

const readLink = (scan: Scan, at: number): number => {
  const { text } = scan
  const part = text.slice(0, at + scan.limit)
  const found = match(link, part, at)
  if (found === null) {
    if (match(beginOfLink, part, at) !== null && !isExpired(scan, at)) scan.pending = Math.min(scan.pending, at)
    return add(scan, text[at] ?? "", at)
  }
  const [source, label = "", address = ""] = found
  const end = at + source.length
  const style = join(scan.style, linkStyle)
  const isAddress = label === address || address === `mailto:${label}` || label === ""
  scan.tokens.push({ text: "", at, style, isInside: false })
  const parsed = parse(isAddress ? address : label, { ...scan, isEnd: true, style, before: "[" })
  for (const cell of parsed.cells) scan.tokens.push({ text: cell.text, at, style: cell.style, isInside: true })
  const shown = isAddress || address === "" ? "" : ` (${address})`
  if (shown !== "") scan.tokens.push({ text: shown, at, style: join(scan.style, addressStyle), isInside: true })
  return end
}

/** What is still open is styled for now, or is text. Underscores are styled only once they are closed. */
const finish = (scan: Scan): void => {
  for (const opener of scan.openers) {
    if (isExpired(scan, opener.at)) continue
    scan.pending = Math.min(scan.pending, opener.at)
    if (opener.mark !== "_") applyTo(scan, opener, opener.count)
  }
}
