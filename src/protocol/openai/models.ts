/** What the OpenAI-compatible servers report about their models. */
import * as Schema from "effect/Schema"
import type { ModelInfo } from "../../ModelInfo.ts"
import * as Json from "../../values/json.ts"
import * as WireSchema from "../wireSchema.ts"

/** `meta` is llama.cpp's, `max_model_len` vLLM's; LM Studio reports the name only. */
const Model = Schema.Struct({
  id: Schema.String,
  meta: WireSchema.metadata,
  max_model_len: WireSchema.metadata,
  owned_by: WireSchema.metadata
})

export const Models = Schema.Struct({ data: WireSchema.nullish(Schema.Array(Model)) })

export const toModelInfos = ({ data }: typeof Models.Type): ReadonlyArray<ModelInfo> => (data ?? []).map(toModelInfo)

/**
 * Whether a list is that of Ollama: all its names have a tag, and the owner is the namespace. Facts: Ollama's `openai/openai.go`.
 */
export const isOfOllama = ({ data }: typeof Models.Type): boolean =>
  data != null &&
  data.length > 0 &&
  data.every(({ id, owned_by }) => /:[^:/]+$/.test(id) && owned_by === (id.split("/").at(-2) ?? "library"))

const toModelInfo = ({ id, max_model_len, meta }: typeof Model.Type): ModelInfo => ({
  id,
  sizeBytes: Json.toCount(Json.get(meta, "size")),
  contextLength: Json.toCount(Json.get(meta, "n_ctx_train")) ?? Json.toCount(max_model_len)
})

/** The answer of llama.cpp's `/health` once the model is loaded. */
export const Health = Schema.Struct({ status: Schema.String })

/** The answer of llama.cpp's `/props`. */
export const Properties = Schema.Struct({
  default_generation_settings: WireSchema.metadata,
  modalities: WireSchema.metadata,
  is_sleeping: WireSchema.metadata
})

/** `n_ctx` is the context of one request. Whether the model knows tools or thinks is not reported. */
export const fromProperties = ({
  default_generation_settings,
  is_sleeping,
  modalities
}: typeof Properties.Type): Partial<ModelInfo> => {
  const vision = Json.get(modalities, "vision")
  return {
    isLoaded: is_sleeping !== true,
    loadedContextLength: Json.toCount(Json.get(default_generation_settings, "n_ctx")),
    ...(typeof vision === "boolean" ? { capabilities: vision ? ["completion", "vision"] : ["completion"] } : {})
  }
}

/** The answer of llama.cpp's `/slots`. */
export const Slots = Schema.Array(
  Schema.Struct({ id: Schema.Number, is_processing: Schema.Boolean, n_ctx: WireSchema.metadata })
)

export const toSlots = (slots: typeof Slots.Type) =>
  slots.map(({ id, is_processing, n_ctx }) => ({ id, isProcessing: is_processing, contextLength: Json.toCount(n_ctx) }))

/** The answer of llama.cpp's router to a command. */
export const Done = Schema.Struct({ success: WireSchema.nullish(Schema.Boolean) })
