/**
 * The OpenAI-style protocol as LM Studio, llama.cpp's server and Ollama's `/v1` speak it: server-sent events, each with one
 * JSON chunk, then `[DONE]`. Servers differ in what they leave out, send as null or spell differently: what is needed is
 * read wherever one of them puts it.
 */
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { CompletionRequest, Image, Message } from "../CompletionRequest.ts"
import { InvalidRequest, LineTooLong, StreamTruncated, Unsupported } from "../ProviderError.ts"
import type { FinishReason, StreamingChunk, Timings, Usage } from "../StreamingChunk.ts"
import * as Json from "./json.ts"
import type { DecoderOptions, LineDecoder, Progress, Protocol, Writable } from "./protocol.ts"
import * as RequestBody from "./requestBody.ts"
import * as ServerFailure from "./serverFailure.ts"
import * as Sse from "./sse.ts"
import * as ToolCallAssembly from "./toolCallAssembly.ts"

const accept = "text/event-stream"

/** `POST /v1/chat/completions`, for requests with `messages`. */
export const chat: Protocol = {
  path: "/v1/chat/completions",
  accept,
  encode: (request) =>
    Result.gen(function* () {
      const messages: Array<Json.JsonObject> = []
      for (const [i, message] of (request.messages ?? []).entries()) messages.push(yield* encodeMessage(message, i))
      const tools = yield* RequestBody.encodeTools(request)
      const effort = request.think === true ? undefined : request.think === false ? "none" : request.think
      return yield* encodeBody(request, { messages, tools, reasoning_effort: effort })
    }),
  decoder: (options) => makeDecoder(options)
}

/** `POST /v1/completions`, for requests with a `prompt`. */
export const completion: Protocol = {
  path: "/v1/completions",
  accept,
  encode: (request) =>
    request.images !== undefined && request.images.length > 0
      ? Result.fail(new Unsupported({ feature: "images with prompt", description: "put them into messages" }))
      : encodeBody(request, { prompt: request.prompt }),
  decoder: (options) => makeDecoder(options)
}

// --- request

const encodeMessage = (message: Message, i: number): Result.Result<Json.JsonObject, InvalidRequest> =>
  Result.gen(function* () {
    const calls: Array<Json.JsonObject> = []
    for (const [j, { arguments: value, id, name }] of (message.toolCalls ?? []).entries()) {
      const text = yield* RequestBody.stringify(value ?? {}, `messages[${i}].toolCalls[${j}].arguments`)
      calls.push({ id, type: "function", function: { name, arguments: text } })
    }
    const images = message.images ?? []
    return {
      role: message.role,
      content:
        images.length === 0 ? message.content : [{ type: "text", text: message.content }, ...images.map(encodeImage)],
      tool_calls: calls.length === 0 ? undefined : calls,
      tool_call_id: message.toolCallId
    }
  })

/** LM Studio takes data URIs only, and wants the type in them. */
const encodeImage = (image: Image): Json.JsonObject => {
  const base64 = RequestBody.toBase64(image)
  const type = base64.startsWith("/9j/") ? "image/jpeg" : base64.startsWith("UklGR") ? "image/webp" : "image/png"
  return { type: "image_url", image_url: { url: `data:${type};base64,${base64}` } }
}

const encodeBody = (
  request: CompletionRequest,
  input: Json.JsonObject
): Result.Result<Json.JsonObject, InvalidRequest> =>
  Result.gen(function* () {
    const schema =
      request.format === undefined || request.format === "json"
        ? { type: "object" }
        : yield* RequestBody.toJsonSchema(request.format, "format")
    const ttl = request.keepAlive === undefined ? undefined : Duration.fromInputUnsafe(request.keepAlive)
    if (ttl !== undefined && !Duration.isFinite(ttl)) {
      return yield* Result.fail(
        new InvalidRequest({ field: "keepAlive", description: "this server takes finite durations only" })
      )
    }
    const body = {
      model: request.model,
      ...input,
      stream: true,
      // Without this there is no usage in a stream.
      stream_options: { include_usage: true },
      ...RequestBody.encodeSampling(request),
      max_tokens: request.maxTokens,
      // LM Studio refuses `json_object`; a schema of any object means the same.
      response_format:
        request.format === undefined
          ? undefined
          : { type: "json_schema", json_schema: { name: "answer", strict: true, schema } },
      ttl: ttl === undefined ? undefined : Math.round(Duration.toSeconds(ttl))
    }
    return RequestBody.merge(body, request.extra ?? {})
  })

// --- answer

/** One chunk: `delta` in a chat, `text` in a plain completion; no choice at all in the chunk that tells the usage. */
const Chunk = Schema.Struct({
  choices: Json.nullish(
    Schema.Array(
      Schema.Struct({
        delta: Json.nullish(
          Schema.Struct({
            content: Json.nullish(Schema.String),
            reasoning_content: Json.nullish(Schema.String),
            reasoning: Json.nullish(Schema.String),
            tool_calls: Json.nullish(Schema.Array(ToolCallAssembly.Fragment))
          })
        ),
        text: Json.nullish(Schema.String),
        finish_reason: Json.nullish(Schema.String)
      })
    )
  ),
  // The rest counts on the last chunks.
  model: Json.nullish(Schema.String),
  usage: Json.nullish(
    Schema.Struct({
      prompt_tokens: Json.nullish(Schema.Number),
      completion_tokens: Json.nullish(Schema.Number),
      total_tokens: Json.nullish(Schema.Number)
    })
  ),
  timings: Json.nullish(
    Schema.Struct({ prompt_ms: Json.nullish(Schema.Number), predicted_ms: Json.nullish(Schema.Number) })
  )
})

