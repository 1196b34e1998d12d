/** What an emulated terminal shows. */
import { Unicode11Addon } from "@xterm/addon-unicode11"
import xterm from "@xterm/headless"
import * as Effect from "effect/Effect"

export interface Options {
  readonly columns: number
  readonly rows?: number
  /** Whether emoji have two columns each, as in newer terminals. Default: one. */
  readonly hasWideEmoji?: boolean
}

export interface Screen {
  readonly write: (text: string) => Effect.Effect<void>
  readonly resize: (columns: number, rows?: number) => Effect.Effect<void>
  /** The rows, also those that have left the screen, without the empty ones at the end. */
  readonly rows: Effect.Effect<ReadonlyArray<string>>
  /** The same, with the rows that the terminal itself has divided in one, as they are copied. */
  readonly lines: Effect.Effect<ReadonlyArray<string>>
  /** The rows with a letter for each bold, italic, dim or coloured character. */
  readonly styles: Effect.Effect<ReadonlyArray<string>>
}

export const make = ({ columns, hasWideEmoji = false, rows = 24 }: Options): Screen => {
  const terminal = new xterm.Terminal({
    cols: columns,
    rows,
    allowProposedApi: true,
    convertEol: true,
    scrollback: 1000,
    reflowCursorLine: true
  })
  if (hasWideEmoji) {
    terminal.loadAddon(new Unicode11Addon())
    terminal.unicode.activeVersion = "11"
  }
  const read = <A>(readLine: (line: xterm.IBufferLine) => A): ReadonlyArray<A> =>
    Array.from({ length: terminal.buffer.active.length }, (_, index) => terminal.buffer.active.getLine(index)).flatMap(
      (line) => (line === undefined ? [] : [readLine(line)])
    )
  const readText = Effect.sync(() =>
    read((line) => ({ text: line.translateToString(true), isWrapped: line.isWrapped }))
  )
  return {
    write: (text) => Effect.callback((resume) => terminal.write(text, () => resume(Effect.void))),
    resize: (columns, newRows = terminal.rows) => Effect.sync(() => terminal.resize(columns, newRows)),
    rows: Effect.map(readText, (lines) => trimEnd(lines.map(({ text }) => text))),
    lines: Effect.map(readText, (lines) => {
      const text = lines.map(({ isWrapped, text }) => `${isWrapped ? "" : "\n"}${text}`).join("")
      return trimEnd(text.slice(1).split("\n"))
    }),
    styles: Effect.sync(() => trimEnd(read((line) => readStyles(line, terminal.cols).trimEnd())))
  }
}

const trimEnd = (lines: ReadonlyArray<string>): ReadonlyArray<string> =>
  lines.slice(0, lines.findLastIndex((line) => line !== "") + 1)

const readStyles = (line: xterm.IBufferLine, columns: number): string =>
  Array.from({ length: columns }, (_, column) => {
    const cell = line.getCell(column)
    if (cell === undefined || cell.getChars().trim() === "") return " "
    if (cell.isFgPalette()) return String(cell.getFgColor())
    return cell.isBold() ? "b" : cell.isItalic() ? "i" : cell.isDim() ? "d" : cell.isUnderline() ? "u" : "."
  }).join("")
