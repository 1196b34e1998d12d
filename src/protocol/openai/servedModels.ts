/**
 * Lists of models, for clients of OpenAI and for those that look for LM Studio. Facts: what vLLM and llama.cpp add to a model, and LM
 * Studio's documentation of `/api/v0/models`.
 */
import type { ModelInfo } from "../../ModelInfo.ts"
import type { JsonObject } from "../../values/json.ts"

const listOf =
  (encode: (model: ModelInfo) => JsonObject) =>
  (models: ReadonlyArray<ModelInfo>): JsonObject => ({
    object: "list",
    data: models.map(encode)
  })

/** `GET /v1/models/{id}`. */
export const encode = ({ contextLength, id, sizeBytes }: ModelInfo): JsonObject => ({
  id,
  object: "model",
  // Clients require a time. Servers do not know when a model was made.
  created: 0,
  owned_by: "local",
  max_model_len: contextLength,
  meta: sizeBytes === undefined ? undefined : { size: sizeBytes }
})

/** `GET /v1/models`. */
export const encodeList = listOf(encode)

/** What a model may be able to do if its server does not report it. Clients send no images to a model that is said to lack vision. */
const unreported = ["completion", "tools", "vision"]

/** `GET /api/v0/models/{id}`. */
export const encodeV0 = (info: ModelInfo): JsonObject => {
  const { capabilities = unreported, id } = info
  const has = (capability: string): boolean => capabilities.includes(capability)
  return {
    id,
    object: "model",
    type: has("embedding") && !has("completion") ? "embeddings" : has("vision") ? "vlm" : "llm",
    publisher: id.includes("/") ? id.slice(0, id.indexOf("/")) : "local",
    arch: info.family ?? "unknown",
    compatibility_type: "gguf",
    quantization: info.quantization ?? "unknown",
    state: info.isLoaded === true ? "loaded" : "not-loaded",
    max_context_length: info.contextLength,
    loaded_context_length: info.isLoaded === true ? info.loadedContextLength : undefined,
    capabilities: [...(has("tools") ? ["tool_use"] : []), ...(has("vision") ? ["vision"] : [])]
  }
}

/** `GET /api/v0/models`. */
export const encodeListV0 = listOf(encodeV0)
