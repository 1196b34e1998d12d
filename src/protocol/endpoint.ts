/** One route of a server as a value: what is sent, and how the response is read. */
import type * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Deadlines } from "../CompletionRequest.ts"
import type { ProviderError, ProviderErrorReason } from "../ProviderError.ts"
import type { JsonObject } from "../values/json.ts"
import * as Json from "../values/json.ts"
import * as Errors from "./errors.ts"
import * as WireSchema from "./wireSchema.ts"

export interface Endpoint<Request, Out> {
  readonly method: "GET" | "POST" | "DELETE"
  /** Below the base URL, such as `/api/chat`. */
  readonly path: string
  /** The name in errors, if the path has a part that the server chose. Default: method and path. */
  readonly name?: string | undefined
  /** How the body is divided into records: one on each line, server-sent events, or the body as a whole. */
  readonly framing: "ndjson" | "sse" | "json"
  readonly errorRules?: Errors.Context["errorRules"]
  /** The JSON body; `undefined` for none. */
  readonly encode: (request: Request) => Result.Result<JsonObject | undefined, ProviderErrorReason>
  /** A new decoder, for one response to what was sent. */
  readonly decoder: (context: DecoderContext, sent?: Sent<Request>) => RecordDecoder<Out>
}

/** A request, and the JSON body that it became. */
export interface Sent<Request> {
  readonly request: Request
  readonly body: JsonObject | undefined
}

/** Calls an endpoint whose response is one value. */
export type Call = <Request, Out>(
  endpoint: Endpoint<Request, Out>,
  request: Request,
  model?: string,
  deadlines?: Deadlines
) => Effect.Effect<Out, ProviderError>

export interface DecoderContext extends Errors.Context {
  /** The name of the provider, which the final chunk has. */
  readonly provider?: string | undefined
  /** The most bytes that a decoder may keep in memory until what they belong to is complete. */
  readonly maxLineBytes: number
}

/** A piece of a body that is decoded as a whole. */
export interface Record {
  readonly data: string
  /** The event name of a server-sent event; `""` for none and for the other framings. */
  readonly name: string
}

/** Turns the records of one response into values. Each call adds the values it completes to `out`. */
export interface RecordDecoder<Out> {
  readonly record: (record: Record, out: Array<Out>) => Progress
  /** The body ended without error. Default: the response is still open, which means that it was truncated. */
  readonly end?: (out: Array<Out>) => Progress
}

/**
 * Whether the response is open, complete (nothing follows the last value added), or failed. `ending`: only the end marker may be
 * missing, which some servers do not send. If it does not come within a few seconds, the decoder's `end` decides.
 */
export type Progress = "open" | "ending" | "complete" | ProviderErrorReason

/** A value under construction. */
export type Writable<A> = { -readonly [K in keyof A]: A[K] }

/** `GET path`, with a response that is one JSON value. */
export const get = <A, Out>(
  path: string,
  schema: Schema.ConstraintDecoder<A>,
  toOut: (value: A) => Out
): Endpoint<void, Out> => ({
  method: "GET",
  path,
  framing: "json",
  encode: () => Result.succeed(undefined),
  decoder: json(schema, (value) => Result.succeed(toOut(value)))
})

/** `POST path` with the request as its body, and a response that is one record. */
export const post = <Out>(path: string, decoder: Endpoint<JsonObject, Out>["decoder"]): Endpoint<JsonObject, Out> =>
  postEncoded(path, Result.succeed, decoder)

/** As `post`, with a body that is made from the request. */
export const postEncoded = <Request, Out>(
  path: string,
  encode: Endpoint<Request, Out>["encode"],
  decoder: Endpoint<Request, Out>["decoder"]
): Endpoint<Request, Out> => ({ method: "POST", path, framing: "json", encode, decoder })

/** Reads a body that is one JSON value. A value with `error` is a failure, whatever its status. */
export const json = <A, Out>(
  schema: Schema.ConstraintDecoder<A>,
  toOut: (value: A, context: DecoderContext) => Result.Result<Out, ProviderErrorReason>
): ((context: DecoderContext) => RecordDecoder<Out>) => {
  const decode = Schema.decodeUnknownResult(schema)
  return (context) => ({
    record: ({ data }, out) => {
      const value = Json.parse(data)
      if (value === undefined) return WireSchema.parseError(data, "not JSON")
      if (Json.get(value, "error") != null || Errors.isError(value)) return Errors.ofBody(data, context)
      const result = Result.flatMap(
        Result.mapError(decode(value), ({ message }) => WireSchema.parseError(data, message)),
        (value) => toOut(value, context)
      )
      if (Result.isFailure(result)) return result.failure
      out.push(result.success)
      return "complete"
    }
  })
}
