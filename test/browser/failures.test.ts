/** What a page can find out when a server does not answer as it should. */
import { expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { gzipSync } from "node:zlib"
import type { FakeServer as Fake } from "../../src/testing/index.ts"
import { FakeServer } from "../../src/testing/index.ts"
import type { Failure, Question } from "./lab.ts"
import * as Chromium from "./support/chromium.ts"
import * as Lab from "./support/lab.ts"

const start = Effect.fnUntraced(function* (script: Fake.Script) {
  const { origin } = yield* Chromium.Pages
  return yield* FakeServer.make(script, { origins: [origin] })
})

/** A reply that pages may not read, although the preflight allowed the request. */
const unreadable = { "access-control-allow-origin": "https://other.example" }

/** All that a browser reports to a page. */
const notReadable = {
  reason: "NetworkError",
  message: expect.stringMatching(
    /^Ollama \(http:\S+\): the connection failed: is the server running, and does it allow pages of this origin \(CORS\)\?$/
  )
}
const closed = {
  reason: "NetworkError",
  message: expect.stringMatching(/the connection failed: the connection was closed$/)
}

interface Case extends Omit<Question, "url"> {
  readonly script: Fake.Script
  readonly failure: { readonly [K in keyof Failure]?: unknown }
  /** What came before. */
  readonly text?: string
}

const cases: Readonly<Record<string, Case>> = {
  "a status with its text": {
    script: { status: 404, body: { error: "model 'fake' not found" } },
    failure: { reason: "ModelNotAvailable" }
  },
  "a busy server": {
    script: { status: 503, body: { error: "server busy, please try again.  maximum pending requests exceeded" } },
    failure: { reason: "ApiError", status: 503 }
  },
  "a token that is missing": {
    script: { status: 401, body: { error: "unauthorized" } },
    failure: { reason: "AuthenticationError" }
  },
  "too many requests, and a time to wait that the page may not read": {
    script: { status: 429, headers: { "retry-after": "7" }, body: { error: "slow down" } },
    failure: { reason: "RateLimited", retryAfter: undefined }
  },
  "too many requests, and a time to wait that the page may read": {
    script: { status: 429, headers: { "retry-after": "7", "access-control-expose-headers": "retry-after" } },
    failure: { reason: "RateLimited", retryAfter: 7000 }
  },
  "an empty answer": {
    script: { status: 200 },
    failure: { reason: "StreamTruncated" }
  },
  "a status that the page may not read": {
    script: { status: 500, headers: unreadable, body: { error: "secret" } },
    failure: notReadable
  },
  "an answer that the page may not read": {
    script: { status: 200, headers: unreadable, body: "{}" },
    failure: notReadable
  },
  "a redirect": {
    script: { status: 307, headers: { location: "https://other.example/" } },
    failure: {
      reason: "ApiError",
      status: 0,
      message: expect.stringMatching(/answered with a redirect: set baseUrl to the address that it redirects to$/)
    }
  },
  "a page of HTML": {
    script: { status: 200, headers: { "content-type": "text/html" }, body: "<!doctype html><h1>Sign in</h1>" },
    failure: { reason: "ApiError", status: 200 }
  },
  "a page of HTML with a status": {
    script: { status: 502, headers: { "content-type": "text/html" }, body: "<h1>Bad gateway</h1>" },
    failure: { reason: "ApiError", status: 502 }
  },
  "a body that ends too early": {
    script: { text: "The sky", cut: { how: "end" } },
    text: "The sky",
    failure: { reason: "StreamTruncated" }
  },
  "a connection that is closed in the answer": {
    script: { text: "The sky", cut: { how: "close" } },
    failure: closed
  },
  "a connection that is reset in the answer": {
    script: { text: "The sky", cut: { how: "reset" } },
    failure: closed
  },
  "a connection that is closed before the headers": {
    script: { text: "The sky", cut: { how: "close", afterBytes: 0 } },
    failure: notReadable
  },
  "an error in the answer": {
    script: { pieces: ["The sky", { error: "out of memory" }] },
    text: "The sky",
    failure: { reason: "StreamError" }
  },
  "a line that is no JSON": {
    script: { pieces: ["The sky", { record: "{not json" }] },
    text: "The sky",
    failure: { reason: "ParseError" }
  },
  "a line that does not end": {
    script: { pieces: FakeServer.endless({ raw: "x".repeat(4096) }) },
    maxLineBytes: 1_000_000,
    failure: { reason: "LineTooLong" }
  },
  "text that is no UTF-8": {
    script: { pieces: [{ raw: Buffer.from([0xff, 0xfe, 0x0a]) }] },
    failure: { reason: "ParseError" }
  },
  "no first chunk in time": {
    script: FakeServer.silence,
    deadlines: { firstChunk: 200 },
    failure: { reason: "Timeout" }
  },
  "no next chunk in time": {
    script: { text: "The sky", cut: { how: "stall" } },
    deadlines: { idle: 200 },
    text: "The sky",
    failure: { reason: "Timeout" }
  },
  "too long as a whole": {
    script: { pieces: FakeServer.endless("again "), delay: { between: "20 millis" } },
    deadlines: { total: 300 },
    failure: { reason: "Timeout" }
  }
}

layer(Chromium.live, { excludeTestServices: true, timeout: "60 seconds" })("failures in a browser", (it) => {
  for (const [name, { failure, script, text, ...question }] of Object.entries(cases)) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const server = yield* start(script)
        const lab = yield* Lab.open
        const reading = yield* lab.read({ url: server.url, ...question })
        expect(reading).toMatchObject({ outcome: "failed", failure })
        if (text !== undefined) expect(reading.text).toBe(text)
        yield* server.until(({ requests }) => requests[0]?.outcome !== "answering")
      })
    )
  }

  it.effect("a server that does not allow the page", () =>
    Effect.gen(function* () {
      const refusing = yield* FakeServer.make({ text: "Blue." }, { origins: ["https://other.example"] })
      const ignorant = yield* FakeServer.make({ text: "Blue." })
      const lab = yield* Lab.open
      for (const server of [refusing, ignorant]) {
        for (const name of ["Ollama", "LmStudio", "LlamaServer"] as const) {
          const reading = yield* lab.read({ server: name, url: server.url })
          expect(reading).toMatchObject({ outcome: "failed", failure: { reason: "NetworkError" } })
          expect(reading.failure?.message).toContain("does it allow pages of this origin (CORS)?")
        }
      }
      expect((yield* refusing.state).requests).toEqual([])
    })
  )

  it.effect("no server", () =>
    Effect.gen(function* () {
      const lab = yield* Lab.open
      const reading = yield* lab.read({ url: "http://127.0.0.1:1" })
      expect(reading).toMatchObject({ outcome: "failed", failure: notReadable })
    })
  )

  it.effect("a proxy that redirects the preflight", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({
        status: 307,
        headers: { location: "/v2", "access-control-allow-origin": "*" }
      })
      const reading = yield* (yield* Lab.open).read({ url: server.url })
      expect(reading).toMatchObject({ outcome: "failed", failure: notReadable })
      expect((yield* server.state).requests).toEqual([])
    })
  )

  it.effect("a proxy that compresses is no failure: the browser decompresses", () =>
    Effect.gen(function* () {
      const body = gzipSync('{"model":"m","message":{"content":"Blue."},"done":true,"done_reason":"stop"}\n')
      const server = yield* start({ status: 200, headers: { "content-encoding": "gzip" }, body })
      expect(yield* (yield* Lab.open).read({ url: server.url })).toMatchObject({ text: "Blue.", outcome: "complete" })
    })
  )

  it.effect("a server that does not answer the preflight in time gets no request, neither late nor after a stop", () =>
    Effect.gen(function* () {
      const allowed = { "access-control-allow-origin": "*", "access-control-allow-headers": "*" }
      const server = yield* FakeServer.make({ status: 200, headers: allowed, delay: { headers: "1 second" } })
      const lab = yield* Lab.open
      const late = yield* lab.read({ url: server.url, deadlines: { firstChunk: 200 } })
      expect(late).toMatchObject({ outcome: "failed", failure: { reason: "Timeout" } })
      const asked = yield* lab.ask({ url: server.url })
      yield* server.until(({ preflights }) => preflights.length === 2)
      yield* asked.stop
      expect(yield* asked.end).toMatchObject({ outcome: "interrupted" })
      yield* server.until(({ preflights }) => preflights.every(({ outcome }) => outcome === "completed"))
      yield* Effect.sleep("300 millis")
      expect((yield* server.state).requests).toEqual([])
    })
  )
})
