/** Reads the body of a request, within a size and a time. */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Json from "../values/json.ts"
import { Refusal } from "./access.ts"

export interface Limits {
  readonly maxBytes: number
  readonly timeout: Duration.Duration
}

/** A JSON object; `{}` for an empty body. */
export const read = (request: HttpServerRequest, limits: Limits): Effect.Effect<Json.JsonObject, Refusal> =>
  Effect.flatMap(readBytes(request, limits), toObject)

/** The rest of the body is not read, so the connection is of no more use. */
const unread = { connection: "close" }

const readBytes = ({ headers, stream }: HttpServerRequest, { maxBytes, timeout }: Limits) => {
  const tooLarge = Effect.suspend(() => {
    const message = `The body of the request is larger than ${maxBytes} bytes`
    return Effect.fail(new Refusal({ status: 413, message, headers: unread }))
  })
  if (Number(headers["content-length"] ?? 0) > maxBytes) return tooLarge
  return Effect.suspend(() => {
    const parts: Array<Uint8Array> = []
    let size = 0
    const collect = Stream.runForEachArray(stream, (more) => {
      for (const part of more) size += part.length
      if (size > maxBytes) return tooLarge
      parts.push(...more)
      return Effect.void
    })
    return collect.pipe(
      Effect.catchTag("HttpServerError", () => Effect.fail(malformed("could not be read"))),
      Effect.timeoutOrElse({ duration: timeout, orElse: () => late }),
      Effect.map(() => join(parts, size))
    )
  })
}

const late = Effect.suspend(() => {
  const message = "The body of the request did not arrive in time"
  return Effect.fail(new Refusal({ status: 408, message, headers: unread }))
})

const join = (parts: ReadonlyArray<Uint8Array>, size: number): Uint8Array => {
  const [first] = parts
  if (parts.length === 1 && first !== undefined) return first
  const bytes = new Uint8Array(size)
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

const malformed = (problem: string) => new Refusal({ status: 400, message: `The body of the request ${problem}` })

const toObject = (bytes: Uint8Array): Effect.Effect<Json.JsonObject, Refusal> => {
  if (bytes.length === 0) return Effect.succeed({})
  const text = Result.try(() => decoder.decode(bytes))
  if (Result.isFailure(text)) return Effect.fail(malformed("is not UTF-8"))
  const value = Json.parse(text.success)
  if (!Json.isObject(value)) return Effect.fail(malformed("is not a JSON object"))
  const fault = Json.findFault(value)
  return fault === undefined ? Effect.succeed(value) : Effect.fail(malformed(`is ${fault}`))
}

const decoder = new TextDecoder("utf-8", { fatal: true })
