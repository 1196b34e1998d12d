/**
 * The other direction of a protocol: how a gateway reads requests and writes responses. `Endpoint` is the client's side of the
 * same routes.
 */
import * as Result from "effect/Result"
import type { Completion } from "../Completion.ts"
import type { CompletionRequest, Defaults } from "../CompletionRequest.ts"
import type { Embedding, EmbeddingRequest } from "../Embedding.ts"
import type { ProviderErrorReason } from "../ProviderError.ts"
import { Unsupported } from "../ProviderError.ts"
import type { StreamingChunk } from "../StreamingChunk.ts"
import type { JsonObject } from "../values/json.ts"
import * as Values from "../values/objects.ts"

/** Reads a body. The failure is one of the request, and names its field. */
export type Decode<A> = (body: JsonObject) => Result.Result<A, ProviderErrorReason>

/** Fields of a request that only tune a server. They are part of the request if it is passed on to one of this protocol. */
export type Tuning = Pick<Defaults, "contextLength" | "extra" | "keepAlive">

/** A request for a completion, as a client of the protocol sent it. */
export interface ReceivedCompletion {
  readonly request: CompletionRequest
  /** Whether each chunk is sent as it arrives. */
  readonly isStream: boolean
  readonly tuning?: Tuning | undefined
  /**
   * Further fields of the body that change the completion, and that only a server of this protocol knows: a part of `extra`. Elsewhere
   * the request fails with `Unsupported`, which names the first.
   */
  readonly only?: JsonObject | undefined
  /** Nothing is generated: the model is removed from memory, if the provider can do that. Then `encode` gets an empty completion. */
  readonly unloads?: boolean | undefined
  /** Whether `think` only counts for models that can think: the client sends it whatever the model is. Default: `false`. */
  readonly isThinkOptional?: boolean | undefined
  /** A new writer of one response. */
  readonly makeWriter: (context: WriterContext) => CompletionWriter
  /** The response as a whole. */
  readonly encode: (completion: Completion, context: WriterContext) => JsonObject
}

/** The request with the fields that only servers of the protocol know, if the provider is one. */
export const toRequest = (
  { only = {}, request, tuning }: ReceivedCompletion,
  isKind: boolean
): Result.Result<CompletionRequest, Unsupported> => {
  if (isKind) {
    const extra = Values.merge(tuning?.extra ?? {}, only)
    const all = { ...tuning, extra: Object.keys(extra).length === 0 ? undefined : extra }
    return Result.succeed(Values.addMissing(request, all))
  }
  const [feature] = Object.keys(only)
  return feature === undefined ? Result.succeed(request) : Result.fail(new Unsupported({ feature }))
}

/** The metadata of a response. */
export interface WriterContext {
  /** The model, as the client names it. */
  readonly model: string
  /** Unique for each response. It consists of letters and digits; a protocol adds its prefix. */
  readonly id: string
  /** Milliseconds since 1970. */
  readonly createdAt: number
}

/** Writes the records of one response. */
export interface CompletionWriter {
  /** The records of a chunk; `""` if there are none. The final chunk ends the response, with the end marker if there is one. */
  readonly chunk: (chunk: StreamingChunk) => string
  /** The record of a failure after the beginning. No end marker follows it, so that no client takes the response as complete. */
  readonly failure: (reason: ProviderErrorReason) => string
  /** Whether the response has ended with a failure of its own: it is too long for the protocol. Absent if there is no such limit. */
  readonly isOver?: (() => boolean) | undefined
}

/** How the records of a route are sent. */
export interface Framing {
  readonly contentType: string
  /** What readers ignore, for a connection that must not look idle. */
  readonly keepAlive: string
}

/** A request for embeddings, and the form of the response. */
export interface ReceivedEmbedding {
  readonly request: EmbeddingRequest
  readonly tuning?: Tuning | undefined
  readonly encode: (embedding: Embedding, context: WriterContext) => JsonObject
}

/** A failure before the response begins: its status and its body, in the form of the protocol. */
export interface FailureResponse {
  readonly status: number
  readonly body: JsonObject
}

/** The status of a response for a failure. */
export const statusOf = ({ _tag }: { readonly _tag: string }): number => byTag.get(_tag) ?? 502

/** Of those that the client can do something about. */
const statuses: { readonly [Tag in ProviderErrorReason["_tag"]]?: number } = {
  InvalidRequest: 400,
  ContextOverflow: 400,
  Unsupported: 400,
  ModelNotAvailable: 404,
  RateLimited: 429,
  Timeout: 504
}

const byTag = new Map(Object.entries(statuses))

/** The completions of a protocol: what differs between its routes. */
export interface CompletionRoute {
  /** Such as `/api/chat`. The method is always `POST`. */
  readonly path: `/${string}`
  readonly framing: Framing
  readonly decode: Decode<ReceivedCompletion>
}
