/** Options and functions of the caller that are wrong, in responses that no server sends. */
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { HttpServerResponse } from "effect/http/HttpServerResponse"
import * as Logger from "effect/Logger"
import * as Stream from "effect/Stream"
import * as StreamResponse from "../../src/StreamResponse.ts"

const broken = (): never => {
  throw new Error("onFailure is broken")
}

/** An exception that quotes an answer, as those of `JSON.parse` do. */
const encodeBroken = (): never => {
  throw new Error("encode is broken: secret\n    at secret")
}

const causeOf = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.flip(Effect.sandbox(effect))

const read = ({ body, status }: HttpServerResponse) =>
  Effect.map(
    body._tag === "Stream" ? Effect.orDie(Stream.mkString(Stream.decodeText(body.stream))) : Effect.succeed(""),
    (text) => ({ status, text })
  )

describe.each(["sse", "ndjson"] as const)("%s", (form) => {
  it.effect("the HTTP server answers a defect before the response begins", () =>
    Effect.gen(function* () {
      const wrong: ReadonlyArray<readonly [Partial<StreamResponse.MakeOptions<number, string>>, RegExp]> = [
        [{ encode: () => 1n }, /BigInt/],
        [{ encode: () => () => 1 }, /`encode` returned a value that JSON cannot express/],
        [{ encode: () => ({ toJSON: () => undefined }) }, /JSON cannot express/]
      ]
      for (const [option, message] of wrong) {
        const options = { format: form, encode: (n: number) => n, onFailure: broken, ...option }
        expect(Cause.pretty(yield* causeOf(StreamResponse.make(Stream.make(1), options)))).toMatch(message)
      }
      const options = { format: form, encode: (n: number) => n, onFailure: broken }
      expect(Cause.pretty(yield* causeOf(StreamResponse.make(Stream.fail("x"), options)))).toMatch(
        "onFailure is broken"
      )
    }).pipe(Effect.scoped)
  )

  it.effect("a defect after the beginning is logged without its message, and the last event tells the client", () =>
    Effect.gen(function* () {
      const logged: Array<string> = []
      const logger = Logger.make(({ cause, message }) => logged.push(`${String(message)}${Cause.pretty(cause)}`))
      const encode = (n: number) => (n < 2 ? n : n === 2 ? { n: 2n } : encodeBroken())
      const onFailure = broken
      const streams: ReadonlyArray<readonly [Stream.Stream<number, string>, string]> = [
        [Stream.make(1, 2), "TypeError"],
        [Stream.make(1, 3), "at encodeBroken"],
        [Stream.concat(Stream.make(1), Stream.fail("x")), "at broken"],
        [Stream.concat(Stream.make(1), Stream.die("secret")), "a thrown value that is not an Error"]
      ]
      for (const [stream, place] of streams) {
        const items = Stream.rechunk(stream, 1)
        const { status, text } = yield* Effect.flatMap(
          StreamResponse.make(items, { format: form, encode, onFailure }),
          read
        ).pipe(Effect.provide(Logger.layer([logger])))
        const error = '{"reason":"InternalError","message":"the server failed","isRetryable":false}'
        expect([status, text]).toEqual([
          200,
          form === "sse" ? `data: 1\n\nevent: error\ndata: ${error}\n\n` : `1\n{"error":${error}}\n`
        ])
        const log = logged.pop()
        expect(log).toContain(place)
        expect(log).not.toMatch(/secret|is broken|BigInt/)
      }
    }).pipe(Effect.scoped)
  )

  it.effect("each item is encoded once, those before the first that is sent are not kept, and a failure is JSON", () =>
    Effect.gen(function* () {
      const seen: Array<number> = []
      const encode = (n: number) => {
        seen.push(n)
        return n < 0 ? undefined : n
      }
      // More items at once than a function has parameters.
      const many = Array.from({ length: 200_000 }, () => -1)
      const items = Stream.concat(Stream.fromArray([...many, 0]), Stream.fail("x"))
      const onFailure = () => ({ status: 503, retryAfter: Duration.infinity, error: undefined })
      const { text } = yield* Effect.flatMap(StreamResponse.make(items, { format: form, encode, onFailure }), read)
      expect(text).toBe(form === "sse" ? "data: 0\n\nevent: error\ndata: null\n\n" : '0\n{"error":null}\n')
      expect(seen.length).toBe(many.length + 1)
      const refused = yield* StreamResponse.make(Stream.fail("x"), { format: form, encode, onFailure })
      expect(refused.headers["retry-after"]).toBeUndefined()
      expect(refused.body).toMatchObject({ text: '{"error":null}' })
    }).pipe(Effect.scoped)
  )
})
