/**
 * A model that calls tools until it can answer, on any `LanguageModel` of `effect/ai`. It has its own import:
 * `effect-local-llm/Agent`.
 *
 * @category Adapters
 * @since 0.3.0
 */
import type * as AiError from "effect/ai/AiError"
import type * as Chat from "effect/ai/Chat"
import type * as LanguageModel from "effect/ai/LanguageModel"
import * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import { constFalse } from "effect/Function"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Concurrency } from "effect/Types"
import * as Errors from "./ai/errors.ts"
import * as Rounds from "./ai/rounds.ts"
import { InvalidRequest } from "./ProviderError.ts"
import * as OptionSchema from "./servers/options.ts"
import type { End, ToolApproval, UiPart } from "./UiPart.ts"

/**
 * What an agent gets.
 *
 * @category options
 */
export interface Options<Tools extends Record<string, Tool.Any>, E = never, R = never> {
  /** What is asked: a text, or messages of `effect/ai`. With `chat`, what is new. */
  readonly prompt: Prompt.RawInput
  /** The tools: a `Toolkit` whose handlers are in the context, or one with its handlers. */
  readonly toolkit: Toolkit.WithHandler<Tools> | Effect.Effect<Toolkit.WithHandler<Tools>, E, R>
  /**
   * The conversation. Its history comes before the prompt, and gets the messages of this turn at the end of the turn,
   * also if the turn fails or is interrupted. A persisted chat is saved then. Run one turn of a chat at a time. Default:
   * a new conversation.
   */
  readonly chat?: Chat.Chat | undefined
  /**
   * The most completions of a turn. In the last one the model has no tools, so that it answers with what it knows.
   * Default: 10.
   */
  readonly maxRounds?: number | undefined
  /**
   * After how many rounds in a row with the same calls and the same results the model has no tools in the next, which is
   * the last. `Infinity` for tools that are called until something changes. Default: 3.
   */
  readonly maxRepeats?: number | undefined
  /** Whether the turn ends after a round, without an answer. It is asked when the tools of the round have ended. */
  readonly stopWhen?: ((round: Round) => boolean | Effect.Effect<boolean>) | undefined
  /** How many tools of a round run at the same time. Default: all. */
  readonly concurrency?: Concurrency | undefined
}

/**
 * A round whose tools have ended.
 *
 * @category models
 */
export interface Round {
  /** The number of the round, from 1. */
  readonly round: number
  /** The calls of the round with their results, in the order of the calls. */
  readonly calls: ReadonlyArray<Call>
  /** How many rounds in a row had these calls with these results. 1 if the round before had others. */
  readonly repeats: number
}

/**
 * A call that has ended.
 *
 * @category models
 */
export interface Call {
  /** Identifies the call. */
  readonly id: string
  /** The name of the tool, or the one that the model invented. */
  readonly name: string
  /** The arguments, as the model wrote them; absent if they are not complete. */
  readonly arguments?: unknown
  /** What the model reads: the result or the failure of the tool as JSON, or why it did not run. */
  readonly result: unknown
  /** Whether the tool failed or did not run. */
  readonly isFailure: boolean
}

/**
 * A whole turn.
 *
 * @category models
 */
export interface Answer extends Omit<End, "_tag"> {
  /** The text of the last round. It is truncated if the `finishReason` is `length`. */
  readonly text: string
  /** All calls of the turn that have ended, in the order of their ends. */
  readonly calls: ReadonlyArray<Call>
  /** The calls that wait for approval. */
  readonly approvals: ReadonlyArray<ToolApproval>
}

/**
 * Answers with tools: a completion, the tools that it calls, and the next completion with their results, until a
 * completion calls none. The parts arrive as the model writes them and as tools end, over all rounds.
 *
 * **Details**
 *
 * The tools of a round run when its completion is complete, all at the same time. A completion that fails or is cut
 * (finish reason `length`) runs none. What the model does wrong does not end the turn: a tool that does not exist and
 * invalid arguments become a short result that names the tools, or the fields that are wrong. Arguments that are JSON text
 * are parsed. A tool with `needsApproval` ends the turn with a part `ToolApproval`; it runs in the next turn, whose prompt
 * has the `tool-approval-response`. A call that was not approved by then fails, and an approval is for one run.
 *
 * The last part is an `End`, unless the stream fails: with an `AiError` of the model; with the failure of a handler, if
 * the `failureMode` of the tool is `error`; or with the `InvalidRequestError` of an invalid option. When the consumer
 * stops, the model stops generating and tools that run are interrupted.
 *
 * **Example** (the text while it is written)
 *
 * ```ts
 * import { Effect, Schema, Stream } from "effect"
 * import { Tool, Toolkit } from "effect/ai"
 * import * as Agent from "effect-local-llm/Agent"
 *
 * const toolkit = Toolkit.make(Tool.make("now", { success: Schema.String }))
 *
 * export const program = Agent.stream({ prompt: "What time is it?", toolkit }).pipe(
 *   Stream.runForEach((part) => Effect.sync(() => part._tag === "Text" && process.stdout.write(part.text)))
 * )
 * ```
 *
 * @category constructors
 */
