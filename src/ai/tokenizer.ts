/** The `Tokenizer` of `effect/ai` on any `Provider`. */
import type * as AiError from "effect/ai/AiError"
import * as Prompt from "effect/ai/Prompt"
import type * as Tokenizer from "effect/ai/Tokenizer"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { ChatRequest, Defaults, Message } from "../CompletionRequest.ts"
import * as Conversation from "../Conversation.ts"
import * as Provider from "../Provider.ts"
import type { ProviderErrorReason } from "../ProviderError.ts"
import { ContextOverflow } from "../ProviderError.ts"
import * as Errors from "./errors.ts"
import * as AiRequest from "./request.ts"

/** More than the context of any model. An array of what a server claims may not fit into memory. */
const maxTokens = 2 ** 24

export const make = (
  provider: Provider.Provider,
  options: Effect.Effect<Omit<Defaults, "tools" | "toolChoice">, ProviderErrorReason>
): Tokenizer.Service => {
  const toError = (method: string) => Errors.makeToError(provider.name, method)
  /** The messages that each message of the prompt becomes. */
  const prepare = (prompt: Prompt.Prompt) =>
    Effect.fromResult(Result.all(prompt.content.map((message) => AiRequest.toMessages(Prompt.fromMessages([message])))))
  const toRequest = (groups: ReadonlyArray<ReadonlyArray<Message>>): Effect.Effect<ChatRequest, ProviderErrorReason> =>
    Effect.map(options, (options) => ({ ...options, messages: groups.flat() }))

  const tokenize = Effect.fnUntraced(function* (
    prompt: Prompt.Prompt
  ): Effect.fn.Return<Array<number>, AiError.AiError> {
    const request = yield* Effect.mapError(Effect.flatMap(prepare(prompt), toRequest), toError("tokenize"))
    if (request.messages.length === 0) return []
    const { tokens } = yield* Effect.mapError(provider.countTokens(request), toError("tokenize"))
    if (tokens > maxTokens)
      return yield* Effect.fail(toError("tokenize")(new ContextOverflow({ promptTokens: tokens })))
    return Array.from({ length: tokens }, (_, i) => i)
  })

  const truncate = Effect.fnUntraced(function* (
    prompt: Prompt.Prompt,
    tokens: number
  ): Effect.fn.Return<Prompt.Prompt, AiError.AiError> {
    const groups = yield* Effect.mapError(prepare(prompt), toError("truncate"))
    const request = yield* Effect.mapError(toRequest(groups), toError("truncate"))
    if (request.messages.length === 0) return prompt
    const trimmed = yield* Conversation.trim(request, { contextLength: tokens, reserve: 0 }).pipe(
      Effect.provideService(Provider.Provider, provider),
      Effect.mapError(toError("truncate"))
    )
    const kept = new Set(trimmed.messages)
    let isKept = true
    return Prompt.fromMessages(
      prompt.content.filter((_, i) => {
        const [first] = groups[i] ?? []
        // A message that is not sent, such as an approval, belongs to the one before it.
        if (first !== undefined) isKept = kept.has(first)
        return isKept
      })
    )
  })

  return {
    tokenize: (input) => Effect.suspend(() => tokenize(Prompt.make(input))),
    truncate: (input, tokens) => Effect.suspend(() => truncate(Prompt.make(input), tokens))
  }
}
