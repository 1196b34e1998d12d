/**
 * Requests for completions that a client of Ollama sent: the other direction of `endpoints.ts`. Facts: Ollama's `api/types.go` and
 * `server/routes.go`, version 0.33. As there, null is the same as no field, and fields that are not known are ignored.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Text from "effect/String"
import * as Struct from "effect/Struct"
import * as CompletionRequest from "../../CompletionRequest.ts"
import { InvalidRequest } from "../../ProviderError.ts"
import * as Checked from "../../values/checked.ts"
import * as Json from "../../values/json.ts"
import * as Values from "../../values/objects.ts"
import type * as Served from "../served.ts"
import { nullish } from "../wireSchema.ts"
import * as KeepAlive from "./keepAlive.ts"
import * as Messages from "./servedMessages.ts"
import * as Response from "./servedResponse.ts"

const number = nullish(Schema.Finite)
const text = nullish(Schema.String)
const flag = nullish(Schema.Boolean)

/** Options that `CompletionRequest` does not have. They only tune a server. */
const tuningOptions = Struct.Record(
  [
    "num_keep",
    "repeat_last_n",
    "mirostat",
    "mirostat_tau",
    "mirostat_eta",
    "tfs_z",
    "penalize_newline",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "num_thread",
    "draft_num_predict",
    "numa",
    "low_vram",
    "f16_kv",
    "logits_all",
    "vocab_only",
    "use_mmap",
    "use_mlock"
  ],
  nullish(Schema.Union([Schema.Finite, Schema.Boolean]))
)

export const Options = Schema.Struct({
  ...Struct.Record(
    ["temperature", "top_p", "top_k", "typical_p", "min_p", "seed", "repeat_penalty", "presence_penalty"],
    number
  ),
  ...Struct.Record(["frequency_penalty", "num_predict", "num_ctx"], number),
  // Ollama takes a list only.
  stop: nullish(Schema.Union([Schema.Array(Schema.String), Schema.String])),
  ...tuningOptions
})

interface Options extends Schema.Schema.Type<typeof Options> {}

/** The fields of both routes. */
const common = {
  model: text,
  stream: flag,
  format: nullish(Schema.Union([Schema.Literals(["json", ""]), Schema.declare(Json.isObject, { expected: "object" })])),
  keep_alive: KeepAlive.Wire,
  think: nullish(Schema.Union([Schema.Boolean, Schema.String])),
  truncate: flag,
  shift: flag,
  options: nullish(Options),
  logprobs: flag,
  top_logprobs: number,
  _debug_render_only: flag
}

const Common = Schema.Struct(common)
interface Common extends Schema.Schema.Type<typeof Common> {}

const Chat = Schema.Struct({
  ...common,
  messages: nullish(Schema.Array(Messages.WireMessage)),
  tools: nullish(Schema.Array(Messages.WireTool))
})

const Generate = Schema.Struct({
  ...common,
  prompt: text,
  suffix: text,
  system: text,
  template: text,
  raw: flag,
  images: Messages.images,
  context: nullish(Schema.Array(Schema.Finite))
})
interface Generate extends Schema.Schema.Type<typeof Generate> {}

/** Reads the fields of a body. The failure names the field as the client did. */
export const reader = <S extends Schema.ConstraintDecoder<unknown>>(
  schema: S
): ((body: Json.JsonObject) => Result.Result<S["Type"], InvalidRequest>) => {
  const decode = Schema.decodeUnknownResult(schema)
  return (body) =>
    Result.mapError(decode(body), (error) => {
      const { description, field } = toFault(error)
      return new InvalidRequest({ field, description: description?.replace(/ \| null$/, "") })
    })
}

const toFault = Values.makeToFault({})

const invalid = (field: string, description: string) => Result.fail(new InvalidRequest({ field, description }))

/** The model of a body. */
export const requireModel = (model: string | null | undefined): Result.Result<string, InvalidRequest> =>
  model == null || model === "" ? invalid("model", "it is required") : Result.succeed(model)

