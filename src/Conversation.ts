/**
 * Conversations that grow longer than the context of their model.
 *
 * @category Core
 * @since 0.3.0
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { type ChatRequest, check, type Message } from "./CompletionRequest.ts"
import * as Provider from "./Provider.ts"
import type { ProviderErrorReason } from "./ProviderError.ts"
import { ContextOverflow, InvalidRequest, ProviderError } from "./ProviderError.ts"
import * as Values from "./values/objects.ts"

/**
 * How much of a conversation fits. All fields are optional.
 *
 * @category options
 */
export interface TrimOptions {
  /**
   * The context, in tokens. Default: the `contextLength` of the request or of the layer, or else what `Provider.model` reports: the context that the
   * model was loaded with, or the longest that it has.
   */
  readonly contextLength?: number | undefined
  /**
   * The tokens that are kept free for the completion, thinking included. Default: `maxTokens` of the request or of the layer, or else a quarter of
   * the context.
   */
  readonly reserve?: number | undefined
}

/**
 * Removes the oldest turns of a conversation until its prompt fits into the context of the model.
 *
 * **When to use**
 *
 * Before each request of a conversation that may grow without limit. Servers fail with `ContextOverflow` otherwise.
 *
 * **Details**
 *
 * A turn is a message of the user and all that follow until the next one. Messages with the role `system` and the last message of
 * the user stay. If all earlier turns are removed and it is still too long, the oldest rounds of the last turn go: a message of the
 * assistant with the results of its calls. A call and its result stay or go together, and the latest round stays.
 *
 * A conversation that fits is returned as it is. `Provider.countTokens` is used once for it, and about log₂ of the number of turns
 * times for others. Fails with `ContextOverflow` if what has to stay does not fit, with `InvalidRequest` if the request or an option
 * is invalid, or the context is not known or not larger than the reserve, and as `Provider.countTokens` and `Provider.model` do.
 *
 * **Gotchas**
 *
 * Where tokens are estimated, the server may still find the prompt too long. Ollama loads a model with a context that may be shorter than
 * the longest one, and reports it once it is loaded.
 *
 * **Example** (a conversation without end)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Conversation, Provider } from "effect-local-llm"
 * import type { CompletionRequest } from "effect-local-llm"
 *
 * const answer = Effect.fnUntraced(function*(messages: ReadonlyArray<CompletionRequest.Message>) {
 *   const { complete } = yield* Provider.Provider
 *   const request = { model: "llama3.2", messages, contextLength: 8192, maxTokens: 1000 }
 *   return yield* complete(yield* Conversation.trim(request))
 * })
 * ```
 *
 * @category combinators
 */
export const trim = Effect.fnUntraced(function* (
  request: ChatRequest,
  options: TrimOptions = {}
): Effect.fn.Return<ChatRequest, ProviderError, Provider.Provider> {
  const provider = yield* Provider.Provider
  const fail = (reason: ProviderErrorReason) =>
    Effect.fail(new ProviderError({ provider: provider.name, server: provider.server, reason }))
  yield* Effect.catch(Effect.fromResult(validate(request, options)), fail)
  const sent = provider.optionsOf(request)
  const contextLength = options.contextLength ?? sent.contextLength ?? (yield* findContextLength(provider, sent.model))
  if (contextLength === undefined) return yield* fail(unknownContext)
  const reserve = options.reserve ?? sent.maxTokens ?? Math.floor(contextLength / 4)
  const budget = contextLength - reserve
  if (!(budget > 0 && reserve >= 0)) return yield* fail(noBudget)

  /** `undefined` if it fits, or else its tokens. */
  const measure = (request: ChatRequest) =>
    provider.countTokens(request).pipe(
      Effect.map(({ tokens }) => (tokens <= budget ? undefined : tokens)),
      Effect.catchReason("ProviderError", "ContextOverflow", ({ promptTokens = Infinity }) =>
        Effect.succeed(promptTokens)
      )
    )
  const whole = yield* measure(request)
  if (whole === undefined) return request
  const { messages } = request
  const lastUser = messages.findLastIndex(({ role }) => role === "user")
  const cutAt = (position: number): ChatRequest => ({
    ...request,
    messages: messages.filter(({ role }, i) => i >= position || i === lastUser || role === "system")
  })
  const cuts = findCuts(messages, lastUser)
  const shortest = cutAt(cuts.at(-1) ?? 0)
  const tooLong = cuts.length === 0 ? whole : yield* measure(shortest)
  if (tooLong !== undefined) {
    const promptTokens = Number.isFinite(tooLong) ? tooLong : undefined
    return yield* fail(new ContextOverflow({ promptTokens, contextLength: budget, description: leastDescription }))
  }
  let best = shortest
  // The cuts before `low` leave too much, and that of `high` does not.
  let low = 0
  let high = cuts.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    const candidate = cutAt(cuts[middle] ?? 0)
    if ((yield* measure(candidate)) === undefined) {
      best = candidate
      high = middle
    } else low = middle + 1
  }
  return best
})

