/** Prints an answer while it is generated. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import type * as Terminal from "effect/Terminal"
import type { CompletionRequest } from "../CompletionRequest.ts"
import type { Provider } from "../Provider.ts"
import type { ProviderError } from "../ProviderError.ts"
import { type FinalChunk, FromJsonString, type StreamingChunk } from "../StreamingChunk.ts"
import * as Output from "./output.ts"
import * as Spinner from "./spinner.ts"
import * as Summary from "./summary.ts"
import * as Text from "./text.ts"

export interface Options extends Omit<Spinner.Options, "model"> {
  readonly quiet: boolean
  /** Gets each chunk before it is printed. */
  readonly observe?: ((chunk: StreamingChunk) => void) | undefined
}

/**
 * The answer goes to standard output. Thinking, the summary and what is being waited for are no part of it and go to standard
 * error.
 */
export const print = Effect.fnUntraced(function* (
  request: CompletionRequest,
  options: Options
): Effect.fn.Return<
  void,
  ProviderError | Output.OutputFailed | Output.ReaderGone,
  Stdio.Stdio | Terminal.Terminal | Scope.Scope
> {
  const { observe, provider, quiet } = options
  const clock = yield* Clock.Clock
  const startedAt = clock.currentTimeMillisUnsafe()
  const stdio = yield* Stdio.Stdio
  const answer = Text.makeCleaner(yield* stdio.stdoutIsTerminal)
  const thinking = Text.makeCleaner(yield* stdio.stderrIsTerminal)
  const dim = yield* Output.dim
  const spinner = quiet ? undefined : yield* Spinner.start({ ...options, model: request.model })
  let firstAt: number | undefined
  let endedAt = startedAt
  const toolCalls: Array<string> = []
  let final: FinalChunk | undefined
  let lastWritten: "nothing" | "thinking" | "answer" = "nothing"

  const writeThinking = Effect.fnUntraced(function* (text: string) {
    if (text === "" || quiet) return
    lastWritten = "thinking"
    yield* Output.writeError(dim(text))
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
    endedAt = clock.currentTimeMillisUnsafe()
    observe?.(chunk)
    if (spinner !== undefined) yield* spinner.show(chunk)
    if (chunk.thinking || chunk.content) firstAt ??= endedAt
    yield* writeThinking(thinking.add(chunk.thinking ?? ""))
    yield* writeAnswer(answer.add(chunk.content))
    for (const { name } of chunk.toolCalls ?? []) toolCalls.push(name)
    if (!chunk.isFinal) return
    final = chunk
    yield* writeAnswer(`${answer.end()}\n`)
  })

  yield* provider.stream(request).pipe(
    Stream.runForEach(printChunk),
    // An incomplete answer must not look like a complete line, and the error begins a line of its own.
    Effect.onError(() => (lastWritten === "nothing" ? Effect.void : Output.writeError("\n")))
  )
  if (toolCalls.length > 0) {
    yield* Output.note(`local-llm: the model called tools, but there are none here: ${toolCalls.join(", ")}`)
  }
  if (final === undefined) return
  if (!quiet) yield* Output.dimNote(Summary.describe(provider.name, final, { startedAt, firstAt, endedAt }))
}, Effect.scoped)

const encodeChunk = Schema.encodeEffect(FromJsonString)

/** Each chunk is one line of JSON. */
export const printChunks = (provider: Provider, request: CompletionRequest) =>
  Stream.runForEach(provider.stream(request), (chunk) =>
    Effect.flatMap(Effect.orDie(encodeChunk(chunk)), Output.writeJsonLine)
  )
