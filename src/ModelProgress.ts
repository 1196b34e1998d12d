/**
 * The progress of a server that downloads, uploads or creates a model.
 *
 * @category Core
 * @since 0.3.0
 */
import * as Schema from "effect/Schema"

/**
 * How much of one layer is transferred. A layer is a file of the model: the weights, the template, the license.
 *
 * @category models
 */
export const Layer = Schema.Struct({
  /** The hash of the layer's content, such as `sha256:5cb6…`. */
  digest: Schema.String,
  /** How much is transferred, in bytes, including those of an earlier transfer that is resumed. */
  completedBytes: Schema.Finite,
  /** The size of the layer, in bytes. */
  totalBytes: Schema.Finite
})
export interface Layer extends Schema.Schema.Type<typeof Layer> {}

/**
 * One report of the progress. `isFinal` is true on exactly one report of a successful stream, its last.
 *
 * @category models
 */
export const ModelProgress = Schema.Struct({
  /** What the server is doing, in its own words, such as `pulling manifest`. `success` on the final report. */
  status: Schema.String,
  /** Whether this is the last report, of a model that is complete. */
  isFinal: Schema.Boolean,
  /** The layer that is transferred at the moment. */
  layer: Schema.optional(Layer),
  /** Bytes of all layers that the server has begun so far. */
  completedBytes: Schema.Finite,
  /** Bytes of the same layers when they are complete. It grows when the server begins another layer. */
  totalBytes: Schema.Finite,
  /** The speed of the transfer over the last seconds. Absent until it can be measured. */
  bytesPerSecond: Schema.optional(Schema.Finite)
})
export interface ModelProgress extends Schema.Schema.Type<typeof ModelProgress> {}