const fields = {
  contextLength: Schema.optional(Schema.Number.check(Schema.isGreaterThan(0))),
  reserve: Schema.optional(Schema.Number.check(Schema.isGreaterThanOrEqualTo(0)))
}

const decodeOptions = Schema.decodeUnknownResult(Schema.Struct(fields), { onExcessProperty: "error" })

const toFault = Values.makeToFault({ options: fields }, undefined, "options")

const validate = (request: ChatRequest, options: TrimOptions): Result.Result<unknown, InvalidRequest> =>
  Result.flatMap(check(request), ({ messages }) =>
    messages === undefined
      ? Result.fail(new InvalidRequest({ field: "messages", description: "a prompt has no turns" }))
      : Result.mapError(decodeOptions(options), (error) => new InvalidRequest(toFault(error)))
  )

const unknownContext = new InvalidRequest({
  field: "contextLength",
  description: "the server does not report the context of the model; set it"
})

const noBudget = new InvalidRequest({
  field: "reserve",
  description: "Expected 0 or more, and less than the context of the model"
})

const leastDescription = "the system messages, the last message of the user and the latest round alone are too long"

const findContextLength = (
  { model }: Provider.Provider,
  name: string | undefined
): Effect.Effect<number | undefined, ProviderError> =>
  name === undefined
    ? Effect.undefined
    : Effect.map(model(name), (info) => info.loadedContextLength ?? info.contextLength)

/**
 * Where the conversation may begin instead, in ascending order: at a message of the user, or, in the last turn, at a round. Nothing before
 * the first cut is needed by what follows it, and so on.
 */
const findCuts = (messages: ReadonlyArray<Message>, lastUser: number): ReadonlyArray<number> => {
  const calls = findCalls(messages)
  const cuts: Array<number> = []
  /** The earliest call of the results from here on. */
  let earliest = messages.length
  for (let i = messages.length - 1; i > 0; i--) {
    earliest = Math.min(earliest, calls[i] ?? earliest)
    const { role } = messages[i] ?? {}
    const begins = i <= lastUser ? role === "user" : role === "assistant" && i > lastUser + 1
    if (begins && earliest >= i) cuts.push(i)
  }
  return cuts.toReversed()
}

/** For each result, the message that has its call: the latest one before it with that id, or else with a call of that tool. */
const findCalls = (messages: ReadonlyArray<Message>): ReadonlyArray<number | undefined> => {
  const ids = new Map<string, number>()
  const names = new Map<string, number>()
  return messages.map(({ role, toolCallId, toolCalls = [], toolName = "" }, i) => {
    if (role === "tool") return toolCallId === undefined ? names.get(toolName) : ids.get(toolCallId)
    for (const { id, name } of toolCalls) {
      ids.set(id, i)
      names.set(name, i)
    }
    return undefined
  })
}