export const stream = <Tools extends Record<string, Tool.Any>, E = never, R = never>(
  options: Options<Tools, E, R>
): Stream.Stream<
  UiPart,
  AiError.AiError | Tool.HandlerError<Tools[keyof Tools]> | E,
  LanguageModel.LanguageModel | Tool.HandlerServices<Tools[keyof Tools]> | R
> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const {
        chat,
        concurrency = "unbounded",
        maxRepeats = 3,
        maxRounds = 10,
        stopWhen,
        toolkit
      } = yield* read(options)
      const prompt = yield* readPrompt(options.prompt)
      return Rounds.stream({
        toolkit: Effect.isEffect(toolkit) ? yield* toolkit : toolkit,
        prompt,
        chat,
        concurrency,
        maxRepeats,
        maxRounds,
        stopWhen: stopWhen ?? constFalse
      })
    })
  )

const toError = Errors.makeToError("Agent", "Agent.stream")

const readPrompt = (input: Prompt.RawInput): Effect.Effect<Prompt.Prompt, AiError.AiError> => {
  const prompt = Result.try(() => Prompt.make(input))
  if (Result.isSuccess(prompt) && Prompt.isPrompt(prompt.success)) return Effect.succeed(prompt.success)
  return Effect.fail(toError(new InvalidRequest({ field: "prompt", description: "Expected a prompt of effect/ai" })))
}

const read = <Tools extends Record<string, Tool.Any>, E, R>(options: Options<Tools, E, R>) =>
  Effect.mapError(Effect.fromResult(OptionSchema.read(definition, options)), toError)

const definition = OptionSchema.define<Options<Record<string, Tool.Any>>>({
  prompt: Schema.Unknown,
  toolkit: OptionSchema.is(
    (u): u is object => Effect.isEffect(u) || (Predicate.hasProperty(u, "tools") && Predicate.hasProperty(u, "handle")),
    "a Toolkit"
  ),
  chat: Schema.optional(OptionSchema.is((u): u is object => Predicate.hasProperty(u, "history"), "a Chat")),
  maxRounds: OptionSchema.count(1),
  maxRepeats: Schema.optional(
    OptionSchema.is((u): u is number => Predicate.isNumber(u) && u >= 1, "a number, 1 or more")
  ),
  stopWhen: OptionSchema.fn,
  concurrency: Schema.optional(
    OptionSchema.is(
      (u): u is Concurrency => u === "unbounded" || (Number.isSafeInteger(u) && Number(u) >= 1),
      'a whole number, 1 or more, or "unbounded"'
    )
  )
})

/**
 * The whole turn. A fold of `stream`, with the same guarantees.
 *
 * @category constructors
 */
export const complete = <Tools extends Record<string, Tool.Any>, E = never, R = never>(
  options: Options<Tools, E, R>
): Effect.Effect<
  Answer,
  AiError.AiError | Tool.HandlerError<Tools[keyof Tools]> | E,
  LanguageModel.LanguageModel | Tool.HandlerServices<Tools[keyof Tools]> | R
> => fold(stream(options))

const fold = <E, R>(parts: Stream.Stream<UiPart, E, R>): Effect.Effect<Answer, E, R> =>
  Effect.suspend(() => {
    let text = ""
    let round = 0
    let isWriting = false
    let answer: Answer | undefined
    const inputs = new Map<string, unknown>()
    const calls: Array<Call> = []
    const approvals: Array<ToolApproval> = []
    /** What the model writes after the outcomes of tools belongs to the next round. */
    const write = (piece: string): void => {
      if (!isWriting) {
        round++
        text = ""
      }
      isWriting = true
      text += piece
    }
    const end = (call: Call): void => {
      isWriting = false
      calls.push(call)
    }
    const add = (part: UiPart): void => {
      switch (part._tag) {
        case "Text":
          return write(part.text)
        case "Thinking":
        case "ToolCalled":
          return write("")
        case "ToolRunning":
          return void inputs.set(part.id, part.arguments)
        case "ToolResult": {
          const { id, name, result } = part
          return end({ id, name, arguments: inputs.get(id), result, isFailure: false })
        }
        case "ToolFailed": {
          const { _tag, failure, ...call } = part
          return end({ ...call, result: failure, isFailure: true })
        }
        case "ToolApproval":
          return void approvals.push(part)
        case "End": {
          const { _tag, ...fields } = part
          // The model may write nothing in the last round.
          answer = { ...fields, text: round === part.rounds ? text : "", calls, approvals }
        }
      }
    }
    // The stream of an agent succeeds with an `End` only.
    const read = Effect.suspend(() =>
      answer === undefined ? Effect.die("an agent without an end") : Effect.succeed(answer)
    )
    return Effect.andThen(
      Stream.runForEachArray(parts, (array) => Effect.sync(() => array.forEach(add))),
      read
    )
  })
