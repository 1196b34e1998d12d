/**
 * The list of models in the form of Anthropic's API.
 *
 * Facts: https://platform.claude.com/docs/en/api/models-list
 */
import type { ModelInfo } from "../../ModelInfo.ts"
import type { JsonObject } from "../../values/json.ts"

/** `GET /v1/models` with the header `anthropic-version`. The list has one page. */
export const encodeList = (models: ReadonlyArray<ModelInfo>): JsonObject => ({
  data: models.map(encode),
  has_more: false,
  first_id: models[0]?.id ?? null,
  last_id: models.at(-1)?.id ?? null
})

/** `GET /v1/models/{id}` with that header. */
export const encode = ({ contextLength, id }: ModelInfo): JsonObject => ({
  type: "model",
  id,
  display_name: id,
  // Clients require a time. Servers do not know when a model was made.
  created_at: "1970-01-01T00:00:00Z",
  max_input_tokens: contextLength ?? null,
  max_tokens: null,
  capabilities: null
})
