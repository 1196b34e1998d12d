/** The hooks of a `LanguageModel`: prompts become requests, completions become parts. */
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
import * as Struct from "effect/Struct"
import type { Span } from "effect/Tracer"
import * as Completion from "../Completion.ts"
import type { ChatRequest, Defaults } from "../CompletionRequest.ts"
import type * as Provider from "../Provider.ts"
import { type InvalidRequest, ProviderError } from "../ProviderError.ts"
import type { FinalChunk, StreamingChunk } from "../StreamingChunk.ts"
import * as GenAi from "../values/genAi.ts"
import * as Json from "../values/json.ts"
import * as RequestBody from "../protocol/requestBody.ts"
import * as AiRequest from "./request.ts"
import * as AiResponse from "./response.ts"

type Hook = LanguageModel.ProviderOptions

export const make = (
  provider: Provider.Provider,
  options: Effect.Effect<Omit<Defaults, "tools" | "toolChoice">, InvalidRequest>
): Effect.Effect<LanguageModel.LanguageModel> => {
  const prepare = (hook: Hook, method: string): Effect.Effect<ChatRequest, AiError.AiError> =>
    Effect.gen(function* () {
      const request: ChatRequest = { ...(yield* options), ...(yield* Effect.fromResult(AiRequest.make(hook))) }
      annotateRequest(hook.span, GenAi.providerName(provider), request)
      return request
    }).pipe(
      Effect.mapError((reason) => AiResponse.toError(method, new ProviderError({ provider: provider.name, reason })))
    )

  return LanguageModel.make({
    codecTransformer,
    generateText: (hook) =>
      Effect.gen(function* () {
        const request = yield* prepare(hook, "generateText")
        const completion = yield* Effect.mapError(provider.complete(request), (error) =>
          AiResponse.toError("generateText", error)
        )
        annotateResponse(hook.span, completion)
        const unknown = completion.toolCalls.find(({ name }) => isUnknownTool(hook, name))
        if (unknown !== undefined) return yield* AiResponse.toolNotFound("generateText", unknown.name, hook.tools)
        const text = yield* toText(hook, completion)
        return AiResponse.toParts(completion, text, yield* makeIds(hook))
      }),
    streamText: (hook) =>
      Stream.unwrap(
        Effect.gen(function* () {
          const request = yield* prepare(hook, "streamText")
          const ids = yield* makeIds(hook)
          const chunks = Stream.mapError(provider.stream(request), (error) => AiResponse.toError("streamText", error))
          return toStreamParts(hook, ids, chunks)
        })
      )
  })
}

/** Servers constrain completions to the JSON form of a Schema, so they are decoded from that form. */
const codecTransformer: LanguageModel.CodecTransformer = (schema) => {
  const codec = Schema.toCodecJson(schema)
  return { codec, jsonSchema: Result.getOrThrow(RequestBody.toJsonSchema(codec, "format")) }
}

const makeIds = ({ prompt }: Hook) =>
  Effect.gen(function* () {
    const generator = yield* IdGenerator.IdGenerator
    return AiResponse.makeIds(yield* generator.generateId(), AiRequest.callIds(prompt))
  })

/** The text and the thinking of a completion. For a typed object, the text is its JSON. */
const toText = (hook: Hook, completion: Completion.Completion) => {
  const { content, finishReason, thinking = "", toolCalls } = completion
  if (hook.responseFormat.type === "text" || toolCalls.length > 0) return Effect.succeed({ content, thinking })
  const json = Completion.jsonText(completion)
  if (finishReason === "length") {
    const description = "the answer is truncated: maxTokens or the context of the model was used up"
    return Effect.fail(AiResponse.invalidObject(json, description))
  }
  const fault = Json.findFault(Json.parse(json))
  return fault === undefined
    ? Effect.succeed({ content: json, thinking: content.trim() === "" ? "" : thinking })
    : Effect.fail(AiResponse.invalidObject(json, `the answer is ${fault}`))
}

/** Models invent the names of tools. */
const isUnknownTool = ({ toolCallValidation, tools }: Hook, name: string): boolean =>
  toolCallValidation !== "deferred" && !tools.some((tool) => tool.name === name)

type Parts = Pull.Pull<Arr.NonEmptyReadonlyArray<Response.StreamPartEncoded>, AiError.AiError>

const toStreamParts = (hook: Hook, ids: AiResponse.Ids, chunks: Stream.Stream<StreamingChunk, AiError.AiError>) =>
  Stream.transformPull(chunks, (pull) =>
    Effect.sync(() => {
      const read = AiResponse.makeReader(ids)
      let failure: AiError.AiError | undefined

      const toParts = (chunks: Arr.NonEmptyReadonlyArray<StreamingChunk>): Parts => {
        const parts: Array<Response.StreamPartEncoded> = []
        for (const chunk of chunks) {
          read(chunk, parts)
          if (chunk.isFinal) annotateResponse(hook.span, chunk)
        }
        const unknown = parts.find((part) => part.type === "tool-call" && isUnknownTool(hook, part.name))
        if (unknown?.type === "tool-call") failure = AiResponse.toolNotFound("streamText", unknown.name, hook.tools)
        // The parts before the calls are delivered. No handler runs.
        const calls = parts.findIndex(({ type }) => type === "tool-call")
        const delivered = failure === undefined ? parts : parts.slice(0, calls)
        // A chunk without text, such as the progress of the prompt, has no part.
        return Arr.isArrayNonEmpty(delivered) ? Effect.succeed(delivered) : next
      }
      const next: Parts = Effect.suspend(() =>
        failure === undefined ? Effect.flatMap(pull, toParts) : Effect.fail(failure)
      )
      return next
    })
  )

const annotateRequest = (span: Span, provider: string, request: ChatRequest): void =>
  Telemetry.addGenAIAnnotations(span, {
    provider: { name: provider },
    operation: { name: "chat" },
    request: {
      ...Struct.pick(request, ["temperature", "topK", "topP", "maxTokens"]),
      ...Struct.pick(request, ["frequencyPenalty", "presencePenalty", "seed"]),
      model: request.model === undefined ? undefined : GenAi.toText(request.model),
      stopSequences: request.stop
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
