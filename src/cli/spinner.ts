/** What is being waited for, on standard error, until an answer begins. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Terminal from "effect/Terminal"
import type { StreamingChunk } from "../StreamingChunk.ts"
import * as Output from "./output.ts"
import type { Selected } from "./selection.ts"

export interface Options extends Selected {
  /** Whether the model answered before, so that it was in memory then. */
  readonly hasAnswered?: boolean | undefined
}

/** Starts a line, which ends with the scope. The function that is returned shows the progress in a chunk, and ends it with the first text. */
export const start = Effect.fnUntraced(function* (options: Options) {
  const { isQueued = Effect.succeed(false) } = options
  let phase = "connecting"
  let progress: string | undefined
  const ask = Effect.match(findPhase(options), {
    onFailure: () => undefined,
    onSuccess: (found) => {
      phase = found
    }
  })
  const text = Effect.map(isQueued, (isQueued) => progress ?? (isQueued ? "queued" : phase))
  const stop = yield* animate(text, ask)
  return (chunk: StreamingChunk): Effect.Effect<void> => {
    if (chunk.isFinal || chunk.content !== "" || chunk.thinking) return stop
    const { promptProgress } = chunk
    if (promptProgress !== undefined && promptProgress.total > 0) {
      progress = `${reading}, ${Math.floor(100 * Math.min(1, promptProgress.processed / promptProgress.total))} %`
    }
    return Effect.void
  }
})

const frames = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"]

/** A shorter wait is shown without its seconds. */
const secondsFrom = 3

/** Draws a line again and again on a terminal that can erase it, until it is stopped. `meanwhile` is interrupted then. */
const animate = Effect.fnUntraced(function* (text: Effect.Effect<string>, meanwhile: Effect.Effect<void>) {
  if (!(yield* Output.canErase)) return Effect.void
  const terminal = yield* Terminal.Terminal
  const clock = yield* Clock.Clock
  const startedAt = clock.currentTimeMillisUnsafe()
  const dim = yield* Output.dim
  let frame = 0
  let isShown = false
  let isOver = false
  const draw = Effect.gen(function* () {
    const seconds = Math.floor((clock.currentTimeMillisUnsafe() - startedAt) / 1000)
    const line = `${frames[frame++ % frames.length]} ${yield* text}${seconds < secondsFrom ? "" : `, ${seconds} s`}`
    const columns = (yield* terminal.columns) || 80
    if (isOver) return
    isShown = true
    // A line that wraps could not be erased.
    yield* Output.writeError(`\r\u001B[K${dim(line.slice(0, columns - 1))}`)
  })
  // An answer that begins at once needs no line.
  const spin = Effect.delay(Effect.forever(Effect.delay(draw, "100 millis")), "200 millis")
  const fiber = yield* Effect.forkScoped(Effect.all([meanwhile, spin], { concurrency: "unbounded", discard: true }))
  const stop = Effect.suspend(() => {
    if (isOver) return Effect.void
    isOver = true
    return Effect.andThen(Fiber.interrupt(fiber), isShown ? Output.writeError("\r\u001B[K") : Effect.void)
  })
  yield* Effect.addFinalizer(() => stop)
  return stop
})

const reading = "reading the prompt"

/**
 * What a server does before the first text. It is asked once, when the request is sent: servers do not report the end of loading, and
 * Ollama lists a model among those in memory while it loads it. `Provider.model` may be some seconds old.
 */
const findPhase = Effect.fnUntraced(function* ({ hasAnswered = false, model, provider }: Options) {
  const loading = "loading the model"
  if (provider.running !== undefined) {
    const models = yield* provider.running
    return models.some(({ id }) => provider.isSameModel(id, model)) ? reading : loading
  }
  const { isLoaded } = yield* provider.model(model)
  if (isLoaded === true) return reading
  return isLoaded === false && !hasAnswered ? loading : "waiting for the answer"
})