interface Chunk extends Schema.Schema.Type<typeof Chunk> {}

const chunkSchema = Json.lineSchema(Chunk)

const doneMarker = "[DONE]"

const makeDecoder = ({ maxLineBytes, model: askedModel }: DecoderOptions): LineDecoder => {
  const events = Sse.make()
  const calls = ToolCallAssembly.make()
  let model = askedModel
  let finishReason: string | undefined
  let usage: Usage | undefined
  let timings: Timings | undefined

  const finish = (chunks: Array<StreamingChunk>): Progress => {
    // `[DONE]` alone is no proof: servers send it after a failure too.
    if (finishReason === undefined) return new StreamTruncated()
    const toolCalls = calls.complete()
    if (Result.isFailure(toolCalls)) return toolCalls.failure
    chunks.push({
      content: "",
      isFinal: true,
      ...(toolCalls.success.length === 0 ? {} : { toolCalls: toolCalls.success }),
      model,
      finishReason: toolCalls.success.length > 0 ? "tool-calls" : toFinishReason(finishReason),
      ...(usage === undefined ? {} : { usage }),
      ...(timings === undefined ? {} : { timings })
    })
    return "complete"
  }

  const event = ({ data, name }: Sse.Event, chunks: Array<StreamingChunk>): Progress => {
    if (data === "" && name !== "error") return "open"
    if (data.startsWith(doneMarker)) return finish(chunks)
    const value = Json.parse(data)
    const isError = Json.isObject(value) && (name === "error" || Boolean(value.error))
    if (isError) return ServerFailure.toReason({ report: ServerFailure.readValue(value), model: askedModel })
    if (name === "error") return ServerFailure.toReason({ report: ServerFailure.readBody(data), model: askedModel })
    const isChunk = Json.isObject(value) && "choices" in value
    // Proxies put in events of their own, such as pings; only what has no name must be a chunk.
    if (!isChunk && name !== "" && name !== "message") return "open"
    if (!chunkSchema.is(value)) return chunkSchema.parseError(data)
    if (value.choices === undefined && value.usage == null) {
      return Json.parseError(data, "neither a piece of an answer nor an error")
    }
    return chunk(value, chunks)
  }

  const chunk = (record: Chunk, chunks: Array<StreamingChunk>): Progress => {
    const choice = record.choices?.[0]
    if (choice !== undefined) {
      if (choice.finish_reason) finishReason = choice.finish_reason
      const { delta } = choice
      const content = delta?.content ?? choice.text ?? ""
      const thinking = delta?.reasoning_content || delta?.reasoning
      const fragments = delta?.tool_calls ?? []
      // The final chunk stands for a finish chunk that says nothing else.
      if (finishReason === undefined || content !== "" || thinking || fragments.length > 0) {
        const piece: Writable<StreamingChunk> = { content, isFinal: false }
        if (thinking) piece.thinking = thinking
        if (fragments.length > 0) piece.toolCallDeltas = fragments.map(calls.add)
        chunks.push(piece)
      }
    }
    if (calls.length() > maxLineBytes) return new LineTooLong({ limit: maxLineBytes })
    if (record.model) model = record.model
    if (record.timings) timings = toTimings(record.timings)
    const told = record.usage ? toUsage(record.usage) : undefined
    if (told !== undefined) usage = told
    // Nothing that is worth waiting for comes behind both.
    return finishReason !== undefined && told !== undefined ? finish(chunks) : "open"
  }

  return {
    line: (text, chunks) => {
      const complete = events.line(text)
      if (complete !== undefined) return event(complete, chunks)
      return events.pendingLength() > maxLineBytes ? new LineTooLong({ limit: maxLineBytes }) : "open"
    },
    end: (chunks) => {
      const rest = events.rest()
      const isWhole = rest !== undefined && (rest.data.startsWith(doneMarker) || Json.parse(rest.data) !== undefined)
      const progress = isWhole ? event(rest, chunks) : "open"
      if (progress !== "open") return progress
      return finishReason === undefined ? "open" : finish(chunks)
    }
  }
}

const toFinishReason = (reason: string): FinishReason => {
  switch (reason) {
    case "stop":
    case "length":
      return reason
    case "tool_calls":
    case "function_call":
      return "tool-calls"
    case "content_filter":
      return "content-filter"
    default:
      return "other"
  }
}

/** All zeros were seen from servers that do not count: the same as nothing. */
const toUsage = (usage: NonNullable<Chunk["usage"]>): Usage | undefined => {
  const promptTokens = usage.prompt_tokens ?? undefined
  const completionTokens = usage.completion_tokens ?? undefined
  const totalTokens = usage.total_tokens ?? undefined
  return promptTokens || completionTokens || totalTokens ? { promptTokens, completionTokens, totalTokens } : undefined
}

const toTimings = (timings: NonNullable<Chunk["timings"]>): Timings => ({
  prompt: timings.prompt_ms == null ? undefined : Duration.millis(timings.prompt_ms),
  completion: timings.predicted_ms == null ? undefined : Duration.millis(timings.predicted_ms)
})
