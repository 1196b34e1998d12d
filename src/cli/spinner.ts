/** What is being waited for, on standard error, until an answer begins. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Terminal from "effect/Terminal"
import type { Provider } from "../Provider.ts"
import type { StreamingChunk } from "../StreamingChunk.ts"
import type { Management } from "./servers.ts"
import * as Output from "./output.ts"

const frames = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"]

/** A shorter wait is shown without its seconds. */
const secondsFrom = 3

export interface Spinner {
  /** Shows the progress of the prompt. Ends with the first text. */
  readonly show: (chunk: StreamingChunk) => Effect.Effect<void>
  readonly stop: Effect.Effect<void>
}

export interface Options {
  readonly provider: Provider & Management
  readonly model: string | undefined
  /** Whether the request waits for a host of a pool. Servers do not report that a request waits. */
  readonly isQueued?: Effect.Effect<boolean> | undefined
  /** Whether the model answered before, so that it was in memory then. */
  readonly hasAnswered?: boolean | undefined
}

const none: Spinner = { show: () => Effect.void, stop: Effect.void }

/** Writes only to a terminal that can erase a line. Its fibers end with the scope. */
export const start = Effect.fnUntraced(function* (options: Options) {
  if (!(yield* Output.canErase)) return none
  const { isQueued = Effect.succeed(false) } = options
  const terminal = yield* Terminal.Terminal
  const clock = yield* Clock.Clock
  const startedAt = clock.currentTimeMillisUnsafe()
  const dim = yield* Output.dim
  let phase = "connecting"
  let progress: string | undefined
  let frame = 0
  let isShown = false
  let isOver = false

  const draw = Effect.gen(function* () {
    const seconds = Math.floor((clock.currentTimeMillisUnsafe() - startedAt) / 1000)
    const now = progress ?? ((yield* isQueued) ? "queued" : phase)
    const line = `${frames[frame++ % frames.length]} ${now}${seconds < secondsFrom ? "" : `, ${seconds} s`}`
    const columns = (yield* terminal.columns) || 80
    if (isOver) return
    isShown = true
    // A line that wraps could not be erased.
    yield* Output.writeError(`\r\u001B[K${dim(line.slice(0, columns - 1))}`)
  })
  const ask = Effect.match(findPhase(options), {
    onFailure: () => undefined,
    onSuccess: (found) => {
      phase = found
    }
  })
  // An answer that begins at once needs no spinner.
  const spin = Effect.delay(Effect.forever(Effect.delay(draw, "100 millis")), "200 millis")
  const fiber = yield* Effect.forkScoped(Effect.all([ask, spin], { concurrency: "unbounded", discard: true }))
  const stop = Effect.suspend(() => {
    if (isOver) return Effect.void
    isOver = true
    return Effect.andThen(Fiber.interrupt(fiber), isShown ? Output.writeError("\r\u001B[K") : Effect.void)
  })
  yield* Effect.addFinalizer(() => stop)
  const spinner: Spinner = {
    show: (chunk) => {
      if (chunk.isFinal || chunk.content !== "" || chunk.thinking) return stop
      const { promptProgress } = chunk
      if (promptProgress !== undefined && promptProgress.total > 0) {
        const share = Math.min(1, promptProgress.processed / promptProgress.total)
        progress = `${reading}, ${Math.floor(100 * share)} %`
      }
      return Effect.void
    },
    stop
  }
  return spinner
})

const reading = "reading the prompt"

/**
 * What a server does before the first text, as far as it is known. It is asked once, when the request is sent: servers do not
 * report the end of loading, and Ollama lists a model among those in memory while it loads it. Without an answer of the server,
 * the phase stays as it is. What `Provider.model` reports may be some seconds old, so it is not trusted against an answer of that
 * model.
 */
const findPhase = Effect.fnUntraced(function* ({ hasAnswered = false, model = "", provider }: Options) {
  const loading = "loading the model"
  if (provider.running !== undefined) {
    const models = yield* provider.running
    return models.some(({ id }) => provider.isSameModel(id, model)) ? reading : loading
  }
  const { isLoaded } = yield* provider.model(model)
  if (isLoaded === true) return reading
  return isLoaded === false && !hasAnswered ? loading : "waiting for the answer"
})
