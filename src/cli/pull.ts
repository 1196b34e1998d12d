/** Downloads a model. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import type { ModelProgress } from "../ModelProgress.ts"
import type { ProviderError } from "../ProviderError.ts"
import * as Servers from "../servers/servers.ts"
import * as Failure from "./failure.ts"
import type * as Flags from "./flags.ts"
import * as Models from "./models.ts"
import * as Output from "./output.ts"
import * as Table from "./table.ts"
import * as Text from "./text.ts"

/** With `--json`, each report is a line of standard output. Otherwise the progress goes to standard error. */
export const pull = Effect.fnUntraced(function* (input: Flags.Input<typeof Flags.pull>) {
  const { kind, provider } = yield* Models.find(input, "pull", "download models")
  const { downloadGoesOn = false, options } = Servers.definitions[kind].management
  if (input.insecure && !options.has("insecure")) {
    return yield* Failure.fail(`${provider.name}: --insecure has no effect there; leave it out`)
  }
  // A terminal that cannot move its cursor gets lines.
  const show = (yield* Output.canErase) ? makeBars(process.stderr) : makeLines()
  const again = `"local-llm pull ${Text.toSingleLine(input.name)}" resumes it`
  const afterStop = downloadGoesOn ? `${provider.name} goes on downloading` : `stopped; ${again}`
  let total = 0
  yield* provider.pull(input.name, input.insecure ? { insecure: true } : {}).pipe(
    Stream.runForEach((report) => {
      total = report.totalBytes
      return input.json ? Output.writeJson(report) : show(report)
    }),
    Effect.onInterrupt(() => Output.note(`local-llm: ${afterStop}`)),
    Effect.catchTag("ProviderError", (error) => Failure.fail(describeFailure(error, again)))
  )
  const size = total === 0 ? "" : `, ${Table.formatSize(total)}`
  if (!input.json) yield* Output.writeLine(`pulled ${input.name}${size}`)
})

/** Advises to repeat only what may succeed the next time. */
const describeFailure = (error: ProviderError, again: string): string => {
  const { _tag } = error.reason
  const isMissing = _tag === "ModelNotAvailable"
  const canResume = error.isRetryable || _tag === "StreamTruncated"
  const advice = canResume ? `; ${again}` : isMissing ? "; check its name and its tag" : ""
  return `${Failure.describe(error, { withAdvice: !isMissing })}${advice}`
}

/** Shows one report after the other on standard error. */
type Progress = (report: ModelProgress) => Effect.Effect<void>

/** Each step and each layer once, in the order in which the server begins them. */
const makeLines = (): Progress => {
  const seen = new Set<string>()
  return (report) => {
    const key = keyOf(report)
    if (seen.has(key)) return Effect.void
    seen.add(key)
    const size = report.layer === undefined ? "" : `: ${Table.formatSize(report.layer.totalBytes)}`
    return Output.note(`${nameOf(report)}${size}`)
  }
}

/** A bar for each layer. Servers transfer several layers at a time, so all lines are drawn again. */
const makeBars = (terminal: NodeJS.WriteStream): Progress => {
  const reports = new Map<string, ModelProgress>()
  let drawn = 0
  return (report) =>
    Effect.suspend(() => {
      reports.set(keyOf(report), report)
      if (report.isFinal) for (const [key, each] of reports) reports.set(key, complete(each))
      const { columns, rows } = Table.sizeOf(terminal)
      const lines = choose([...reports.values()], Math.max(1, rows - 1)).map((report) =>
        Table.cut(Predicate.isString(report) ? report : toLine(report, columns), columns - 1)
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
