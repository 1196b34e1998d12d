/**
 * What a server reports about a model that it has.
 *
 * @category Core
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * A model that a server has, as `Provider.listModels` and `Provider.model` return it. Fields that the server does not
 * report are absent. Only `Provider.model` returns those from `isLoaded` on.
 *
 * @category models
 */
export const ModelInfo = Schema.Struct({
  /** The name to use as `model` in a request. */
  id: Schema.String,
  /** Size of the model's file, in bytes. */
  sizeBytes: Schema.optional(Schema.Number),
  /** The family of models it belongs to, such as `llama`. */
  family: Schema.optional(Schema.String),
  /** The number of parameters in the server's notation, such as `8.0B`. */
  parameterSize: Schema.optional(Schema.String),
  /** The format of the weights, such as `Q4_K_M`. */
  quantization: Schema.optional(Schema.String),
  /** The longest context that the model was trained for, in tokens. */
  contextLength: Schema.optional(Schema.Number),
  /** What the model can do, in the server's words: `completion`, `tools`, `vision`, `thinking`, … */
  capabilities: Schema.optional(Schema.Array(Schema.String)),
  /** Whether the model is in memory. */
  isLoaded: Schema.optional(Schema.Boolean),
  /** The context that it was loaded with, in tokens. */
  loadedContextLength: Schema.optional(Schema.Number),
  /** Its size in memory, in bytes. */
  memoryBytes: Schema.optional(Schema.Number),
  /**
   * When the server unloads it if it is not used again. Ollama reports a time 290 years ahead for a model that stays.
   */
  expiresAt: Schema.optional(Schema.DateTimeUtc)
})
export interface ModelInfo extends Schema.Schema.Type<typeof ModelInfo> {}
