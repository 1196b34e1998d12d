/** What is being waited for, on standard error, until an answer begins. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Provider } from "../Provider.ts"
import type { StreamingChunk } from "../StreamingChunk.ts"
import * as Output from "./output.ts"

const frames = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"]

export interface Spinner {
  /** Shows the progress of the prompt. Ends with the first text. */
  readonly show: (chunk: StreamingChunk) => Effect.Effect<void>
  readonly stop: Effect.Effect<void>
}

const none: Spinner = { show: () => Effect.void, stop: Effect.void }

export const start = Effect.fnUntraced(function* (provider: Provider, model: string, isQuiet: boolean) {
  if (isQuiet || !process.stderr.isTTY) return none
  let phase = "connecting"
  let isShown = false
  let isOver = false
  const draw = (frame: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (isOver) return Effect.void
      isShown = true
      return Output.writeError(`\r\u001B[K${Output.dim(`${frames[frame % frames.length]} ${phase}`)}`)
    })
  const askPhase = Effect.match(provider.model(model), {
    onFailure: () => undefined,
    onSuccess: ({ isLoaded }) => {
      if (phase === "connecting") phase = isLoaded === false ? "loading the model" : "reading the prompt"
    }
  })
  let frame = 0
  // An answer that begins at once needs no spinner.
  const spin = Effect.delay(
    Effect.forever(
      Effect.delay(
        Effect.suspend(() => draw(frame++)),
        "100 millis"
      )
    ),
    "200 millis"
  )
  const fiber = yield* Effect.forkChild(Effect.all([askPhase, spin], { concurrency: "unbounded", discard: true }))
  const stop = Effect.suspend(() => {
    if (isOver) return Effect.void
    isOver = true
    const clear = isShown ? Output.writeError("\r\u001B[K") : Effect.void
    return Effect.andThen(Fiber.interrupt(fiber), clear)
  })
  const spinner: Spinner = {
    show: (chunk) => {
      if (chunk.isFinal || chunk.content !== "" || chunk.thinking) return stop
      const { promptProgress } = chunk
      if (promptProgress !== undefined && promptProgress.total > 0) {
        phase = `reading the prompt, ${Math.floor((100 * promptProgress.processed) / promptProgress.total)} %`
      }
      return Effect.void
    },
    stop
  }
  return spinner
})
