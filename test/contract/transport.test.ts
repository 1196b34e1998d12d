/** What the transport does with options, headers and bodies, on real sockets. */
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Zlib from "node:zlib"
import { FakeServer } from "../../src/testing/index.ts"
import { encode } from "../support/bytes.ts"
import * as CannedHttp from "../support/cannedHttp.ts"
import { connect, request, type Setup, serverNames, setups, start } from "../support/setups.ts"

const brokenHeaders: ReadonlyArray<readonly [what: string, headers: Record<string, string>]> = [
  ["a line end", { "x-key": "SECRET\nx: y" }],
  ["NUL", { "x-key": "SECRET\u0000" }],
  ["a character over U+00FF", { "x-key": "SECRET中" }],
  ["a name with a space", { "x SECRET": "y" }],
  ["a header of the connection", { "content-length": "5" }]
]

/** A server of node:http, for what the fake server does not do. */
const listen = (handle: Http.RequestListener) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<Http.Server>((resume) => {
        const server = Http.createServer(handle).listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) =>
        Effect.sync(() => {
          server.closeAllConnections()
          server.close()
        })
    ),
    (server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  )

describe.each(setups)("$provider over $client", (setup) => {
  it.live.each(["SECRET\nx: y", "SECRET\u0000", "SECRET\u007F", "SECRET中", " "])(
    "the token %j fails the layer and is quoted nowhere",
    (token) =>
      Effect.gen(function* () {
        const cause = yield* Effect.flip(Effect.sandbox(connect(setup, { token: Redacted.make(token) })))
        expect(Cause.squash(cause)).toMatchObject({ reason: { _tag: "InvalidRequest", field: "token" } })
        expect(`${Cause.pretty(cause)}${JSON.stringify(cause)}`).not.toContain("SECRET")
      })
  )

  it.live.each(brokenHeaders)("headers with %s fail the layer and are quoted nowhere", ([, headers]) =>
    Effect.gen(function* () {
      const cause = yield* Effect.flip(Effect.sandbox(connect(setup, { headers })))
      expect(Cause.squash(cause)).toMatchObject({ reason: { _tag: "InvalidRequest", field: "headers" } })
      expect(`${Cause.pretty(cause)}${JSON.stringify(cause)}`).not.toContain("SECRET")
    })
  )

  it.live("white space around a token and a header value is removed", () =>
    Effect.gen(function* () {
      const options = { token: Redacted.make(" key\n"), headers: { "X-Key": " value " } }
      const { provider, server } = yield* start(setup, { text: "Hi" }, options)
      yield* provider.complete(request)
      const { requests } = yield* server.state
      expect(requests[0]?.headers).toMatchObject({
        authorization: "Bearer key",
        "x-key": "value",
        "accept-encoding": "identity"
      })
      expect(requests[0]?.headers).not.toHaveProperty("traceparent")
    })
  )

  it.live("headers may be redacted", () =>
    Effect.gen(function* () {
      const headers = { Authorization: Redacted.make(" Basic a:b "), "X-Key": "value" }
      const { provider, server } = yield* start(setup, { text: "Hi" }, { headers })
      yield* provider.complete(request)
      expect((yield* server.state).requests[0]?.headers).toMatchObject({ authorization: "Basic a:b", "x-key": "value" })
      const wrong = { "X-Key": Redacted.make("secret\n") }
      const cause = yield* Effect.flip(
        Effect.sandbox(connect(setup, { headers: { ...wrong, "X-Bad": Redacted.make("secret\u0001") } }))
      )
      expect(Cause.squash(cause)).toMatchObject({ reason: { _tag: "InvalidRequest", field: "headers" } })
      expect(Cause.pretty(cause) + JSON.stringify(cause)).not.toContain("secret")
    })
  )

  it.live.each(["gzip", "br", "deflate"] as const)(
    "an answer compressed with %s unasked is read or explained",
    (encoding) =>
      Effect.gen(function* () {
        const compress = { gzip: Zlib.gzipSync, br: Zlib.brotliCompressSync, deflate: Zlib.deflateSync }[encoding]
        const url = yield* listen((_, response) => {
          response.writeHead(200, { "content-encoding": encoding, "content-type": "text/plain" })
          response.end(compress(Buffer.from("data: [1]\n\n".repeat(100))))
        })
        const provider = yield* connect(setup, { baseUrl: url })
        const { message, reason } = yield* Effect.flip(provider.complete(request))
        // `fetch` decompresses by itself, so there the error is about the content.
        if (setup.client === "fetch") expect(reason._tag).toBe("ParseError")
        else expect(reason).toMatchObject({ _tag: "ApiError", status: 200 })
        expect(message).toMatch(/^[\x20-\x7e]*$/)
      })
  )

  it.live("a 304 is a status, not a redirect", () =>
    Effect.gen(function* () {
      const { provider } = yield* start(setup, { status: 304 })
      const { message, reason } = yield* Effect.flip(provider.listModels)
      expect(reason).toMatchObject({ _tag: "ApiError", status: 304 })
      expect(message).not.toContain("redirect")
    })
  )

  it.live("errors name the server and the configured name", () =>
    Effect.gen(function* () {
      const { provider, server } = yield* start(setup, { status: 503 }, { name: "gpu-1" })
      expect(provider.name).toBe("gpu-1")
      const error = yield* Effect.flip(provider.complete(request))
      expect(error).toMatchObject({ provider: "gpu-1", server: server.url })
      expect(error.message).toContain("gpu-1")
      expect(error.message).toContain(server.url)
    })
  )

  it.live("a model list has the deadlines of the layer", () =>
    Effect.gen(function* () {
      const { provider } = yield* start(setup, FakeServer.silence, { deadlines: { firstChunk: "50 millis" } })
      expect((yield* Effect.flip(provider.listModels)).reason).toMatchObject({ _tag: "Timeout", kind: "first-chunk" })
    })
  )

  // The clock of the test stands still here, so a wait on it would never end.
  it.effect("a connection that stays open after the answer does not hang under a test's clock", () =>
    Effect.gen(function* () {
      const { provider, server } = yield* start(setup, { text: "Hi there", holdOpen: true })
      expect(yield* provider.complete(request)).toMatchObject({ content: "Hi there" })
      const isClosed = Effect.map(server.state, ({ openConnections }) => openConnections === 0)
      yield* Effect.repeat(
        Effect.andThen(
          Effect.promise(() => new Promise(setImmediate)),
          isClosed
        ),
        {
          until: (closed) => closed,
          schedule: Schedule.recurs(100_000)
        }
      )
      expect(yield* isClosed).toBe(true)
    })
  )
})

it.effect.each(serverNames)("%s: an empty piece does not show whether a body is compressed", (provider) =>
  Effect.gen(function* () {
    const http = CannedHttp.layer({ headers: { "content-encoding": "gzip" }, pieces: [encode(""), encode("{}")] })
    const { listModels } = yield* connect({ provider, client: "fetch" }, { baseUrl: "http://gpu-7:1" }, http)
    expect(yield* listModels).toEqual([])
  })
)

// Each waits for some seconds, so they run at the same time.
it.live("a status is reported although the body of the error never ends", () =>
  Effect.gen(function* () {
    const url = yield* listen((_, response) => {
      response.writeHead(500, { "content-type": "application/json" })
      response.write('{"error":"half')
    })
    const reasonOf = (setup: Setup) =>
      Effect.gen(function* () {
        const provider = yield* connect(setup, { baseUrl: url })
        const { reason } = yield* Effect.flip(provider.complete(request))
        return { setup, reason }
      })
    for (const { reason, setup } of yield* Effect.forEach(setups, reasonOf, { concurrency: "unbounded" })) {
      expect({ setup, reason }).toMatchObject({ setup, reason: { _tag: "ApiError", status: 500 } })
    }
  })
)
