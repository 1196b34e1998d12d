/** What a terminal shows after each output: rows of text in runs of one style. */
import xterm from "@xterm/headless"
import type { Output } from "./terminal.ts"

export interface Run {
  readonly column: number
  readonly width: number
  readonly text: string
  /** Classes such as `dim` and `color2`. */
  readonly style: ReadonlyArray<string>
}

export interface Frame {
  readonly time: number
  readonly rows: ReadonlyArray<ReadonlyArray<Run>>
  readonly cursor: { readonly column: number; readonly row: number }
}

/** The eye does not tell apart what follows within this time, in milliseconds. */
const shortestFrame = 40

export const play = async (
  outputs: ReadonlyArray<Output>,
  size: { readonly columns: number; readonly rows: number }
): Promise<ReadonlyArray<Frame>> => {
  const terminal = new xterm.Terminal({ cols: size.columns, rows: size.rows, allowProposedApi: true })
  const frames: Array<Frame> = []
  for (const [i, { text, time }] of outputs.entries()) {
    await new Promise<void>((resolve) => terminal.write(text, resolve))
    const next = outputs[i + 1]?.time ?? Infinity
    if (next - time < shortestFrame && next - (frames.at(-1)?.time ?? 0) < shortestFrame) continue
    frames.push(read(terminal, time))
  }
  terminal.dispose()
  return frames
}

const read = (terminal: xterm.Terminal, time: number): Frame => {
  const { cursorX, cursorY, viewportY } = terminal.buffer.active
  if (viewportY > 0) throw new Error("the recording does not fit on the screen; give it more rows")
  return {
    time,
    rows: Array.from({ length: terminal.rows }, (_, row) => readRow(terminal, row)),
    cursor: { column: cursorX, row: cursorY }
  }
}

const readRow = (terminal: xterm.Terminal, row: number): ReadonlyArray<Run> => {
  const line = terminal.buffer.active.getLine(row)
  const runs: Array<Run> = []
  for (let column = 0; column < terminal.cols; column++) {
    const cell = line?.getCell(column)
    // The second column of a wide character has no width.
    if (cell === undefined || cell.getWidth() === 0) continue
    const style = styleOf(cell)
    const last = runs.at(-1)
    const text = cell.getChars() || " "
    if (last !== undefined && last.style.join() === style.join()) {
      runs[runs.length - 1] = { ...last, width: column + cell.getWidth() - last.column, text: last.text + text }
    } else runs.push({ column, width: cell.getWidth(), text, style })
  }
  return runs.map(trim).filter(({ text }) => text !== "")
}

/** Spaces at both ends show nothing. */
const trim = (run: Run): Run => {
  const start = run.text.length - run.text.trimStart().length
  const text = run.text.trim()
  const trimmed = run.text.length - text.length
  return { ...run, column: run.column + start, width: run.width - trimmed, text }
}

const styleOf = (cell: xterm.IBufferCell): ReadonlyArray<string> => [
  ...(cell.isBold() ? ["bold"] : []),
  ...(cell.isDim() ? ["dim"] : []),
  ...(cell.isFgPalette() ? [`color${cell.getFgColor()}`] : [])
]
