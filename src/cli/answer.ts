/** Prints an answer while it is generated. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import type { Completion } from "../Completion.ts"
import type { CompletionRequest } from "../CompletionRequest.ts"
import type { FinalChunk, StreamingChunk } from "../StreamingChunk.ts"
import { variable } from "./access.ts"
import * as Output from "./output.ts"
import type { Management } from "./selection.ts"
import * as Spinner from "./spinner.ts"
import * as Table from "./table.ts"

export interface Options extends Omit<Spinner.Options, "model"> {
  readonly quiet: boolean
  /** Whether the answer is printed without Markdown and wrapping also on a terminal. */
  readonly raw: boolean
  /** Gets each chunk before it is printed. */
  readonly observe?: ((chunk: StreamingChunk) => void) | undefined
}

/** What is kept of an answer: its text, and why it ended. */
export type Answer = { -readonly [K in "content" | "finishReason"]: Completion[K] }

/** Prints an answer, and on standard error what is being waited for, thinking, and a summary. Returns the answer. */
export const print = Effect.fnUntraced(function* (request: CompletionRequest, options: Options) {
  const { observe, provider, quiet, raw } = options
  const clock = yield* Clock.Clock
  const startedAt = clock.currentTimeMillisUnsafe()
  // What shows the answer is loaded while its first text is waited for.
  const loading = yield* Effect.forkScoped(makeWriter(raw))
  const model = request.model ?? ""
  const showWaiting = quiet ? () => Effect.void : yield* Spinner.start({ ...options, model })
  let firstAt: number | undefined
  const toolCalls: Array<string> = []
  const answer: Answer = { content: "", finishReason: "other" }
  let summary = ""

  const printChunk = Effect.fnUntraced(function* (chunk: StreamingChunk) {
    const now = clock.currentTimeMillisUnsafe()
    observe?.(chunk)
    answer.content += chunk.content
    yield* showWaiting(chunk)
    if (chunk.thinking || chunk.content) firstAt ??= now
    const writer = yield* Fiber.join(loading)
    if (!quiet) yield* writer.thinking(chunk.thinking ?? "")
    yield* writer.answer(chunk.content)
    for (const { name } of chunk.toolCalls ?? []) toolCalls.push(name)
    if (!chunk.isFinal) return
    answer.finishReason = chunk.finishReason
    const isEmpty = firstAt === undefined && toolCalls.length === 0
    if (!(isEmpty && (yield* noteIfOnlyLoaded(provider, chunk)))) yield* writer.end
    summary = summarize(provider.name, chunk, { startedAt, firstAt, endedAt: now })
  })

  yield* Effect.onError(Stream.runForEach(provider.stream(request), printChunk), () =>
    Effect.flatMap(Fiber.join(loading), ({ fail }) => fail)
  )
  if (toolCalls.length > 0) {
    yield* Output.note(`local-llm: the model called tools, but there are none here: ${toolCalls.join(", ")}`)
  }
  if (!quiet) yield* Output.dimNote(summary)
  return answer
}, Effect.scoped)

/** The answer goes to standard output. Thinking is no part of it and goes to standard error. */
const makeWriter = Effect.fnUntraced(function* (isRaw: boolean) {
  const { answer, makeThinking } = yield* makeRenderers(isRaw)
  let thinking = makeThinking()
  let lastWritten: "nothing" | "thinking" | "answer" = "nothing"

  const writeThinking = Effect.fnUntraced(function* (text: string) {
    if (text === "") return
    if (lastWritten === "answer") yield* Output.write(answer.pause())
    lastWritten = "thinking"
    yield* Output.writeError(text)
  })
  const writeAnswer = Effect.fnUntraced(function* (text: string) {
    if (text === "") return
    if (lastWritten === "thinking") {
      yield* Output.writeError(`${thinking.end()}\n`)
      thinking = makeThinking()
    }
    lastWritten = "answer"
    yield* Output.write(text)
  })
  return {
    thinking: (text: string) => writeThinking(text === "" ? "" : thinking.add(text)),
    answer: (text: string) => writeAnswer(text === "" ? "" : answer.add(text)),
    end: Effect.suspend(() => writeAnswer(answer.end())),
    /** An incomplete answer must not look like a complete line, and the error begins a line of its own. */
    fail: Effect.suspend(() => {
      if (lastWritten === "nothing") return Effect.void
      const rest = lastWritten === "answer" ? answer.pause() : ""
      return rest === "" ? Output.writeError("\n") : Effect.ignore(Output.write(rest))
    })
  }
})

/** Text wraps on terminals that interpret control sequences. */
const makeRenderers = Effect.fnUntraced(function* (isRaw: boolean) {
  const stdio = yield* Stdio.Stdio
  const isPlain = isRaw || (yield* variable("TERM")) === "dumb"
  const Renderer = yield* Effect.promise(() => import("./render/renderer.ts"))
  const [isAnswerShown, isThinkingShown] = [yield* stdio.stdoutIsTerminal, yield* stdio.stderrIsTerminal]
  const hasStyles = yield* Output.hasStyles(true)
  const dim = yield* Output.dim
  const sizeOf = (stream: NodeJS.WriteStream) => () => Table.sizeOf(stream)
  return {
    answer:
      isPlain || !isAnswerShown
        ? Renderer.raw(isAnswerShown)
        : Renderer.make({ isMarkdown: true, hasStyles, style: "", size: sizeOf(process.stdout) }),
    makeThinking: () => {
      const raw = Renderer.raw(isThinkingShown)
      return isPlain || !isThinkingShown
        ? { ...raw, add: (text: string) => dim(raw.add(text)) }
        : Renderer.make({
            isMarkdown: false,
            hasStyles,
            style: hasStyles ? "2" : "",
            size: sizeOf(process.stderr)
          })
    }
  }
})

/** If Ollama takes a prompt for empty, it loads the model, generates nothing and counts no tokens. Reports that, and returns whether. */
export const noteIfOnlyLoaded = Effect.fnUntraced(function* (
  provider: Management,
  { finishReason, usage }: Pick<Completion, "finishReason" | "usage">
) {
  if (provider.running === undefined || finishReason !== "other" || usage !== undefined) return false
  yield* Output.note("local-llm: the model was loaded, and nothing was generated")
  return true
})

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
): string => {
  const { firstAt, startedAt } = times
  const ofPrompt = usage?.promptTokens === undefined ? "" : ` after ${usage.promptTokens} of the prompt`
  return [
    `${model} on ${server}`,
    usage?.completionTokens === undefined ? "" : `${usage.completionTokens} tokens${ofPrompt}`,
    firstAt === undefined ? "" : `first after ${((firstAt - startedAt) / 1000).toFixed(2)} s`,
    describeSpeed(usage?.completionTokens, timings?.completion, times),
    finishReason === "stop" ? "" : `ended by ${finishReason}`
  ]
    .filter((part) => part !== "")
    .join(" · ")
}

/** An answer that took less time, in milliseconds, arrived all at once, so its speed is unknown. */
const shortestMeasured = 100

/** Uses the time that the server reported. With our own clock, counting starts at the first token. */
const describeSpeed = (tokens: number | undefined, reported: Duration.Duration | undefined, times: Times): string => {
  const { endedAt, firstAt } = times
  if (tokens === undefined || firstAt === undefined) return ""
  const measured = endedAt - firstAt < shortestMeasured ? 0 : endedAt - firstAt
  const millis = reported === undefined ? measured : Duration.toMillis(reported)
  const counted = reported === undefined ? tokens - 1 : tokens
  return millis > 0 ? `${((counted * 1000) / millis).toFixed(1)} tokens/s` : ""
}
