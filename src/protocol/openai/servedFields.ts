/** How the fields of a body are read, and refused. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Text from "effect/String"
import { InvalidRequest } from "../../ProviderError.ts"
import * as Json from "../../values/json.ts"
import * as Values from "../../values/objects.ts"
import { toWireField } from "./servedFailures.ts"

/** A value, or the field that is wrong. */
export type Read<A> = Result.Result<A, InvalidRequest>

/** Reads a body whose fields have these types. Other fields are left out. */
export const make = <A>(schema: Schema.ConstraintDecoder<A>): ((body: unknown) => Read<A>) => {
  const decode = Schema.decodeUnknownResult(schema)
  return (body) => Result.mapError(decode(body), (error) => new InvalidRequest(toFault(error)))
}

const toFault = Values.makeToFault({})

/** Why a field is refused. */
export const invalid = (field: string, description: string): Result.Result<never, InvalidRequest> =>
  Result.fail(new InvalidRequest({ field, description }))

/** The fault of a request, with the names of this protocol. */
export const toWire = ({ description, field }: InvalidRequest): InvalidRequest =>
  new InvalidRequest({
    field: field === undefined ? undefined : toWireField(field),
    description: description?.replace(/\b[a-z]+(?:[A-Z][a-z]+)+\b/g, Text.camelToSnake)
  })

/** A value of any form that is passed on, unless it is nested too deeply to work with. */
export const whole = <A>(value: A, field: string): Read<A> => {
  const fault = Json.findFault(value)
  return fault === undefined ? Result.succeed(value) : invalid(field, `it is ${fault}`)
}

/** Fields that would change the completion, and that no request can have. Values that ask for nothing are accepted. */
export const refuseOthers = (body: Json.JsonObject): Read<void> => {
  const name = refused.find((name) => isRequested(name, body[name]))
  return name === undefined
    ? Result.succeed(undefined)
    : invalid(name, "it is not supported, and the completion would be another without it")
}

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
  "n best_of logprobs top_logprobs prompt_logprobs logit_bias suffix echo audio modalities web_search_options",
  // How calls were sent before there were several in one completion.
  "functions function_call",
  // Of llama.cpp and vLLM. `response_format` is the form that all servers know.
  "grammar json_schema guided_json guided_regex guided_choice guided_grammar structured_outputs continue_final_message"
].flatMap((names) => names.split(" "))

/** Fields that only tune a server; `undefined` if there are none. */
export const toTuning = (body: Json.JsonObject): Read<Json.JsonObject | undefined> => {
  const tuning: Array<readonly [string, unknown]> = []
  for (const name of tuningFields) if (body[name] != null) tuning.push([name, body[name]])
  const template = body.chat_template_kwargs
  if (Json.isObject(template)) {
    // The request has it as `think`.
    const { enable_thinking, ...rest } = template
    if (typeof enable_thinking !== "boolean") tuning.push(["chat_template_kwargs", template])
    else if (Object.keys(rest).length > 0) tuning.push(["chat_template_kwargs", rest])
  }
  if (tuning.length === 0) return Result.succeed(undefined)
  const invalidField = tuning.find(([, value]) => Json.findFault(value) !== undefined)?.[0]
  return invalidField === undefined
    ? Result.succeed(Object.fromEntries(tuning))
    : invalid(invalidField, "it is nested too deeply")
}

/** Samplers and caches of LM Studio, llama.cpp and vLLM, and hints that a server may ignore. */
const tuningFields = [
  "parallel_tool_calls verbosity draft_model cache_prompt repeat_last_n",
  "mirostat mirostat_tau mirostat_eta dynatemp_range dynatemp_exponent xtc_probability xtc_threshold top_n_sigma",
  "dry_multiplier dry_base dry_allowed_length dry_penalty_last_n dry_sequence_breakers samplers",
  "min_tokens ignore_eos length_penalty"
].flatMap((names) => names.split(" "))