/** What a request has besides its input. */
type Base = Pick<Served.ReceivedCompletion, "isStream"> & {
  readonly model: string
  readonly options: Omit<CompletionRequest.Defaults, "think" | "toolChoice" | "tools">
  readonly tuning: Served.Tuning
}

const readCommon = (body: Common): Result.Result<Base, InvalidRequest> =>
  Result.gen(function* () {
    const { format, options, shift, stream, truncate } = body
    const model = yield* requireModel(body.model)
    // A chunk has no place for them.
    if (body.logprobs === true) return yield* invalid("logprobs", "they cannot be reported")
    if ((body.top_logprobs ?? 0) > 0) return yield* invalid("top_logprobs", "they cannot be reported")
    if (body._debug_render_only === true) return yield* invalid("_debug_render_only", "it is not supported")
    const keepAlive = yield* KeepAlive.decode(body.keep_alive)
    const contextLength = toCount(options?.num_ctx)
    const isWhole = truncate === false
    const shifts = shift ?? true
    // `overflow` decides both alike.
    const extra = { ...(shifts === isWhole ? { shift: shifts } : {}), ...toTuning(options ?? {}) }
    return {
      isStream: stream ?? true,
      model,
      options: {
        ...toSampling(options ?? {}),
        ...(format == null || format === "" ? {} : { format }),
        // Ollama drops what does not fit, unless it is told not to.
        overflow: isWhole ? undefined : "truncate"
      },
      tuning: {
        ...(keepAlive === undefined ? {} : { keepAlive }),
        ...(contextLength === undefined ? {} : { contextLength }),
        ...(Object.keys(extra).length === 0 ? {} : { extra })
      }
    }
  })

const toSampling = (options: Options): Base["options"] => {
  const { num_predict, seed, stop, top_k } = options
  const stops = typeof stop === "string" ? [stop] : stop
  return {
    temperature: options.temperature ?? undefined,
    topP: options.top_p ?? undefined,
    // Ollama cuts fractions off. Below zero means all.
    topK: top_k == null ? undefined : Math.max(0, Math.trunc(top_k)),
    typicalP: options.typical_p ?? undefined,
    minP: options.min_p ?? undefined,
    seed: seed == null ? undefined : Math.trunc(seed),
    stop: stops?.filter((text) => text !== ""),
    maxTokens: toCount(num_predict),
    repeatPenalty: options.repeat_penalty ?? undefined,
    presencePenalty: options.presence_penalty ?? undefined,
    frequencyPenalty: options.frequency_penalty ?? undefined
  }
}

/** Zero, and what is below it, means that the server decides. */
const toCount = (value: number | null | undefined): number | undefined =>
  value == null || value < 1 ? undefined : Math.trunc(value)

export const toTuning = (options: Options): { readonly options?: Json.JsonObject } => {
  const known = Object.entries(options).filter(([name, value]) => Object.hasOwn(tuningOptions, name) && value !== null)
  return known.length === 0 ? {} : { options: Object.fromEntries(known) }
}

const withoutTuning = { contextLength: undefined, extra: undefined, keepAlive: undefined }

/** The request as a whole, checked. `rename`: what the client calls a field of the request, if it is not the usual name. */
const check = (
  input: CompletionRequest.CompletionRequest,
  { options, tuning }: Base,
  rename: (field: string) => string = (field) => field
): Result.Result<CompletionRequest.CompletionRequest, InvalidRequest> => {
  const checked = CompletionRequest.check({ ...options, ...input, ...tuning })
  return Result.mapError(
    Result.map(checked, (request) => Checked.update(request, withoutTuning)),
    ({ description, field = "" }) => new InvalidRequest({ field: rename(toWireField(field)), description })
  )
}

/** The names of a body for those of a request, such as `options.top_p` for `topP`. */
const toWireField = (field: string): string => {
  const name = otherNames.get(field) ?? Text.camelToSnake(field)
  const [first = ""] = /^\w+/.exec(name) ?? []
  if (Object.hasOwn(Options.fields, first)) return `options.${name}`
  return name.replace(/(\b(?:tools|tool_calls)\[\d+\])\./, "$1.function.")
}

