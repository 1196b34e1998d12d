/** Completions and embeddings in Ollama's own protocol. Facts: Ollama's `api/types.go` and `server/routes.go`. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { CompletionRequest, Message } from "../../CompletionRequest.ts"
import type { Embedding, EmbeddingRequest } from "../../Embedding.ts"
import { InvalidRequest, Unsupported } from "../../ProviderError.ts"
import type { StreamingChunk } from "../../StreamingChunk.ts"
import * as Json from "../../values/json.ts"
import * as Values from "../../values/objects.ts"
import * as Content from "../content.ts"
import * as Endpoint from "../endpoint.ts"
import { embeddingErrors } from "../knownErrors.ts"
import type { Encoded } from "../requestBody.ts"
import * as RequestBody from "../requestBody.ts"
import * as WireSchema from "../wireSchema.ts"
import * as KeepAlive from "./keepAlive.ts"
import { makeDecoder } from "./response.ts"

const encodeChat = (request: CompletionRequest): Encoded =>
  Result.gen(function* () {
    const messages = yield* Result.all(RequestBody.completeMessages(request.messages ?? []).map(encodeMessage))
    const { toolChoice = "auto" } = request
    if (toolChoice !== "auto" && toolChoice !== "none") {
      const description = 'Ollama knows "auto" and "none" only'
      return yield* Result.fail(new Unsupported({ feature: "toolChoice", description }))
    }
    const tools = toolChoice === "none" ? undefined : yield* RequestBody.encodeTools(request)
    return yield* encodeBody(request, { messages, tools, think: request.think })
  })

/** `raw`: the prompt is continued as it is. */
const encodeGenerate = (request: CompletionRequest): Encoded =>
  encodeBody(request, { prompt: request.prompt, raw: true, images: request.images?.map(RequestBody.toBase64) })

const encodeMessage = (message: Message, i: number): Encoded => {
  // Ollama accepts arguments as an object only.
  const bad = message.toolCalls?.findIndex((call) => !Json.isObject(call.arguments)) ?? -1
  if (bad !== -1) {
    return Result.fail(
      new InvalidRequest({ field: `messages[${i}].toolCalls[${bad}].arguments`, description: "Expected an object" })
    )
  }
  const images = Content.toImages(message)
  return Result.succeed({
    role: message.role,
    content: Content.toText(message),
    thinking: message.thinking,
    images: images.length === 0 ? undefined : images.map(RequestBody.toBase64),
    tool_calls: message.toolCalls?.map(({ arguments: input, id, name }) => ({
      id,
      function: { name, arguments: input }
    })),
    tool_call_id: message.toolCallId,
    tool_name: message.toolName
  })
}

const encodeBody = (request: CompletionRequest, input: Json.JsonObject): Encoded =>
  Result.map(encodeFormat(request.format), (format) => {
    // Without these two, Ollama silently drops what does not fit. It knows them since 0.12.6 and ignores them before.
    const whole = request.overflow === "truncate" ? {} : { truncate: false, shift: false }
    const body = {
      model: request.model,
      ...input,
      stream: true,
      format,
      keep_alive: KeepAlive.encode(request.keepAlive),
      ...whole,
      options: {
        ...RequestBody.encodeSampling(request),
        num_predict: request.maxTokens,
        num_ctx: request.contextLength
      }
    }
    return request.extra === undefined ? body : Values.merge(body, request.extra)
  })

const encodeFormat = (format: CompletionRequest["format"]): Encoded<"json" | Json.JsonObject | undefined> =>
  format === undefined || format === "json" ? Result.succeed(format) : RequestBody.toJsonSchema(format, "format")

const completion = (
  path: string,
  encode: Endpoint.Endpoint<CompletionRequest, StreamingChunk>["encode"]
): Endpoint.Endpoint<CompletionRequest, StreamingChunk> => ({
  method: "POST",
  path,
  framing: "ndjson",
  encode,
  decoder: makeDecoder
})

/** For requests with `messages`. */
export const chat = completion("/api/chat", encodeChat)

/** For requests with a `prompt`: raw, so the server adds no template. */
export const generate = completion("/api/generate", encodeGenerate)

const Embedded = Schema.Struct({
  model: WireSchema.metadata,
  embeddings: WireSchema.nullish(Schema.Array(Schema.Array(Schema.Finite))),
  prompt_eval_count: WireSchema.metadata
})

/** `POST /api/embed`. */
export const embed: Endpoint.Endpoint<EmbeddingRequest, Embedding> = {
  method: "POST",
  path: "/api/embed",
  framing: "json",
  errorRules: embeddingErrors,
  encode: ({ dimensions, extra, input, keepAlive, model, overflow }) =>
    Result.succeed(
      Values.merge(
        // Without `truncate: false`, Ollama silently drops what does not fit.
        { model, input, dimensions, truncate: overflow === "truncate", keep_alive: KeepAlive.encode(keepAlive) },
        extra ?? {}
      )
    ),
  decoder: Endpoint.json(Embedded, ({ embeddings, model, prompt_eval_count }, context) =>
    Result.succeed<Embedding>({
      model: Json.toText(model) ?? context.model ?? "",
      vectors: embeddings ?? [],
      promptTokens: Json.toCount(prompt_eval_count)
    })
  )
}
