/** The progress of a download on standard error: a bar for each layer on a terminal, a line for each step otherwise. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { ModelProgress } from "../ModelProgress.ts"
import * as Output from "./output.ts"
import * as Table from "./table.ts"
import * as Text from "./text.ts"
import * as Width from "./width.ts"

/** Shows one report after the other. */
export type Progress = (report: ModelProgress) => Effect.Effect<void>

/** A terminal that cannot move its cursor gets lines. */
export const make: Effect.Effect<Progress> = Effect.map(Output.canErase, (canErase) =>
  canErase ? makeBars(process.stderr) : makeLines()
)

/** Each step and each layer once, in the order in which the server begins them. */
const makeLines = (): Progress => {
  const seen = new Set<string>()
  return (report) => {
    const name = nameOf(report)
    const key = keyOf(report)
    if (seen.has(key)) return Effect.void
    seen.add(key)
    return Output.note(report.layer === undefined ? name : `${name}: ${Table.formatSize(report.layer.totalBytes)}`)
  }
}

/** Servers transfer several layers at a time, so all lines are drawn again. */
const makeBars = (terminal: NodeJS.WriteStream): Progress => {
  const reports = new Map<string, ModelProgress>()
  let drawn = 0
  return (report) =>
    Effect.suspend(() => {
      reports.set(keyOf(report), report)
      if (report.isFinal) for (const [key, each] of reports) reports.set(key, complete(each))
      const { columns, rows } = Width.sizeOf(terminal)
      const lines = choose([...reports.values()], Math.max(1, rows - 1)).map((report) =>
        Width.cut(Predicate.isString(report) ? report : toLine(report, columns), columns - 1)
      )
      const up = drawn === 0 ? "\r" : `\r\u001B[${drawn}A`
      drawn = lines.length
      return Output.writeError(`${up}\u001B[J${lines.map((line) => `${line}\n`).join("")}`)
    })
}

/** As many reports as there is room for. Complete ones are left out first. */
const choose = (reports: ReadonlyArray<ModelProgress>, room: number): ReadonlyArray<ModelProgress | string> => {
  const dropped = new Set(reports.filter(isComplete).slice(0, Math.max(0, reports.length - room)))
  const shown = reports.filter((report) => !dropped.has(report))
  if (shown.length <= room) return shown
  const first = shown.slice(0, room - 1)
  return [...first, `and ${shown.length - first.length} more layers`]
}

/** A layer as it is after the success. Servers do not report its last bytes. */
const complete = ({ layer, ...report }: ModelProgress): ModelProgress => ({
  ...report,
  ...(layer === undefined ? {} : { layer: { ...layer, completedBytes: layer.totalBytes } })
})

const isComplete = ({ layer }: ModelProgress): boolean =>
  layer === undefined || layer.completedBytes >= layer.totalBytes

const keyOf = ({ layer, status }: ModelProgress): string => layer?.digest ?? status

const nameOf = ({ layer, status }: ModelProgress): string =>
  Text.toSingleLine(layer === undefined ? status : `layer ${layer.digest.replace("sha256:", "").slice(0, 12)}`)

/** The bar leaves room for the numbers. */
const toLine = (report: ModelProgress, columns: number): string => {
  const { bytesPerSecond, layer } = report
  if (layer === undefined) return nameOf(report)
  const share = layer.totalBytes > 0 ? Math.min(1, layer.completedBytes / layer.totalBytes) : 0
  const barWidth = Math.max(0, Math.min(24, columns - 56))
  const bar = "█".repeat(Math.round(share * barWidth)).padEnd(barWidth, "░")
  const percent = `${Math.floor(share * 100)}`.padStart(3)
  const size = `${Table.formatSize(layer.completedBytes)} of ${Table.formatSize(layer.totalBytes)}`
  const speed = bytesPerSecond === undefined || isComplete(report) ? "" : `, ${Table.formatSize(bytesPerSecond)}/s`
  return `${nameOf(report)}${bar === "" ? "" : ` ${bar}`} ${percent} %, ${size}${speed}`
}
