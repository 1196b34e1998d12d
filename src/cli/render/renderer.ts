/**
 * Text in, writes out. On a terminal words wrap, and Markdown is shown in styles. All text is shown when it arrives, except marks that the
 * next character decides about, spaces at the end, and rows of tables, which are shown as a whole. However the text is
 * divided, the terminal shows the same in the end.
 */
import * as Text from "../text.ts"
import {
  type Cell,
  emptyRow,
  flow,
  join,
  paintText,
  redraw,
  type Row,
  type Size,
  type Style,
  toCells,
  toRow
} from "./cells.ts"
import { type Highlighter, makeHighlighters } from "./highlight.ts"
import * as Inline from "./inline.ts"
import * as Lines from "./lines.ts"
import * as Prose from "./prose.ts"
import * as Tables from "./tables.ts"

export interface Renderer {
  /** The writes for more text. */
  readonly add: (text: string) => string
  /** The writes after which something else can be written on a line of its own. */
  readonly pause: () => string
  /** The writes for the end of the text. They end the line. */
  readonly end: () => string
}

export interface Options {
  readonly isMarkdown: boolean
  /** Without styles, the marks of Markdown are text. */
  readonly hasStyles: boolean
  /** Of all the text. */
  readonly style: Style
  /** The size of the terminal at the moment. */
  readonly size: () => Size
}

/** The rest of a longer line of code, in UTF-16 units, has no colours. */
const maxHighlighted = 500

interface Code {
  readonly fence: Lines.Fence
  readonly highlighter: Highlighter | undefined
}

interface Grid {
  readonly lines: ReadonlyArray<string>
  /** The widths no longer change: what is above cannot be drawn again. */
  readonly settled: Tables.Table | undefined
}

/** What is known of the text so far. Its size has a bound. */
interface State {
  readonly options: Options
  readonly parse: Prose.Parse
  readonly highlighterOf: (language: string) => Highlighter | undefined
  size: Size
  /** The rows of the line, or of the table, that can still be drawn again. The cursor is at their end. */
  drawn: ReadonlyArray<Row>
  /** The current line as far as it is not `prose`. */
  line: string
  prose: Prose.Prose | undefined
  /** Whether the current line is code by its indentation. */
  isIndented: boolean
  /** Whether the rest of the current line is written as it is. */
  isAppending: boolean
  code: Code | undefined
  grid: Grid | undefined
  /** What is above the current line. */
  above: "blank" | "item" | "text"
  hasWritten: boolean
}

/** Text as it is, made safe for a terminal. */
export const raw = (isTerminal: boolean): Renderer => {
  const cleaner = Text.makeCleaner(isTerminal)
  return { add: cleaner.add, pause: () => "", end: () => `${cleaner.end()}\n` }
}

export const make = (options: Options): Renderer => {
  const cleaner = Text.makeCleaner(true)
  const state: State = {
    options,
    parse: options.isMarkdown && options.hasStyles ? Inline.parse : Inline.literal,
    highlighterOf: makeHighlighters(),
    size: options.size(),
    drawn: [emptyRow],
    line: "",
    prose: undefined,
    isIndented: false,
    isAppending: false,
    code: undefined,
    grid: undefined,
    above: "blank",
    hasWritten: false
  }
  return {
    add: (text) => resize(state) + add(state, cleaner.add(text)),
    pause: () => resize(state) + pause(state),
    end: () => {
      const rest = resize(state) + add(state, cleaner.end()) + finishLine(state)
      const writes = rest + (state.grid?.lines.length === 1 ? closeGrid(state) : "")
      return state.hasWritten && isAtStart(state) ? writes : `${writes}\n`
    }
  }
}

/** Lines are taken in parts, so that the memory has a bound. */
const slices = /\n|[^\n]{1,1024}/g

const add = (state: State, text: string): string => {
  const parts = text.match(slices) ?? []
  if (parts.length > 0) state.hasWritten = true
  return parts.map((part) => (part === "\n" ? endLine(state) : feed(state, part))).join("")
}

const draw = (state: State, rows: ReadonlyArray<Row>): string => {
  const writes = redraw(state.drawn, rows, state.size)
  state.drawn = rows
  return writes
}

