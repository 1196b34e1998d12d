/** Prints an answer while it is generated. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { CompletionRequest } from "../CompletionRequest.ts"
import type { Provider } from "../Provider.ts"
import type { ProviderError } from "../ProviderError.ts"
import { FromJsonString, type StreamingChunk } from "../StreamingChunk.ts"
import * as Output from "./output.ts"
import * as Summary from "./summary.ts"
import * as Text from "./text.ts"

/** The answer goes to standard output. Thinking and the summary are no part of it and go to standard error. */
export const print = Effect.fnUntraced(function* (
  provider: Provider,
  request: CompletionRequest,
  { quiet }: { readonly quiet: boolean }
): Effect.fn.Return<void, ProviderError | Output.OutputFailed | Output.ReaderGone> {
  const clock = yield* Clock.Clock
  const startedAt = clock.currentTimeMillisUnsafe()
  const answer = Text.makeCleaner(process.stdout.isTTY)
  const thinking = Text.makeCleaner(process.stderr.isTTY)
  let firstAt: number | undefined
  let summary: string | undefined
  let lastWritten: "nothing" | "thinking" | "answer" = "nothing"

  const writeThinking = Effect.fnUntraced(function* (text: string) {
    if (text === "" || quiet) return
    lastWritten = "thinking"
    yield* Output.writeError(Output.dim(text))
  })

  const writeAnswer = Effect.fnUntraced(function* (text: string) {
    if (text === "") return
    if (lastWritten === "thinking") {
      yield* writeThinking(thinking.end())
      yield* Output.writeError("\n\n")
    }
    lastWritten = "answer"
    yield* Output.write(text)
  })

  const printChunk = Effect.fnUntraced(function* (chunk: StreamingChunk) {
    const now = clock.currentTimeMillisUnsafe()
    if (chunk.thinking || chunk.content) firstAt ??= now
    yield* writeThinking(thinking.add(chunk.thinking ?? ""))
    yield* writeAnswer(answer.add(chunk.content))
    if (!chunk.isFinal) return
    yield* writeAnswer(`${answer.end()}\n`)
    summary = Summary.describe(provider.name, chunk, { startedAt, firstAt, endedAt: now })
  })

  yield* provider.stream(request).pipe(
    Stream.runForEach(printChunk),
    // An incomplete answer must not look like a complete line, and the error begins a line of its own.
    Effect.onError(() => (lastWritten === "nothing" ? Effect.void : Output.writeError("\n")))
  )
  if (summary !== undefined && !quiet) yield* Output.dimNote(summary)
})

const encodeChunk = Schema.encodeEffect(FromJsonString)

/** Each chunk is one line of JSON. */
export const printChunks = (provider: Provider, request: CompletionRequest) =>
  Stream.runForEach(provider.stream(request), (chunk) =>
    Effect.flatMap(Effect.orDie(encodeChunk(chunk)), Output.writeJsonLine)
  )
