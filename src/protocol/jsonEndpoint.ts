/** Endpoints that answer with one JSON value. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ProviderErrorReason } from "../ProviderError.ts"
import * as ErrorReport from "./errors.ts"
import type { DecoderContext, Endpoint, RecordDecoder } from "./endpoint.ts"
import type { JsonObject } from "../values/json.ts"
import * as Json from "../values/json.ts"
import * as WireSchema from "./wireSchema.ts"

/** `GET path`, whose answer is checked by the schema. */
export const get = <A, Out>(
  path: string,
  schema: Schema.ConstraintDecoder<A>,
  toOut: (value: A) => Out
): Endpoint<void, Out> => ({
  method: "GET",
  path,
  framing: "json",
  encode: () => Result.succeed(undefined),
  decoder: decoder(schema, (value) => Result.succeed(toOut(value)))
})

/** `POST path` with the request as its body. */
export const post = <Out>(path: string, decoder: Endpoint<JsonObject, Out>["decoder"]): Endpoint<JsonObject, Out> => ({
  method: "POST",
  path,
  framing: "json",
  encode: Result.succeed,
  decoder
})

/** Reads a body that is one JSON value. A value with `error` is a failure, whatever its status. */
export const decoder = <A, Out>(
  schema: Schema.ConstraintDecoder<A>,
  toOut: (value: A, context: DecoderContext) => Result.Result<Out, ProviderErrorReason>
): ((context: DecoderContext) => RecordDecoder<Out>) => {
  const decode = Schema.decodeUnknownResult(schema)
  return (context) => ({
    record: ({ data }, out) => {
      const value = Json.parse(data)
      if (value === undefined) return WireSchema.parseError(data, "not JSON")
      if ((Json.isObject(value) && value.error != null) || ErrorReport.isError(value)) {
        return ErrorReport.toReason({ ...context, report: ErrorReport.readBody(data) })
      }
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
