/** The hooks of a `LanguageModel`: prompts become requests, completions become parts. */
import type * as AiError from "effect/ai/AiError"
import * as IdGenerator from "effect/ai/IdGenerator"
import * as LanguageModel from "effect/ai/LanguageModel"
import type * as Response from "effect/ai/Response"
import * as Telemetry from "effect/ai/Telemetry"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Struct from "effect/Struct"
import type { Span } from "effect/Tracer"
import type * as Completion from "../Completion.ts"
import type { ChatRequest, Defaults } from "../CompletionRequest.ts"
import type * as Provider from "../Provider.ts"
import type { InvalidRequest } from "../ProviderError.ts"
import type { FinalChunk, StreamingChunk } from "../StreamingChunk.ts"
import * as GenAi from "../values/genAi.ts"
import * as RequestBody from "../protocol/requestBody.ts"
import * as Errors from "./errors.ts"
import * as AiRequest from "./request.ts"
import * as AiResponse from "./response.ts"

type Hook = LanguageModel.ProviderOptions

export const make = (
  provider: Provider.Provider,
  options: Effect.Effect<Omit<Defaults, "tools" | "toolChoice">, InvalidRequest>
): Effect.Effect<LanguageModel.LanguageModel> => {
  const prepare = Effect.fnUntraced(function* (hook: Hook) {
    const request: ChatRequest = { ...(yield* options), ...(yield* Effect.fromResult(AiRequest.make(hook))) }
    annotateRequest(hook.span, GenAi.providerName(provider), request)
    return request
  })
  const toError = (method: string) => Effect.mapError(Errors.makeToError(provider.name, method))

  return LanguageModel.make({
    codecTransformer,
    generateText: Effect.fnUntraced(function* (hook) {
      const completion = yield* toError("generateText")(Effect.flatMap(prepare(hook), provider.complete))
      annotateResponse(hook.span, completion)
      const unknown = completion.toolCalls.find(({ name }) => isUnknownTool(hook, name))
      if (unknown !== undefined) return yield* Errors.toolNotFound("generateText", unknown.name, hook.tools)
      const text = yield* toText(hook, completion)
      return AiResponse.toParts(completion, text, yield* makeIds(hook))
    }),
    streamText: (hook) =>
      Stream.unwrap(
        Effect.gen(function* () {
          const request = yield* toError("streamText")(prepare(hook))
          const ids = yield* makeIds(hook)
          const chunks = Stream.mapError(provider.stream(request), Errors.makeToError(provider.name, "streamText"))
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
  const { content, thinking = "", toolCalls } = completion
  if (hook.responseFormat.type === "text" || toolCalls.length > 0) return Effect.succeed({ content, thinking })
  return Effect.map(AiResponse.readJson(completion, "generateObject"), ({ text }) => ({
    content: text,
    thinking: content.trim() === "" ? "" : thinking
  }))
}

/** Models invent the names of tools. */
const isUnknownTool = ({ toolCallValidation, tools }: Hook, name: string): boolean =>
  toolCallValidation !== "deferred" && !tools.some((tool) => tool.name === name)

/** The parts before the call of an unknown tool are delivered. No handler runs. */
const toStreamParts = (hook: Hook, ids: AiResponse.Ids, chunks: Stream.Stream<StreamingChunk, AiError.AiError>) =>
  Stream.suspend(() => {
    const isUnknown = (part: Response.StreamPartEncoded) => part.type === "tool-call" && isUnknownTool(hook, part.name)
    let unknown: Response.StreamPartEncoded | undefined
    const parts = Stream.mapAccumArray(
      chunks,
      () => AiResponse.makeReader(ids),
      (read, chunks) => {
        const parts: Array<Response.StreamPartEncoded> = []
        for (const chunk of chunks) {
          read(chunk, parts)
          if (chunk.isFinal) annotateResponse(hook.span, chunk)
        }
        unknown = parts.find(isUnknown)
        return [read, unknown === undefined ? parts : Arr.takeWhile(parts, ({ type }) => type !== "tool-call")]
      }
    )
    // Calls come with the final chunk, which is the last.
    const end = Stream.suspend(() =>
      unknown?.type === "tool-call"
        ? Stream.fail(Errors.toolNotFound("streamText", unknown.name, hook.tools))
        : Stream.empty
    )
    return Stream.concat(parts, end)
  })

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