const otherNames: ReadonlyMap<string, string> = new Map([
  ["maxTokens", "num_predict"],
  ["contextLength", "num_ctx"]
])

const readChat = reader(Chat)

/** `POST /api/chat`. */
export const decodeChat: Served.Decode<Served.ReceivedCompletion> = (body) =>
  Result.gen(function* () {
    const chat = yield* readChat(body)
    const base = yield* readCommon(chat)
    const { isStream, model, tuning } = base
    if (chat.messages == null || chat.messages.length === 0) return yield* receiveLoad(Response.message, base)
    const tools = Messages.toTools(chat.tools ?? [])
    const request = yield* check(
      {
        model,
        messages: Messages.toMessages(chat.messages),
        ...(tools.length === 0 ? {} : { tools }),
        ...toThink(chat.think)
      },
      base
    )
    return { request, isStream, tuning, ...isOptional(chat), ...responses(Response.message) }
  })

const readGenerate = reader(Generate)

/** `POST /api/generate`. Without `raw`, the model's template is applied, so that the prompt is a message of the user. */
export const decodeGenerate: Served.Decode<Served.ReceivedCompletion> = (body) =>
  Result.gen(function* () {
    const generate = yield* readGenerate(body)
    const base = yield* readCommon(generate)
    const { isStream, model, tuning } = base
    const { prompt, raw, suffix, system, template } = generate
    if ((generate.context ?? []).length > 0) return yield* invalid("context", "send the conversation to /api/chat")
    if (raw === true && (template || system)) {
      return yield* invalid(template ? "template" : "system", "Expected without raw")
    }
    if (prompt == null || prompt === "") return yield* receiveLoad(Response.response, base)
    const images = generate.images ?? []
    const pictures = images.length === 0 ? {} : { images }
    const rest = { isStream, tuning, ...responses(Response.response) }
    if (raw === true || suffix || template) {
      const request = yield* check({ model, prompt, ...pictures }, base)
      return { request, only: toOnly(generate), ...rest }
    }
    const messages = [
      ...(system ? [{ role: "system" as const, content: system }] : []),
      { role: "user" as const, content: prompt, ...pictures }
    ]
    const unnested = (field: string): string => field.replace(/^messages\[\d\]\./, "")
    const request = yield* check({ model, messages, ...toThink(generate.think) }, base, unnested)
    return { request, ...isOptional(generate), ...rest }
  })

/** What a request with a `prompt` has no field for. */
const toOnly = ({ raw, suffix, system, template, think }: Generate): Json.JsonObject | undefined => {
  const fields = Object.entries({ suffix, template, system, ...toThink(think) }).filter(([, value]) => value)
  if (raw !== true) fields.push(["raw", false])
  return fields.length === 0 ? undefined : Object.fromEntries(fields)
}

const toThink = (think: Common["think"]): Pick<CompletionRequest.Defaults, "think"> =>
  think == null || think === "" ? {} : { think }

/** Versions of Ollama before 0.12.5 reject thinking that is switched off if the model does not think. */
const isOptional = ({ think }: Common): Pick<Served.ReceivedCompletion, "isThinkOptional"> =>
  think === false ? { isThinkOptional: true } : {}

const responses = (form: Response.Form): Pick<Served.ReceivedCompletion, "encode" | "makeWriter"> => ({
  makeWriter: (context) => Response.makeWriter(form, context),
  encode: (completion, context) => Response.encode(form, completion, context)
})

/** Without input, Ollama only loads the model, or unloads it. No provider can load one, so it generates a single token. */
const receiveLoad = (form: Response.Form, base: Base): Result.Result<Served.ReceivedCompletion, InvalidRequest> => {
  const { model, tuning } = base
  const unloads = tuning.keepAlive !== undefined && KeepAlive.encode(tuning.keepAlive) === 0
  const input = { model, messages: [{ role: "user" as const, content: "." }] }
  return Result.map(check(input, base), () => ({
    request: { ...input, maxTokens: 1 },
    isStream: false,
    tuning,
    unloads,
    ...responses(form),
    encode: (_, context) => Response.encodeEmpty(form, unloads ? "unload" : "load", context)
  }))
}
