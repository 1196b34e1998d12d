/** Completions as a gateway serves them: how the requests of OpenAI's clients are read. `servedChunks` writes the responses. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as CompletionRequest from "../../CompletionRequest.ts"
import type * as Json from "../../values/json.ts"
import type { CompletionRoute, Framing, ReceivedCompletion } from "../served.ts"
import type { Read } from "../receivedBody.ts"
import { decodeSampling, invalid, JsonObject, reader, samplingFields } from "../receivedBody.ts"
import { metadata, nullish } from "../wireSchema.ts"
import type { Form } from "./servedChunks.ts"
import * as Chunks from "./servedChunks.ts"
import * as Fields from "./servedFields.ts"
import * as Messages from "./servedMessages.ts"

/** The kinds of servers that speak it. */
export const kinds: ReadonlyArray<string> = ["OpenAI-compatible server", "lmstudio", "llama-server"]

const number = nullish(Schema.Finite)

const Format = Schema.Struct({
  type: Schema.Literals(["text", "json_object", "json_schema"]),
  json_schema: nullish(Schema.Struct({ schema: nullish(JsonObject) }))
})

/** The fields that both routes have. */
const commonFields = {
  model: nullish(Schema.String),
  stream: nullish(Schema.Boolean),
  stream_options: nullish(Schema.Struct({ include_usage: nullish(Schema.Boolean) })),
  ...samplingFields,
  max_tokens: number,
  max_completion_tokens: number,
  // vLLM's name of the penalty for repetitions.
  repetition_penalty: number,
  response_format: nullish(Format),
  logit_bias: nullish(JsonObject),
  ttl: number,
  prompt_cache_key: nullish(Schema.String)
}

const Common = Schema.Struct(commonFields)

const readChat = reader(
  Schema.Struct({
    ...commonFields,
    messages: Schema.Array(Messages.WireMessage),
    tools: nullish(Schema.Array(Messages.WireTool)),
    tool_choice: nullish(Messages.WireToolChoice),
    reasoning_effort: nullish(Schema.String),
    reasoning: nullish(Schema.Struct({ effort: nullish(Schema.String) })),
    chat_template_kwargs: nullish(Schema.Struct({ enable_thinking: metadata }))
  })
)

const readCompletion = reader(
  Schema.Struct({ ...commonFields, prompt: Schema.Union([Schema.String, Schema.Array(Schema.Unknown)]) })
)

const framing: Framing = { contentType: "text/event-stream", keepAlive: ": keep-alive\n\n" }

/** `POST /v1/chat/completions`. */
export const chat: CompletionRoute = {
  path: "/v1/chat/completions",
  framing,
  decode: (body) =>
    Result.gen(function* () {
      const fields = yield* readChat(body)
      const messages = yield* Messages.toMessages(fields.messages)
      const tools = yield* Messages.toTools(fields.tools)
      const request = {
        ...(yield* toOptions(fields)),
        messages,
        tools,
        toolChoice: Messages.toToolChoice(fields.tool_choice, tools),
        think: toThink(fields)
      }
      return yield* receive(body, fields, request, Chunks.chat)
    })
}

/** `POST /v1/completions`. */
export const completion: CompletionRoute = {
  path: "/v1/completions",
  framing,
  decode: (body) =>
    Result.gen(function* () {
      const fields = yield* readCompletion(body)
      const request = { ...(yield* toOptions(fields)), prompt: yield* toPrompt(fields.prompt) }
      return yield* receive(body, fields, request, Chunks.completion)
    })
}

const receive = (
  body: Json.JsonObject,
  { stream, stream_options }: typeof Common.Type,
  request: CompletionRequest.CompletionRequest,
  form: Form
): Read<ReceivedCompletion> =>
  Result.gen(function* () {
    yield* Fields.refuseOthers(body)
    const withUsage = stream_options?.include_usage === true
    return {
      request: yield* Result.mapError(CompletionRequest.check(request), Fields.toWire),
      isStream: stream === true,
      tuning: { extra: Fields.toTuning(body) },
      only: Fields.toOnly(body),
      makeWriter: (context) => Chunks.makeWriter(form, context, withUsage),
      encode: (completion, context) => Chunks.encode(form, completion, context)
    }
  })

const toOptions = (fields: typeof Common.Type) =>
  Result.map(toFormat(fields.response_format), (format) => {
    const sampling = decodeSampling(fields)
    return {
      ...sampling,
      model: fields.model ?? undefined,
      // vLLM has -1 for all of them.
      topK: sampling.topK === -1 ? 0 : sampling.topK,
      maxTokens: toMaxTokens(fields.max_completion_tokens ?? fields.max_tokens),
      repeatPenalty: sampling.repeatPenalty ?? fields.repetition_penalty ?? undefined,
      format
    }
  })

/** LM Studio and llama.cpp have -1 for no limit. */
const toMaxTokens = (count: number | null | undefined): number | undefined =>
  count === -1 ? undefined : (count ?? undefined)

const toFormat = (
  format: typeof Format.Type | null | undefined
): Read<CompletionRequest.CompletionRequest["format"]> => {
  if (format == null || format.type === "text") return Result.succeed(undefined)
  if (format.type === "json_object") return Result.succeed("json")
  const schema = format.json_schema?.schema
  return schema == null ? invalid("response_format.json_schema.schema", "Expected an object") : Result.succeed(schema)
}

/** The effort, or the switch that templates have for it. The second form of the effort is that of OpenRouter. */
const toThink = (fields: {
  readonly reasoning_effort?: string | null
  readonly reasoning?: { readonly effort?: string | null } | null
  readonly chat_template_kwargs?: { readonly enable_thinking?: unknown } | null
}): CompletionRequest.ChatRequest["think"] => {
  const effort = fields.reasoning_effort || fields.reasoning?.effort
  if (effort) return effort === "none" ? false : effort
  const enabled = fields.chat_template_kwargs?.enable_thinking
  return typeof enabled === "boolean" ? enabled : undefined
}

/** One text. Clients may put it into a list. Tokens belong to one model alone, and several texts have several completions. */
const toPrompt = (prompt: string | ReadonlyArray<unknown>): Read<string> => {
  if (typeof prompt === "string") return Result.succeed(prompt)
  const [first] = prompt
  return prompt.length === 1 && typeof first === "string"
    ? Result.succeed(first)
    : invalid("prompt", "Expected one text, not tokens and not several texts")
}