const isAtStart = ({ drawn, isAppending }: State): boolean =>
  !isAppending && drawn.length === 1 && drawn[0]?.cells.length === 0

const breakLine = (state: State): string => {
  state.drawn = [emptyRow]
  state.prose = undefined
  state.line = ""
  state.isIndented = false
  state.isAppending = false
  return "\n"
}

const feed = (state: State, text: string): string => {
  if (state.isAppending) return paintText(text, state.options.style)
  if (state.prose !== undefined) {
    state.prose = { ...state.prose, text: state.prose.text + text }
    return showProse(state, false)
  }
  state.line += text
  return showLine(state, false)
}

/** Shows all of the line that is not shown yet. */
const finishLine = (state: State): string => {
  if (state.isAppending) return ""
  return state.prose === undefined ? showLine(state, true) : showProse(state, true)
}

const endLine = (state: State): string => {
  const writes = finishLine(state)
  // The last row of a table ends when the next line is known.
  if (state.grid === undefined || state.prose !== undefined) return writes + breakLine(state)
  return writes
}

const showLine = (state: State, isEnd: boolean): string => {
  if (state.isIndented) return showCode(state, state.line, isEnd)
  return state.code === undefined ? decide(state, isEnd) : continueCode(state, state.code, isEnd)
}

const showProse = (state: State, isEnd: boolean): string => {
  if (state.prose === undefined) return ""
  const { next, rows, settled } = Prose.show(state.prose, state.parse, state.size, isEnd)
  const writes = draw(state, rows)
  state.drawn = rows.slice(settled)
  state.prose = next
  return writes
}

const beginProse = (state: State, beginning: Lines.Text, isEnd: boolean): string => {
  const style = join(state.options.style, beginning.style)
  state.prose = Prose.begin({ ...beginning, style }, state.line.slice(beginning.length))
  state.line = ""
  return showProse(state, isEnd)
}

/** Begins the line as soon as it is certain what it is. */
const decide = (state: State, isEnd: boolean): string => {
  const { line, options, size } = state
  if (!options.isMarkdown) return beginProse(state, Lines.plain, isEnd)
  const closing = /^ *(?:\||$)/.test(line) && !(isEnd && line.trim() === "") ? "" : closeGrid(state)
  if (state.above === "blank" && /^(?: {4}|\t)[ \t]*\S/.test(line)) {
    state.isIndented = true
    return closing + showCode(state, line, isEnd)
  }
  const { columns } = size
  const { hasStyles } = options
  const beginning = Lines.begin(line, { isComplete: isEnd, columns, hasStyles })
  switch (beginning?.kind) {
    case undefined:
      // A number is the same text, whether it begins an item or not.
      return closing + (/^[ \t]*\d/.test(line) ? draw(state, [toRow(toCells(line))]) : "")
    case "text":
      if (beginning.isItem) state.above = "item"
      else if (state.above !== "item" || /^\S/.test(line)) state.above = line.trim() === "" ? "blank" : "text"
      return closing + beginProse(state, beginning, isEnd)
    case "rule":
      state.above = "blank"
      return closing + showMarks(state, hasStyles ? "─".repeat(Math.min(40, columns)) : line)
    case "row":
      state.above = "text"
      return closing + addRow(state)
    case "fence":
      state.code = {
        fence: beginning.fence,
        highlighter: hasStyles ? state.highlighterOf(beginning.fence.language) : undefined
      }
      return closing + showMarks(state, beginning.text, beginning.margin)
  }
}

/** Marks that are a line of their own. */
const showMarks = (state: State, text: string, margin: ReadonlyArray<Cell> = []): string => {
  const cells = [...margin, ...toCells(text, state.options.hasStyles ? "2" : "")]
  return draw(state, flow(cells, state.size.columns))
}

/** Code does not wrap: the terminal divides its lines, so that it can be copied. */
const showCode = (state: State, text: string, isEnd: boolean): string => {
  const isLong = text.length > maxHighlighted
  const shown = text.slice(0, maxHighlighted)
  const cells = state.code?.highlighter?.read(shown, isEnd || isLong) ?? toCells(shown)
  const writes = draw(state, flow(cells, state.size.columns))
  if (!isLong) return writes
  state.isAppending = true
  return writes + text.slice(maxHighlighted)
}

