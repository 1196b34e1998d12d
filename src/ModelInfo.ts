/**
 * What a server tells of a model that it has.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * A model that a server has, as `Provider.listModels` gives it. Only `id` is sure: servers tell more or less of the rest.
 *
 * @since 0.1.0
 */
export const ModelInfo = Schema.Struct({
  /** The name to put into a request. */
  id: Schema.String,
  /** Size of the model's file, in bytes. */
  sizeBytes: Schema.optional(Schema.Number),
  /** The family of models it belongs to, such as `llama`. */
  family: Schema.optional(Schema.String),
  /** Number of parameters as the server writes it, such as `8.0B`. */
  parameterSize: Schema.optional(Schema.String),
  /** How the weights are packed, such as `Q4_K_M`. */
  quantization: Schema.optional(Schema.String),
  /** The longest context the model was trained for, in tokens. */
  contextLength: Schema.optional(Schema.Number),
  /** What it can do, in the server's words: `completion`, `tools`, `vision`, `thinking`, … */
  capabilities: Schema.optional(Schema.Array(Schema.String))
})

/**
 * @since 0.1.0
 */
export interface ModelInfo extends Schema.Schema.Type<typeof ModelInfo> {}
