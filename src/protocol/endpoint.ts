/** One route of a server as a value: what is sent, and how the answer is read. It is not tied to completions. */
import type * as Effect from "effect/Effect"
import type * as Result from "effect/Result"
import type { Deadlines } from "../CompletionRequest.ts"
import type { ProviderError, ProviderErrorReason } from "../ProviderError.ts"
import type { JsonObject } from "../values/json.ts"
import type { ErrorRule } from "./errorRule.ts"

export interface Endpoint<Request, Out> {
  readonly method: "GET" | "POST" | "DELETE"
  /** Below the base URL, such as `/api/chat`. */
  readonly path: string
  /** What errors call it, if the path has a part that the server chose. Default: method and path. */
  readonly name?: string | undefined
  /** How the body is divided into records: one on each line, server-sent events, or the body as a whole. */
  readonly framing: "ndjson" | "sse" | "json"
  /** Error texts that have a meaning of their own here. They are tried before those that all endpoints have. */
  readonly errorRules?: ReadonlyArray<ErrorRule> | undefined
  /** The JSON body; `undefined` for none. */
  readonly encode: (request: Request) => Result.Result<JsonObject | undefined, ProviderErrorReason>
  /** A new decoder, for one answer to what was sent. */
  readonly decoder: (context: DecoderContext, sent?: Sent<Request>) => RecordDecoder<Out>
}

/** A request, and the JSON body that it became. */
export interface Sent<Request> {
  readonly request: Request
  readonly body: JsonObject | undefined
}

/** Calls an endpoint that answers with one value. */
export type Call = <Request, Out>(
  endpoint: Endpoint<Request, Out>,
  request: Request,
  model?: string,
  deadlines?: Deadlines
) => Effect.Effect<Out, ProviderError>

export interface DecoderContext {
  /** The requested model; `""` where a request names none. */
  readonly model: string
  /** Method and path, such as `POST /api/chat`. */
  readonly endpoint: string
  /** What to do if the server does not have the model. */
  readonly missingModelHint?: string | undefined
  /** Those of the endpoint. */
  readonly errorRules?: ReadonlyArray<ErrorRule> | undefined
  /** The most bytes that a decoder may keep in memory until what they belong to is complete. */
  readonly maxLineBytes: number
}

/** A piece of a body that is decoded as a whole. */
export interface Record {
  readonly data: string
  /** The event name of a server-sent event; `""` for none and for the other framings. */
  readonly name: string
}

/** Turns the records of one answer into values. Each call adds the values it completes to `out`. */
export interface RecordDecoder<Out> {
  readonly record: (record: Record, out: Array<Out>) => Progress
  /** The body ended without error. Default: the answer is still open, which means that it was truncated. */
  readonly end?: (out: Array<Out>) => Progress
}

/**
 * Whether the answer is open, complete (nothing follows the last value added), or failed. `ending`: only the end marker may be
 * missing, which some servers do not send. If it does not come within a few seconds, the decoder's `end` decides.
 */
export type Progress = "open" | "ending" | "complete" | ProviderErrorReason

/** A value under construction. */
export type Writable<A> = { -readonly [K in keyof A]: A[K] }
