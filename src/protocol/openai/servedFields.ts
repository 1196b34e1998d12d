/** Fields of a body that a request does not have: those that are refused, and those that only tune a server. */
import * as Result from "effect/Result"
import * as Text from "effect/String"
import { InvalidRequest } from "../../ProviderError.ts"
import type { JsonObject } from "../../values/json.ts"
import * as Json from "../../values/json.ts"
import type { Read } from "../receivedBody.ts"
import * as ReceivedBody from "../receivedBody.ts"
import { toWireField } from "./servedFailures.ts"

/** The fault of a request, with the names of this protocol. */
export const toWire = ({ description, field }: InvalidRequest): InvalidRequest =>
  new InvalidRequest({
    field: field === undefined ? undefined : toWireField(field),
    description: description?.replace(/\b[a-z]+(?:[A-Z][a-z]+)+\b/g, Text.camelToSnake)
  })

/** Fields that would change the completion, and that no request can have. Values that ask for nothing are accepted. */
export const refuseOthers = (body: JsonObject): Read<void> => {
  const name = refused.find((name) => isRequested(name, body[name]))
  return name === undefined
    ? Result.succeed(undefined)
    : ReceivedBody.invalid(name, name === "n" || name === "best_of" ? "Expected 1" : notSupported)
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
export const toTuning = (body: JsonObject): JsonObject => {
  const tuning = tuningFields.filter((name) => body[name] != null).map((name) => [name, body[name]] as const)
  return { ...Object.fromEntries(tuning), ...toTemplate(body.chat_template_kwargs) }
}

/** Arguments of the chat template. The request has the switch for thinking. */
const toTemplate = (template: unknown): JsonObject => {
  if (!Json.isObject(template)) return {}
  const { enable_thinking, ...rest } = template
  const chat_template_kwargs = typeof enable_thinking === "boolean" ? rest : template
  return Object.keys(chat_template_kwargs).length === 0 ? {} : { chat_template_kwargs }
}

/** Fields that change the completion, and that servers of this protocol know: the probabilities of tokens, which differ by model. */
export const toOnly = ({ logit_bias }: JsonObject): JsonObject => (Json.isContent(logit_bias) ? { logit_bias } : {})

/** Samplers and caches of LM Studio, llama.cpp and vLLM, and hints that a server may ignore. */
const tuningFields = [
  // How long LM Studio keeps the model in memory, in seconds.
  "ttl",
  "parallel_tool_calls verbosity draft_model preset cache_prompt repeat_last_n",
  "mirostat mirostat_tau mirostat_eta dynatemp_range dynatemp_exponent xtc_probability xtc_threshold top_n_sigma",
  "dry_multiplier dry_base dry_allowed_length dry_penalty_last_n dry_sequence_breakers samplers",
  "min_tokens ignore_eos length_penalty"
].flatMap((names) => names.split(" "))
