/**
 * Requests for completions that a client of Ollama sent: the other direction of `endpoints.ts`. Facts: Ollama's `api/types.go` and
 * `server/routes.go`, version 0.33. As there, null is the same as no field, and fields that are not known are ignored.
 */
import { identity } from "effect/Function"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Text from "effect/String"
import * as Struct from "effect/Struct"
import * as CompletionRequest from "../../CompletionRequest.ts"
import { InvalidRequest } from "../../ProviderError.ts"
import * as Checked from "../../values/checked.ts"
import type * as Json from "../../values/json.ts"
import * as Body from "../receivedBody.ts"
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
  ...Body.samplingFields,
  ...Struct.Record(["num_predict", "num_ctx"], number),
  ...tuningOptions
})

interface Options extends Schema.Schema.Type<typeof Options> {}

/** The fields of both routes. */
const common = {
  model: text,
  stream: flag,
  format: nullish(Schema.Union([Schema.Literals(["json", ""]), Body.JsonObject])),
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

/** The model of a body. */
export const requireModel = (model: string | null | undefined): Body.Read<string> =>
  model == null || model === "" ? Body.invalid("model", "it is required") : Result.succeed(model)

/** What a request has besides its input. */
type Base = Pick<Served.ReceivedCompletion, "isStream"> & {
  readonly model: string
  readonly options: Omit<CompletionRequest.Defaults, "think" | "toolChoice" | "tools">
  readonly tuning: Served.Tuning
}

const readCommon = (body: Common): Body.Read<Base> =>
  Result.gen(function* () {
    const { format, options, shift, stream, truncate } = body
    const model = yield* requireModel(body.model)
    // A chunk has no place for them.
    if (body.logprobs === true) return yield* Body.invalid("logprobs", "they cannot be reported")
    if ((body.top_logprobs ?? 0) > 0) return yield* Body.invalid("top_logprobs", "they cannot be reported")
    if (body._debug_render_only === true) return yield* Body.invalid("_debug_render_only", "it is not supported")
    const isWhole = truncate === false
    const shifts = shift ?? true
    // `overflow` decides both alike.
    const tuning = yield* decodeTuning(body, shifts === isWhole ? { shift: shifts } : {})
    return {
      isStream: stream ?? true,
      model,
      options: {
        ...toSampling(options ?? {}),
        format: format === "" ? undefined : (format ?? undefined),
        // Ollama drops what does not fit, unless `truncate` is false.
        overflow: isWhole ? undefined : "truncate"
      },
      tuning: { ...tuning, contextLength: toCount(options?.num_ctx) }
    }
  })

const toSampling = (options: Options): Base["options"] => {
  const { seed, stop, topK, ...sampling } = Body.decodeSampling(options)
  return {
    ...sampling,
    // Ollama cuts fractions off. Below zero means all.
    topK: topK && Math.max(0, Math.trunc(topK)),
    seed: seed && Math.trunc(seed),
    stop: stop?.filter((text) => text !== ""),
    maxTokens: toCount(options.num_predict)
  }
}

/** Zero, and what is below it, means that the server decides. */
const toCount = (value: number | null | undefined): number | undefined =>
  value == null || value < 1 ? undefined : Math.trunc(value)

/** What only tunes a server of Ollama. `extra`: further fields of the body. */
export const decodeTuning = (
  { keep_alive, options }: Pick<Common, "keep_alive" | "options">,
  extra: Json.JsonObject
): Body.Read<Pick<Served.Tuning, "keepAlive" | "extra">> =>
  Result.map(KeepAlive.decode(keep_alive), (keepAlive) => {
    const known = Object.entries(options ?? {}).filter(
      ([name, value]) => Object.hasOwn(tuningOptions, name) && value !== null
    )
    const all = known.length === 0 ? extra : { ...extra, options: Object.fromEntries(known) }
    return { keepAlive, extra: Object.keys(all).length === 0 ? undefined : all }
  })

const withoutTuning = { contextLength: undefined, extra: undefined, keepAlive: undefined }

/** The request as a whole, checked. `rename`: what the client calls a field of the request, if it is not the usual name. */
const receive = (
  form: Response.Form,
  { isStream, model, options, tuning }: Base,
  input: CompletionRequest.CompletionRequest,
  rename: (field: string) => string = identity
): Body.Read<Served.ReceivedCompletion> =>
  Result.mapBoth(CompletionRequest.check({ ...options, ...input, model, ...tuning }), {
    onSuccess: (checked) => {
      const request = Checked.update(checked, withoutTuning)
      return {
        request,
        isStream,
        tuning,
        // Versions of Ollama before 0.12.5 reject thinking that is switched off if the model does not think.
        isThinkOptional: request.think === false,
        makeWriter: (context) => Response.makeWriter(form, context),
        encode: (completion, context) => Response.encode(form, completion, context)
      }
    },
    onFailure: ({ description, field = "" }) => new InvalidRequest({ field: rename(toWireField(field)), description })
  })

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

const readChat = Body.reader(Chat)

/** `POST /api/chat`. */
export const decodeChat: Served.Decode<Served.ReceivedCompletion> = (body) =>
  Result.gen(function* () {
    const chat = yield* readChat(body)
    const base = yield* readCommon(chat)
    if (chat.messages == null || chat.messages.length === 0) return yield* receiveLoad(Response.message, base)
    return yield* receive(Response.message, base, {
      messages: Messages.toMessages(chat.messages),
      tools: Messages.toTools(chat.tools ?? []),
      think: toThink(chat.think)
    })
  })

const readGenerate = Body.reader(Generate)

/** `POST /api/generate`. Without `raw`, the model's template is applied, so that the prompt is a message of the user. */
export const decodeGenerate: Served.Decode<Served.ReceivedCompletion> = (body) =>
  Result.gen(function* () {
    const generate = yield* readGenerate(body)
    const base = yield* readCommon(generate)
    const { prompt, raw, suffix, system, template } = generate
    if ((generate.context ?? []).length > 0) return yield* Body.invalid("context", "send the conversation to /api/chat")
    if (raw === true && (template || system)) {
      return yield* Body.invalid(template ? "template" : "system", "Expected without raw")
    }
    if (prompt == null || prompt === "") return yield* receiveLoad(Response.response, base)
    const images = generate.images == null || generate.images.length === 0 ? undefined : generate.images
    if (raw === true || suffix || template) {
      const received = yield* receive(Response.response, base, { prompt, images })
      return { ...received, only: toOnly(generate) }
    }
    const messages = [
      ...(system ? [{ role: "system" as const, content: system }] : []),
      { role: "user" as const, content: prompt, images }
    ]
    const unnested = (field: string): string => field.replace(/^messages\[\d\]\./, "")
    return yield* receive(Response.response, base, { messages, think: toThink(generate.think) }, unnested)
  })

/** What a request with a `prompt` has no field for. */
const toOnly = ({ raw, suffix, system, template, think }: Generate): Json.JsonObject | undefined => {
  const fields = Object.entries({ suffix, template, system, think: toThink(think) }).filter(([, value]) => value)
  if (raw !== true) fields.push(["raw", false])
  return fields.length === 0 ? undefined : Object.fromEntries(fields)
}

const toThink = (think: Common["think"]): CompletionRequest.Defaults["think"] =>
  think === "" ? undefined : (think ?? undefined)

/** Without input, Ollama only loads the model, or unloads it. No provider can load one, so it generates a single token. */
const receiveLoad = (form: Response.Form, base: Base): Body.Read<Served.ReceivedCompletion> => {
  const { model, tuning } = base
  const unloads = tuning.keepAlive !== undefined && KeepAlive.encode(tuning.keepAlive) === 0
  const messages = [{ role: "user" as const, content: "." }]
  return Result.map(receive(form, base, { messages }), (received) => ({
    ...received,
    request: { model, messages, maxTokens: 1 },
    isStream: false,
    unloads,
    encode: (_, context) => Response.encodeEmpty(form, unloads ? "unload" : "load", context)
  }))
}
