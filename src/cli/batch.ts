/** Answers many requests from a file, here or with the workers of a cluster. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Batch from "../Batch.ts"
import * as Provider from "../Provider.ts"
import * as Access from "./access.ts"
import * as Database from "./database.ts"
import * as Failure from "./failure.ts"
import type * as Flags from "./flags.ts"
import * as Lock from "./lock.ts"
import * as Output from "./output.ts"
import * as Selection from "./selection.ts"

type Input = Flags.Input<typeof Flags.batch>

/** How many requests a host gets at a time, unless it is said. It is the default of a pool. */
const permits = 4

/** The progress goes to standard error. With `--json`, the end of it is an object on standard output. */
export const batch = Effect.fnUntraced(function* (input: Input) {
  const { json, out } = input
  const show = yield* makeShow
  const isShared = input.cluster !== undefined || (yield* Access.variable(Database.urlVariable)).trim() !== ""
  if (!isShared && input.job !== undefined) return yield* Failure.fail("--job needs --cluster")
  const progress = yield* Effect.gen(function* () {
    return isShared ? yield* runThere(input, show.progress) : yield* runHere(input, show.progress)
  }).pipe(
    Effect.ensuring(show.end),
    Effect.catchTag("PlatformError", (error) => Failure.fail(describeFile(error)))
  )
  const { done, failed } = progress
  if (json) yield* Output.writeJson(progress)
  else yield* Output.note(`${count(done, "result")} in ${out}`)
  if (failed > 0) return yield* Failure.fail(`${count(failed, "request")} failed; --retry-failed sends them again`)
})

const runHere = Effect.fnUntraced(function* (input: Input, onProgress: OnProgress) {
  const { file, out, retryFailed } = input
  const maxWait = yield* Access.parseTime("--max-wait", input.maxWait ?? "never", "never")
  const { concurrency, provider } = yield* findServers(input)
  yield* Lock.hold(`${out}.lock`, out)
  return yield* Batch.run({ input: file, output: out, concurrency, maxWait, retryFailed, onProgress }).pipe(
    Effect.provideService(Provider.Provider, provider)
  )
})

type OnProgress = (progress: Batch.Progress) => Effect.Effect<void>

/** It is loaded only if it is needed. */
const loadJobs = Effect.promise(() => import("./batchJob.ts"))

const runThere = (input: Input, onProgress: OnProgress) =>
  Effect.flatMap(loadJobs, ({ submit }) => submit(input, onProgress))

/** Until a signal stops it. */
export const batchWorker = Effect.fnUntraced(function* (input: Flags.Input<typeof Flags.batchWorker>) {
  const { concurrency, provider } = yield* findServers(input)
  const { work } = yield* loadJobs
  yield* Effect.provideService(work(input.cluster, concurrency), Provider.Provider, provider)
})

export const batchRemove = Effect.fnUntraced(function* ({ cluster, job }: Flags.Input<typeof Flags.batchRemove>) {
  const { remove } = yield* loadJobs
  yield* remove(cluster, job)
})

/** The servers of a batch, and how many requests they get at a time. */
const findServers = Effect.fnUntraced(function* (
  input: Selection.Named & { readonly concurrency: number | undefined }
) {
  const { hosts = [] } = input
  const selected = yield* hosts.length > 0 ? Selection.select(input) : Selection.findModel(input)
  // The pool always has a request that waits for the next permit.
  const concurrency = input.concurrency ?? (hosts.length > 1 ? hosts.length * permits + 1 : permits)
  return { concurrency, provider: withModel(selected) }
})

const describeFile = (error: Parameters<typeof Failure.describeFile>[0]): string => {
  const path = "pathOrDescriptor" in error.reason ? error.reason.pathOrDescriptor : undefined
  return `${typeof path === "string" ? `${path}: ` : ""}${Failure.describeFile(error)}`
}

/** A request that names no model has the one that was selected. */
const withModel = ({ model, provider }: Selection.Selected): Provider.Provider =>
  Provider.make({
    ...provider,
    stream: (request) => provider.stream({ ...request, model: request.model ?? model }),
    embed: (request) => provider.embed({ ...request, model: request.model ?? model })
  })

/** Milliseconds between two lines of progress: on a terminal, and elsewhere. */
const onTerminal = 200
const elsewhere = 10_000

/** The progress in one line, which a terminal draws again and again. */
const makeShow = Effect.gen(function* () {
  const canErase = yield* Output.canErase
  const clock = yield* Clock.Clock
  const startedAt = clock.currentTimeMillisUnsafe()
  let shownAt = canErase ? 0 : startedAt
  let before: number | undefined
  return {
    progress: (progress: Batch.Progress): Effect.Effect<void> =>
      Effect.suspend(() => {
        const now = clock.currentTimeMillisUnsafe()
        before ??= progress.done
        if (now - shownAt < (canErase ? onTerminal : elsewhere)) return Effect.void
        shownAt = now
        const line = describe(progress, progress.done - before, (now - startedAt) / 1000)
        return canErase ? Output.writeError(`\r\u001B[K${line}`) : Output.note(line)
      }),
    end: canErase ? Output.writeError("\r\u001B[K") : Effect.void
  }
})

const describe = ({ done, failed, total, waiting }: Batch.Progress, since: number, seconds: number): string => {
  const rate = since / seconds
  const parts = [
    `${format(done)} of ${format(total)}`,
    failed > 0 ? `${format(failed)} failed` : "",
    since > 0 ? `${rate.toFixed(1)}/s, ${formatTime((total - done) / rate)} left` : "",
    waiting > 0 ? `${count(waiting, "request")} wait, no server can be reached or all are busy` : ""
  ]
  return parts.filter((part) => part !== "").join(", ")
}

const format = (number: number): string => number.toLocaleString("en-US")

const count = (number: number, what: string): string => `${format(number)} ${what}${number === 1 ? "" : "s"}`

const formatTime = (seconds: number): string => {
  const minutes = Math.round(seconds / 60)
  if (minutes < 1) return `${Math.ceil(seconds)} s`
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`
}
