/** Completions as a gateway serves them: how the requests of OpenAI's clients are read. `servedChunks` writes the responses. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as CompletionRequest from "../../CompletionRequest.ts"
import * as Json from "../../values/json.ts"
import type { CompletionRoute, Framing, ReceivedCompletion } from "../served.ts"
import type { Read } from "../receivedBody.ts"
import { decodeSampling, invalid, JsonObject, reader, samplingFields } from "../receivedBody.ts"
import { metadata, nullish } from "../wireSchema.ts"
import type { Form } from "./servedChunks.ts"
import * as Chunks from "./servedChunks.ts"
import * as Failures from "./servedFailures.ts"
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
    yield* refuseOthers(body)
    const withUsage = stream_options?.include_usage === true
    return {
      request: yield* Result.mapError(CompletionRequest.check(request), Failures.toWire),
      isStream: stream === true,
      tuning: { extra: toTuning(body) },
      only: toOnly(body),
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

/** Fields that would change the completion, and that no request can have. Values that ask for nothing are accepted. */
const refuseOthers = (body: Json.JsonObject): Read<void> => {
  const name = refused.find((name) => isRequested(name, body[name]))
  return name === undefined
    ? Result.succeed(undefined)
    : invalid(name, name === "n" || name === "best_of" ? "Expected 1" : notSupported)
}

const notSupported = "it is not supported, and the completion would be another without it"

const isRequested = (name: string, value: unknown): boolean => {
  if (value == null || value === false || value === "" || neutral[name]?.includes(value) === true) return false
  if (name === "modalities" && Array.isArray(value)) return value.some((each) => each !== "text")
  return typeof value !== "object" || Object.keys(value).length > 0
}

/** Values that ask for what is done anyway. */
const neutral: { readonly [name: string]: ReadonlyArray<unknown> } = {
  n: [1],
  best_of: [1],
  top_logprobs: [0],
  function_call: ["auto", "none"]
}

const refused = [
  "n best_of logprobs top_logprobs prompt_logprobs suffix echo audio modalities web_search_options",
  // How calls were sent before there were several in one completion.
  "functions function_call",
  // Of llama.cpp and vLLM. `response_format` is the form that all servers know.
  "grammar json_schema guided_json guided_regex guided_choice guided_grammar structured_outputs continue_final_message"
].flatMap((names) => names.split(" "))

/** Fields that only tune a server. */
const toTuning = (body: Json.JsonObject): Json.JsonObject => {
  const tuning = tuningFields.filter((name) => body[name] != null).map((name) => [name, body[name]] as const)
  return { ...Object.fromEntries(tuning), ...toTemplate(body.chat_template_kwargs) }
}

/** Arguments of the chat template. The request has the switch for thinking. */
const toTemplate = (template: unknown): Json.JsonObject => {
  if (!Json.isObject(template)) return {}
  const { enable_thinking, ...rest } = template
  const chat_template_kwargs = typeof enable_thinking === "boolean" ? rest : template
  return Object.keys(chat_template_kwargs).length === 0 ? {} : { chat_template_kwargs }
}

/** Fields that change the completion, and that servers of this protocol know: the probabilities of tokens, which differ by model. */
const toOnly = ({ logit_bias }: Json.JsonObject): Json.JsonObject => (Json.isContent(logit_bias) ? { logit_bias } : {})

/** Samplers and caches of LM Studio, llama.cpp and vLLM, and hints that a server may ignore. */
const tuningFields = [
  // How long LM Studio keeps the model in memory, in seconds.
  "ttl",
  "parallel_tool_calls verbosity draft_model preset cache_prompt repeat_last_n",
  "mirostat mirostat_tau mirostat_eta dynatemp_range dynatemp_exponent xtc_probability xtc_threshold top_n_sigma",
  "dry_multiplier dry_base dry_allowed_length dry_penalty_last_n dry_sequence_breakers samplers",
  "min_tokens ignore_eos length_penalty"
].flatMap((names) => names.split(" "))
