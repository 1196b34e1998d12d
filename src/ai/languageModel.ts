/** The hooks of a `LanguageModel`: prompts become requests, answers become parts. */
import type * as AiError from "effect/ai/AiError"
import * as IdGenerator from "effect/ai/IdGenerator"
import * as LanguageModel from "effect/ai/LanguageModel"
import type * as Response from "effect/ai/Response"
import * as Telemetry from "effect/ai/Telemetry"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Span } from "effect/Tracer"
import * as Completion from "../Completion.ts"
import type { ChatRequest, Defaults } from "../CompletionRequest.ts"
import type * as Provider from "../Provider.ts"
import { type InvalidRequest, ProviderError, type ProviderErrorReason } from "../ProviderError.ts"
import type { FinalChunk, StreamingChunk } from "../StreamingChunk.ts"
import * as GenAi from "../values/genAi.ts"
import * as Json from "../values/json.ts"
import * as RequestBody from "../protocol/requestBody.ts"
import * as AiErrors from "./error.ts"
import * as AiPrompt from "./prompt.ts"
import * as AiResponse from "./response.ts"
import * as AiTools from "./tools.ts"

type Hook = LanguageModel.ProviderOptions

export const make = (
  provider: Provider.Provider,
  options: Effect.Effect<Omit<Defaults, "tools" | "toolChoice">, InvalidRequest>
): Effect.Effect<LanguageModel.LanguageModel> => {
  const fail = (method: string, reason: ProviderErrorReason) =>
    AiErrors.make(method, new ProviderError({ provider: provider.name, reason }))

  const prepare = (hook: Hook, method: string): Effect.Effect<ChatRequest, AiError.AiError> =>
    Effect.gen(function* () {
      const request: ChatRequest = { ...(yield* options), ...(yield* Effect.fromResult(toInput(hook))) }
      annotateRequest(hook.span, GenAi.providerName(provider), request)
      return request
    }).pipe(Effect.mapError((reason) => fail(method, reason)))

  return LanguageModel.make({
    codecTransformer,
    generateText: (hook) =>
      Effect.gen(function* () {
        const request = yield* prepare(hook, "generateText")
        const completion = yield* Effect.mapError(provider.complete(request), (error) =>
          AiErrors.make("generateText", error)
        )
        annotateResponse(hook.span, completion)
        const unknown = completion.toolCalls.find(({ name }) => isUnknownTool(hook, name))
        if (unknown !== undefined) return yield* AiErrors.toolNotFound("generateText", unknown.name, hook.tools)
        const text = yield* toText(hook, completion)
        return AiResponse.toParts(completion, text, yield* makeIds(hook))
      }),
    streamText: (hook) =>
      Stream.unwrap(
        Effect.gen(function* () {
          const request = yield* prepare(hook, "streamText")
          const ids = yield* makeIds(hook)
          return provider.stream(request).pipe(
            Stream.mapError((error) => AiErrors.make("streamText", error)),
            toStreamParts(hook, ids)
          )
        })
      )
  })
}

/** Servers constrain answers to the JSON form of a Schema, so answers are decoded from that form. */
const codecTransformer: LanguageModel.CodecTransformer = (schema) => {
  const codec = Schema.toCodecJson(schema)
  return { codec, jsonSchema: Result.getOrThrow(RequestBody.toJsonSchema(codec, "format")) }
}

/** The fields that the request of `effect/ai` decides. The options come from the layer. */
const toInput = ({ prompt, responseFormat, toolChoice, tools }: Hook) =>
  Result.gen(function* () {
    const input = { messages: yield* AiPrompt.toMessages(prompt) }
    const format = responseFormat.type === "json" ? { format: responseFormat.schema } : {}
    return tools.length === 0
      ? { ...input, ...format }
      : { ...input, ...format, tools: yield* AiTools.toTools(tools), toolChoice: AiTools.toToolChoice(toolChoice) }
  })

