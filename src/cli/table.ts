/** Rows on standard output. */
import * as Output from "./output.ts"
import * as Text from "./text.ts"
import * as Width from "./width.ts"

type Rows = ReadonlyArray<ReadonlyArray<string>>

export const formatSize = (bytes: number): string =>
  bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`

/** For a person, aligned and not wider than the terminal. For a program, complete and with a tab between two cells. */
export const print = (rows: Rows) => {
  const cells = rows.map((row) => row.map((text) => Text.toSingleLine(text).replaceAll("\t", " ")))
  const lines = process.stdout.isTTY
    ? align(cells).map((line) => Width.cut(line, Width.sizeOf(process.stdout).columns))
    : cells.map((row) => row.join("\t"))
  return Output.write(lines.map((line) => `${line}\n`).join(""))
}

/** A column without any text is left out. */
export const align = (rows: Rows): ReadonlyArray<string> => {
  const widths = rows.reduce<ReadonlyArray<number>>(
    (widths, row) => row.map((text, column) => Math.max(Width.width(text), widths[column] ?? 0)),
    []
  )
  return rows.map((row) =>
    row
      .map((text, column) => Width.pad(text, widths[column] ?? 0))
      .filter((text) => text !== "")
      .join("  ")
      .trimEnd()
  )
}
