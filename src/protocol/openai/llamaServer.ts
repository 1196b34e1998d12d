/** The routes that only llama.cpp's server has. Facts: its `tools/server/README.md`. */
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import type { CompletionRequest } from "../../CompletionRequest.ts"
import type { ModelInfo } from "../../ModelInfo.ts"
import { StreamError } from "../../ProviderError.ts"
import * as Json from "../../values/json.ts"
import * as Endpoint from "../endpoint.ts"
import * as WireSchema from "../wireSchema.ts"
import * as Endpoints from "./endpoints.ts"

/** `GET /health`. It succeeds once the model is loaded. */
export const health = Endpoint.get("/health", Schema.Struct({ status: Schema.String }), () => undefined)

/** A model that the server lists. */
export interface Entry {
  readonly info: ModelInfo
  /** Its other names: its aliases, and the name of its file. */
  readonly names: ReadonlyArray<string>
  /** Whether it is in memory, as a router reports it. */
  readonly isLoaded: boolean | undefined
}

const toEntry = (model: typeof Model.Type): Entry => {
  const { aliases, id, status } = model
  const others = Array.isArray(aliases) ? aliases.filter(Predicate.isString) : []
  const state = Json.toText(Json.get(status, "value"))
  return {
    info: Endpoints.toModelInfo(model),
    names: [...others, ...[id, ...others].flatMap(fileOf)],
    isLoaded: state === undefined ? undefined : state === "loaded"
  }
}

/** The name of a file whose path is the name of a model. */
const fileOf = (name: string): ReadonlyArray<string> => {
  const file = name.split(/[\\/]/).at(-1) ?? ""
  return /\.gguf$/i.test(file) ? [file] : []
}

const Model = Schema.Struct({ ...Endpoints.Model.fields, ...Struct.Record(["aliases", "status"], WireSchema.metadata) })

/** `GET /v1/models`, with what only this server reports. */
export const models = Endpoint.get(
  "/v1/models",
  Schema.Struct({ data: WireSchema.nullish(Schema.Array(Model)) }),
  ({ data }) => (data ?? []).map(toEntry)
)

/** `GET /props`. `n_ctx` is the context of one request. Whether the model knows tools or thinks is not reported. */
export const properties = Endpoint.get(
  "/props",
  Schema.Struct(Struct.Record(["default_generation_settings", "modalities", "is_sleeping"], WireSchema.metadata)),
  ({ default_generation_settings, is_sleeping, modalities }): Partial<ModelInfo> => {
    const vision = Json.get(modalities, "vision")
    return {
      isLoaded: is_sleeping !== true,
      loadedContextLength: Json.toCount(Json.get(default_generation_settings, "n_ctx")),
      ...(typeof vision === "boolean" ? { capabilities: vision ? ["completion", "vision"] : ["completion"] } : {})
    }
  }
)

/** `GET /slots`. */
export const slots = Endpoint.get(
  "/slots",
  Schema.Array(Schema.Struct({ id: Schema.Number, is_processing: Schema.Boolean, n_ctx: WireSchema.metadata })),
  (slots) =>
    slots.map(({ id, is_processing, n_ctx }) => ({
      id,
      isProcessing: is_processing,
      contextLength: Json.toCount(n_ctx)
    }))
)

/** A command to the router, which reports whether it was carried out. */
const command = (path: string) =>
  Endpoint.post(
    path,
    Endpoint.json(Schema.Struct({ success: WireSchema.nullish(Schema.Boolean) }), ({ success }) =>
      success === false
        ? Result.fail(new StreamError({ description: "the server did not carry out the command" }))
        : Result.succeed<void>(undefined)
    )
  )

export const load = command("/models/load")
export const unload = command("/models/unload")

/** `POST /tokenize`. As in a completion, the text gets its first token, and special tokens are one token each. */
export const tokenize = Endpoint.postEncoded(
  "/tokenize",
  (content: string) => Result.succeed({ content, add_special: true, parse_special: true }),
  Endpoint.json(Schema.Struct({ tokens: Schema.Array(Schema.Unknown) }), ({ tokens }) => Result.succeed(tokens.length))
)

/** How a request for a completion becomes its body. */
type Encode = Endpoint.Endpoint<CompletionRequest, unknown>["encode"]

/** `POST /v1/chat/completions/input_tokens`, with the body of a completion. */
export const inputTokens = (encode: Encode) =>
  Endpoint.postEncoded(
    "/v1/chat/completions/input_tokens",
    encode,
    Endpoint.json(Schema.Struct({ input_tokens: WireSchema.Count }), ({ input_tokens }) => Result.succeed(input_tokens))
  )

/** `POST /apply-template`, with the body of a completion. The response is the text of the prompt. */
export const applyTemplate = (encode: Encode) =>
  Endpoint.postEncoded(
    "/apply-template",
    encode,
    Endpoint.json(Schema.Struct({ prompt: Schema.String }), ({ prompt }) => Result.succeed(prompt))
  )