const makeIds = ({ prompt }: Hook) =>
  Effect.gen(function* () {
    const generator = yield* IdGenerator.IdGenerator
    return AiResponse.makeIds(yield* generator.generateId(), AiPrompt.callIds(prompt))
  })

/** The text and the thinking of an answer. For a typed object, the text is its JSON. */
const toText = (hook: Hook, completion: Completion.Completion) => {
  const { content, finishReason, thinking = "", toolCalls } = completion
  if (hook.responseFormat.type === "text" || toolCalls.length > 0) return Effect.succeed({ content, thinking })
  const json = Completion.jsonText(completion)
  if (finishReason === "length") {
    const description = "the answer is truncated: maxTokens or the context of the model was used up"
    return Effect.fail(AiErrors.invalidObject(json, description))
  }
  const fault = Json.findFault(Json.parse(json))
  return fault === undefined
    ? Effect.succeed({ content: json, thinking: content.trim() === "" ? "" : thinking })
    : Effect.fail(AiErrors.invalidObject(json, `the answer is ${fault}`))
}

/** Models invent the names of tools. */
const isUnknownTool = ({ toolCallValidation, tools }: Hook, name: string): boolean =>
  toolCallValidation !== "deferred" && !tools.some((tool) => tool.name === name)

const toStreamParts =
  (hook: Hook, ids: AiResponse.Ids) =>
  <R>(
    chunks: Stream.Stream<StreamingChunk, AiError.AiError, R>
  ): Stream.Stream<Response.StreamPartEncoded, AiError.AiError, R> =>
    Stream.transformPull(chunks, (pull) =>
      Effect.sync(() => {
        const read = AiResponse.makeReader(ids)
        let failure: AiError.AiError | undefined

        const give = (parts: Array<Response.StreamPartEncoded>): typeof next => {
          const unknown = parts.find((part) => part.type === "tool-call" && isUnknownTool(hook, part.name))
          if (unknown?.type === "tool-call") failure = AiErrors.toolNotFound("streamText", unknown.name, hook.tools)
          // The parts before the calls are delivered. No handler runs.
          const calls = parts.findIndex(({ type }) => type === "tool-call")
          const given = failure === undefined ? parts : parts.slice(0, calls)
          // A chunk without text, such as the progress of the prompt, has no part.
          return Arr.isArrayNonEmpty(given) ? Effect.succeed(given) : next
        }

        const next: Pull.Pull<
          Arr.NonEmptyReadonlyArray<Response.StreamPartEncoded>,
          AiError.AiError,
          void,
          R
        > = Effect.suspend(() => {
          if (failure !== undefined) return Effect.fail(failure)
          return Effect.flatMap(pull, (chunks) => {
            const parts: Array<Response.StreamPartEncoded> = []
            for (const chunk of chunks) {
              read(chunk, parts)
              if (chunk.isFinal) annotateResponse(hook.span, chunk)
            }
            return give(parts)
          })
        })
        return next
      })
    )

const annotateRequest = (span: Span, provider: string, request: ChatRequest): void =>
  Telemetry.addGenAIAnnotations(span, {
    provider: { name: provider },
    operation: { name: "chat" },
    request: {
      model: request.model === undefined ? undefined : GenAi.toText(request.model),
      temperature: request.temperature,
      topK: request.topK,
      topP: request.topP,
      maxTokens: request.maxTokens,
      stopSequences: request.stop,
      frequencyPenalty: request.frequencyPenalty,
      presencePenalty: request.presencePenalty,
      seed: request.seed
    }
  })

const annotateResponse = (
  span: Span,
  { finishReason, model, responseId, usage }: Completion.Completion | FinalChunk
): void =>
  Telemetry.addGenAIAnnotations(span, {
    response: {
      id: responseId === undefined ? undefined : GenAi.toText(responseId),
      model: GenAi.toText(model),
      finishReasons: [finishReason]
    },
    usage: { inputTokens: usage?.promptTokens, outputTokens: usage?.completionTokens }
  })
