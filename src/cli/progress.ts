/** The progress of a download: a bar for each layer on a terminal, a line for each step otherwise. */
import * as Effect from "effect/Effect"
import type { ModelProgress } from "../ModelProgress.ts"
import * as Output from "./output.ts"
import * as Table from "./table.ts"
import * as Text from "./text.ts"

const width = 24

/** Writes one report after the other. */
export const make = (isTerminal: boolean) => {
  let shown = ""
  let step = ""
  return (report: ModelProgress) =>
    Effect.suspend(() => {
      const name = report.layer === undefined ? report.status : `layer ${report.layer.digest.slice(0, 19)}`
      const isNew = name !== step
      step = name
      if (!isTerminal) return isNew ? Output.write(`${describe(name, report, false)}\n`) : Effect.void
      const line = describe(name, report, true)
      // A shorter line must cover the one before it.
      const text = `${isNew && shown !== "" ? "\n" : "\r"}${line.padEnd(isNew ? 0 : shown.length)}`
      shown = line
      return Output.write(report.isFinal ? `${text}\n` : text)
    })
}

const describe = (name: string, { bytesPerSecond, layer }: ModelProgress, hasBar: boolean): string => {
  const clean = Text.toSingleLine(name)
  if (layer === undefined) return clean
  const size = `${Table.formatSize(layer.completedBytes)} of ${Table.formatSize(layer.totalBytes)}`
  if (!hasBar) return `${clean}: ${Table.formatSize(layer.totalBytes)}`
  const share = layer.totalBytes > 0 ? Math.min(1, layer.completedBytes / layer.totalBytes) : 0
  const bar = "█".repeat(Math.round(share * width)).padEnd(width, "░")
  const speed = bytesPerSecond === undefined ? "" : `, ${Table.formatSize(bytesPerSecond)}/s`
  return `${clean} ${bar} ${Math.floor(share * 100)} %, ${size}${speed}`
}
