/** Answers as responses of an HTTP server, to a client with `fetch`. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { createServer } from "node:http"
import * as MockProvider from "../../src/MockProvider.ts"
import type { Provider } from "../../src/Provider.ts"
import * as Reasons from "../../src/ProviderError.ts"
import * as StreamResponse from "../../src/StreamResponse.ts"
import { StreamingChunk, FromJsonString } from "../../src/StreamingChunk.ts"
import { request, serverNames, start } from "../support/setups.ts"

const forms = { sse: StreamResponse.sse, ndjson: StreamResponse.ndjson }

/** A server with a route, as long as the scope. Returns its address. */
const serve = Effect.fnUntraced(function* (provider: Provider, form: keyof typeof forms) {
  const route = HttpRouter.add(
    "GET",
    "/chat",
    Effect.suspend(() => forms[form](provider.stream(request)))
  )
  const server = NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })
  const context = yield* Layer.build(
    Layer.provideMerge(HttpRouter.serve(route, { disableLogger: true, disableListenLog: true }), server)
  )
  const address = yield* Effect.provide(
    HttpServer.HttpServer.use(({ address }) => Effect.succeed(address)),
    context
  )
  return `http://127.0.0.1:${"port" in address ? address.port : 0}/chat`
})

const get = (url: string) =>
  Effect.promise(async () => {
    const response = await fetch(url)
    return { status: response.status, headers: response.headers, text: await response.text() }
  })

const dataOf = (text: string) =>
  text
    .split("\n")
    .filter((line) => line.startsWith("data: ") || line.startsWith("{"))
    .map((line) => line.replace(/^data: /, ""))

const isChunk = Schema.is(StreamingChunk)

describe.each(["sse", "ndjson"] as const)("%s", (form) => {
  it.live("sends each chunk, and the final one last", () =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make([{ promptProgress: { processed: 1, total: 2 } }, "Sun\n\nlight", "é😀"])
      const { headers, status, text } = yield* get(yield* serve(mock, form))
      expect(status).toBe(200)
      expect(headers.get("content-type")).toBe(form === "sse" ? "text/event-stream" : "application/x-ndjson")
      const chunks = yield* Effect.forEach(dataOf(text), (line) => Schema.decodeEffect(FromJsonString)(line))
      expect(chunks.every((chunk) => isChunk(chunk))).toBe(true)
      expect(chunks.map(({ content }) => content)).toEqual(["", "Sun\n\nlight", "é😀", ""])
      expect(chunks.map(({ isFinal }) => isFinal)).toEqual([false, false, false, true])
    })
  )

  it.live.each<[reason: Reasons.ProviderErrorReason, status: number]>([
    [new Reasons.InvalidRequest({}), 400],
    [new Reasons.ContextOverflow({}), 400],
    [new Reasons.ModelNotAvailable({ model: "m" }), 404],
    [new Reasons.RateLimited({ retryAfter: Duration.millis(1500), detail: Redacted.make("secret") }), 429],
    [new Reasons.Timeout({ kind: "idle", limit: Duration.seconds(1) }), 504],
    [new Reasons.AuthenticationError({ detail: Redacted.make("secret") }), 502],
    [new Reasons.NetworkError({}), 502]
  ])("a failure before the first text is a status", ([reason, status]) =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make([{ promptProgress: { processed: 1, total: 2 } }, MockProvider.fail(reason)])
      const response = yield* get(yield* serve(mock, form))
      expect(response.status).toBe(status)
      expect(JSON.parse(response.text)).toEqual({
        error: { reason: reason._tag, message: reason.message, isRetryable: reason.isRetryable }
      })
      if (reason._tag === "RateLimited") expect(response.headers.get("retry-after")).toBe("2")
    })
  )

  it.live("a failure after it is the last event, without a final chunk", () =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make(["Sun", MockProvider.fail(new Reasons.StreamTruncated())])
      const { status, text } = yield* get(yield* serve(mock, form))
      expect(status).toBe(200)
      expect(text).not.toContain('"isFinal":true')
      expect(text.trim().endsWith(form === "sse" ? '"isRetryable":true}' : '"isRetryable":true}}')).toBe(true)
      expect(text).toContain(form === "sse" ? "event: error\ndata: {" : '{"error":{')
    })
  )

  describe.each(serverNames)("%s", (name) => {
    it.live("chunks arrive one by one, and the model server stops when the client leaves", () =>
      Effect.gen(function* () {
        const endless = {
          pieces: {
            *[Symbol.iterator]() {
              for (;;) yield "word "
            }
          },
          delay: { between: 5 }
        }
        const { provider, server } = yield* start({ provider: name, client: "undici" }, endless)
        const url = yield* serve(provider, form)
        yield* Effect.promise(async () => {
          const controller = new AbortController()
          const response = await fetch(url, { signal: controller.signal })
          const reader = response.body?.getReader()
          let text = ""
          while (text.split("word").length < 5) text += new TextDecoder().decode((await reader?.read())?.value)
          controller.abort()
        })
        yield* server.until(({ requests }) => requests.at(-1)?.outcome === "cut-by-client")
        // Before the first text as well.
        yield* server.setScript({ text: "late", delay: { headers: Infinity, first: Infinity } })
        yield* Effect.promise(() => fetch(url, { signal: AbortSignal.timeout(300) }).catch(() => undefined))
        yield* server.until(({ requests }) => requests.length > 1 && requests.at(-1)?.outcome === "cut-by-client")
      })
    )
  })
})
