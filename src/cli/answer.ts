/** Prints an answer while it is generated. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import type * as Terminal from "effect/Terminal"
import type { Completion } from "../Completion.ts"
import type { CompletionRequest } from "../CompletionRequest.ts"
import type { ProviderError } from "../ProviderError.ts"
import type { FinalChunk, StreamingChunk } from "../StreamingChunk.ts"
import type { Management } from "./servers.ts"
import * as Output from "./output.ts"
import * as Spinner from "./spinner.ts"
import * as Text from "./text.ts"

export interface Options extends Omit<Spinner.Options, "model"> {
  readonly quiet: boolean
  /** Gets each chunk before it is printed. */
  readonly observe?: ((chunk: StreamingChunk) => void) | undefined
}

/** The answer goes to standard output. Thinking is no part of it and goes to standard error. */
const makeWriter = Effect.fnUntraced(function* () {
  const stdio = yield* Stdio.Stdio
  const answer = Text.makeCleaner(yield* stdio.stdoutIsTerminal)
  const thinking = Text.makeCleaner(yield* stdio.stderrIsTerminal)
  const dim = yield* Output.dim
  let lastWritten: "nothing" | "thinking" | "answer" = "nothing"

  const writeThinking = (text: string): Effect.Effect<void> => {
    if (text === "") return Effect.void
    lastWritten = "thinking"
    return Output.writeError(dim(text))
  }
  const writeAnswer = Effect.fnUntraced(function* (text: string) {
    if (text === "") return
    if (lastWritten === "thinking") {
      yield* writeThinking(thinking.end())
      yield* Output.writeError("\n\n")
    }
    lastWritten = "answer"
    yield* Output.write(text)
  })
  return {
    thinking: (text: string) => writeThinking(thinking.add(text)),
    answer: (text: string) => writeAnswer(answer.add(text)),
    end: Effect.suspend(() => writeAnswer(`${answer.end()}\n`)),
    /** An incomplete answer must not look like a complete line, and the error begins a line of its own. */
    fail: Effect.suspend(() => (lastWritten === "nothing" ? Effect.void : Output.writeError("\n")))
  }
})

/**
 * Reports an answer of Ollama to what it takes for an empty prompt: it has loaded the model, and counts no tokens. Returns whether it
 * is one.
 */
export const noteIfOnlyLoaded = Effect.fnUntraced(function* (
  provider: Management,
  { finishReason, usage }: Pick<Completion, "finishReason" | "usage">
) {
  if (provider.running === undefined || finishReason !== "other" || usage !== undefined) return false
  yield* Output.note("local-llm: the model was loaded, and nothing was generated")
  return true
})

/** Prints an answer, and on standard error what is being waited for, thinking, and a summary. */
export const print = Effect.fnUntraced(function* (
  request: CompletionRequest,
  options: Options
): Effect.fn.Return<void, ProviderError | Output.WriteFailed, Stdio.Stdio | Terminal.Terminal | Scope.Scope> {
  const { observe, provider, quiet } = options
  const clock = yield* Clock.Clock
  const startedAt = clock.currentTimeMillisUnsafe()
  const writer = yield* makeWriter()
  const spinner = quiet ? undefined : yield* Spinner.start({ ...options, model: request.model })
  let firstAt: number | undefined
  const toolCalls: Array<string> = []
  let summary = ""

  const printChunk = Effect.fnUntraced(function* (chunk: StreamingChunk) {
    const now = clock.currentTimeMillisUnsafe()
    observe?.(chunk)
    if (spinner !== undefined) yield* spinner.show(chunk)
    if (chunk.thinking || chunk.content) firstAt ??= now
    if (!quiet) yield* writer.thinking(chunk.thinking ?? "")
    yield* writer.answer(chunk.content)
    for (const { name } of chunk.toolCalls ?? []) toolCalls.push(name)
    if (!chunk.isFinal) return
    const isEmpty = firstAt === undefined && toolCalls.length === 0
    if (!(isEmpty && (yield* noteIfOnlyLoaded(provider, chunk)))) yield* writer.end
    summary = summarize(provider.name, chunk, { startedAt, firstAt, endedAt: now })
  })

  yield* provider.stream(request).pipe(
    Stream.runForEach(printChunk),
    Effect.onError(() => writer.fail)
  )
  if (toolCalls.length > 0) {
    yield* Output.note(`local-llm: the model called tools, but there are none here: ${toolCalls.join(", ")}`)
  }
  if (!quiet) yield* Output.dimNote(summary)
}, Effect.scoped)

/** Times of events, in milliseconds. */
interface Times {
  readonly startedAt: number
  /** The first text, or the first thinking. */
  readonly firstAt: number | undefined
  readonly endedAt: number
}

/** The line after an answer: the model, its tokens and its speed. Numbers that the server did not report are left out. */
export const summarize = (
  server: string,
  { finishReason, model, timings, usage }: Pick<FinalChunk, "model" | "finishReason" | "usage" | "timings">,
  times: Times
): string =>
  [
    `${model} on ${server}`,
    describeTokens(usage),
    times.firstAt === undefined ? undefined : `first after ${((times.firstAt - times.startedAt) / 1000).toFixed(2)} s`,
    describeSpeed(usage?.completionTokens, timings?.completion, times),
    finishReason === "stop" ? undefined : `ended by ${finishReason}`
  ]
    .filter((part) => part !== undefined)
    .join(" · ")

const describeTokens = (usage: FinalChunk["usage"]): string | undefined => {
  if (usage?.completionTokens === undefined) return undefined
  const prompt = usage.promptTokens === undefined ? "" : ` after ${usage.promptTokens} of the prompt`
  return `${usage.completionTokens} tokens${prompt}`
}

/** An answer that took less time arrived all at once, so its speed is unknown. */
const shortestMeasured = 100

/** Uses the time that the server reported. With our own clock, counting starts at the first token. */
const describeSpeed = (
  tokens: number | undefined,
  generating: Duration.Duration | undefined,
  { endedAt, firstAt }: Times
): string | undefined => {
  if (tokens === undefined || firstAt === undefined) return undefined
  if (generating !== undefined) return perSecond(tokens, Duration.toMillis(generating))
  return endedAt - firstAt < shortestMeasured ? undefined : perSecond(tokens - 1, endedAt - firstAt)
}

const perSecond = (tokens: number, millis: number): string | undefined =>
  millis > 0 ? `${((tokens * 1000) / millis).toFixed(1)} tokens/s` : undefined