const continueCode = (state: State, { fence }: Code, isEnd: boolean): string => {
  const text = Lines.readCodeLine(state.line, fence)
  if (text === undefined) {
    if (!isEnd && state.line.trim() === "") return ""
    state.code = undefined
    return decide(state, isEnd)
  }
  if (!Lines.endsCode(text, fence, isEnd)) return showCode(state, text, isEnd)
  if (!isEnd) return ""
  state.code = undefined
  state.above = "text"
  return showMarks(state, text.trim())
}

const addRow = (state: State): string => {
  const row = state.line
  const { grid } = state
  state.line = ""
  if (grid?.settled !== undefined) {
    const base = isAtStart(state) ? [] : state.drawn
    const writes = draw(state, [...base, ...Tables.layoutLine(row, grid.settled, state.parse, state.options.hasStyles)])
    state.drawn = state.drawn.slice(-1)
    return writes
  }
  const lines = [...(grid?.lines ?? []), row]
  if (lines.length !== 2 || Tables.isDelimiter(row)) {
    state.grid = { lines, settled: undefined }
    return lines.length === 1 ? "" : showGrid(state, lines)
  }
  const writes = flushRows(state, lines.slice(0, 1))
  state.grid = { lines: [row], settled: undefined }
  return writes
}

/** Draws all of a table again, as long as the screen has room for it. */
const showGrid = (state: State, lines: ReadonlyArray<string>): string => {
  const table = Tables.read(lines, state.size.columns, state.parse, state.options.hasStyles)
  if (table === undefined) {
    state.grid = undefined
    return flushRows(state, lines)
  }
  const rows = Tables.layout(table, state.options.hasStyles)
  const writes = draw(state, rows)
  if (rows.length < state.size.rows - 1) return writes
  state.grid = { lines, settled: table }
  state.drawn = rows.slice(-1)
  return writes
}

/** Rows that are no table are text. */
const flushRows = (state: State, lines: ReadonlyArray<string>): string =>
  lines
    .map((line) => {
      state.line = line
      return beginProse(state, Lines.plain, true) + breakLine(state)
    })
    .join("")

const closeGrid = (state: State): string => {
  const { grid, line } = state
  if (grid === undefined) return ""
  state.grid = undefined
  const isTable = grid.lines.length > 1
  const writes = isTable ? (isAtStart(state) ? "" : breakLine(state)) : flushRows(state, grid.lines)
  state.line = line
  return writes
}

/** Something else is written below. A line of text goes on in the row after that, and a line of code without colours. */
const pause = (state: State): string => {
  const writes = finishLine(state) + (state.grid === undefined ? "" : closeGrid(state))
  const ending = isAtStart(state) ? "" : "\n"
  const { prose } = state
  if (prose !== undefined) state.prose = { ...prose, head: prose.continuation, text: "", before: " " }
  else if (state.line !== "") state.isAppending = state.code !== undefined || state.isIndented
  state.drawn = [emptyRow]
  if (!state.isAppending) state.line = ""
  return writes + ending
}

/** If the terminal has moved the text, the cursor is where it is not known, and what is shown stays as it is. */
const resize = (state: State): string => {
  const size = state.options.size()
  const { drawn, prose } = state
  const isSame = size.columns === state.size.columns && size.rows === state.size.rows
  state.size = size
  if (isSame || drawn.every(({ continues, width }) => width <= size.columns && !continues)) return ""
  const isInRow = (drawn.at(-1)?.width ?? 0) <= size.columns
  if (prose !== undefined) {
    state.prose = Prose.resume(prose, drawn, isInRow, state.parse, size)
    state.drawn = isInRow ? drawn.slice(-1) : [emptyRow]
    return isInRow ? "" : "\n"
  }
  if (state.grid === undefined) {
    state.isAppending = state.line !== ""
    return ""
  }
  const settled = Tables.read(state.grid.lines, size.columns, state.parse, state.options.hasStyles)
  state.grid = settled === undefined ? undefined : { ...state.grid, settled }
  state.drawn = [emptyRow]
  return "\n"
}
