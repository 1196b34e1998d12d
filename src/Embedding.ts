/**
 * Embeddings: texts as vectors, for search and comparison.
 *
 * @category Core
 * @since 0.3.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { CompletionRequest, requireModel, type Defaults } from "./CompletionRequest.ts"
import * as Checked from "./values/checked.ts"
import * as Values from "./values/objects.ts"
import { InvalidRequest } from "./ProviderError.ts"

const { deadlines, extra, keepAlive, model, overflow } = CompletionRequest.members[0].fields

/**
 * A request for the vectors of any number of texts. Large inputs are sent in several requests.
 *
 * @category models
 */
export const EmbeddingRequest = Schema.Struct({
  /** The model's name on the server, such as `nomic-embed-text`. Required here or in the `defaults` of the layer. */
  model,
  /** The text, or the texts; none may be empty. No texts give no vectors, without a request. */
  input: Schema.Union([Schema.NonEmptyString, Schema.Array(Schema.NonEmptyString)]),
  /** The number of dimensions of each vector, for models that can shorten them; 1 or more. Default: the model's own. */
  dimensions: Schema.optional(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))),
  /**
   * If a text does not fit into the model's context: `"fail"` with `ContextOverflow`, or `"truncate"`, which lets the
   * server drop its end silently. Default: `"fail"`. Only Ollama can truncate.
   */
  overflow,
  /** How long the server keeps the model in memory; `Infinity` for always, 0 to unload it. Default: by the server. */
  keepAlive,
  /** Deadlines of each request to the server; `firstChunk` limits the wait for its response. */
  deadlines,
  /** Further fields of the body, as the server names them. They replace others of their name; objects are merged. */
  extra
})
export interface EmbeddingRequest extends Schema.Schema.Type<typeof EmbeddingRequest> {}

/**
 * An embedding request that passed `validate`, so it names a model.
 *
 * @category models
 */
export type ValidRequest = EmbeddingRequest & { readonly model: string }

/**
 * The vectors of a request's texts.
 *
 * @category models
 */
export const Embedding = Schema.Struct({
  /** The model that was used. It can differ from the one that was requested. */
  model: Schema.String,
  /** One vector for each text, in the order of the texts. */
  vectors: Schema.Array(Schema.Array(Schema.Finite)),
  /** Tokens of all texts together, if the server reported them. */
  promptTokens: Schema.optional(Schema.Finite),
  /** The name of the provider that answered, which a policy may have chosen among several. */
  provider: Schema.optional(Schema.String)
})
export interface Embedding extends Schema.Schema.Type<typeof Embedding> {}

/**
 * The request with defaults for `model`, `keepAlive`, `overflow` and `deadlines`, where it does not set them.
 *
 * @category combinators
 */
export const withDefaults = (defaults: Defaults | undefined, request: EmbeddingRequest): EmbeddingRequest => {
  // What is not an object stays as it is, for `validate` to reject.
  if (defaults === undefined || !Values.isRecord(request)) return request
  const { deadlines, keepAlive, model, overflow } = defaults
  const merged =
    deadlines !== undefined && Values.isRecord(request.deadlines)
      ? { ...request, deadlines: Values.addMissing(request.deadlines, deadlines) }
      : request
  return Values.addMissing(merged, { model, keepAlive, overflow, deadlines })
}

/**
 * Validates a request, defaults included. The error names the first invalid field and does not quote the request.
 *
 * @category validation
 */
export const validate = (request: unknown): Result.Result<ValidRequest, InvalidRequest> =>
  Result.flatMap(check(request), requireModel)

/**
 * As `validate`, for a request whose model may come from the defaults of the provider that it is passed on to. The result is a copy that
 * nobody can change. To check it again takes no time.
 *
 * @category validation
 */
export const check: (request: unknown) => Result.Result<EmbeddingRequest, InvalidRequest> = Checked.make((request) =>
  Result.mapError(validateRequest(request), (error) => new InvalidRequest(toFault(error)))
)

const validateRequest = Schema.decodeUnknownResult(Schema.toType(EmbeddingRequest), { onExcessProperty: "error" })

const toFault = Values.makeToFault({ request: EmbeddingRequest.fields })
