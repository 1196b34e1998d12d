/** Answers as responses of an HTTP server, to a client with `fetch`. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import type { HttpServerResponse } from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { Agent, createServer, get as nodeGet } from "node:http"
import * as MockProvider from "../../src/MockProvider.ts"
import { Provider } from "../../src/Provider.ts"
import * as Reasons from "../../src/ProviderError.ts"
import * as StreamResponse from "../../src/StreamResponse.ts"
import { StreamingChunk, FromJsonString } from "../../src/StreamingChunk.ts"
import { FakeServer } from "../../src/testing/index.ts"
import { request, serverNames, start } from "../support/setups.ts"

const forms = { sse: StreamResponse.sse, ndjson: StreamResponse.ndjson }

const routeOf = (provider: Provider, form: keyof typeof forms) =>
  HttpRouter.add(
    "GET",
    "/chat",
    Effect.suspend(() => forms[form](provider.stream(request)))
  )

/** A server with a route, as long as the scope. Returns its address. */
const serve = Effect.fnUntraced(function* (provider: Provider, form: keyof typeof forms) {
  const route = routeOf(provider, form)
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
    .filter((line) => line.startsWith("data: ") || line.trimStart().startsWith("{"))
    .map((line) => line.replace(/^data: /, ""))

const isChunk = Schema.is(StreamingChunk)

const endless = {
  pieces: {
    *[Symbol.iterator]() {
      for (;;) yield "word "
    }
  },
  delay: { between: 5 }
}

/** Reads until the text has a word several times, and returns the reader. */
const readSome = async (response: Response) => {
  const reader = response.body?.getReader()
  let text = ""
  while (text.split("word").length < 5) text += new TextDecoder().decode((await reader?.read())?.value)
  return reader
}

/** The status and the parts of a response that no server sends, with the time at which each part was there, in seconds. */
const read = Effect.fnUntraced(function* ({ body, status }: HttpServerResponse) {
  const parts: Array<readonly [at: number, text: string]> = []
  if (body._tag === "Stream") {
    yield* body.stream.pipe(
      Stream.decodeText,
      Stream.runForEach((text) =>
        Effect.map(
          Effect.clockWith((clock) => clock.currentTimeMillis),
          (now) => parts.push([now / 1000, text])
        )
      ),
      Effect.orDie
    )
  }
  return { status, parts }
})

const withoutProvider = (chunk: StreamingChunk) => ({ ...chunk, provider: undefined })

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

  it.effect("sends thinking, tool calls, usage and timings", () =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make([
        { thinking: "Hm" },
        { toolCallDeltas: [{ index: 0, id: "c", name: "f", argumentsDelta: "{}" }] },
        { toolCalls: [{ id: "c", name: "f", arguments: { city: "Paris" } }] },
        { isFinal: true, usage: { promptTokens: 3, cachedTokens: 1 }, timings: { load: Duration.millis(1500) } }
      ])
      const { parts } = yield* Effect.flatMap(forms[form](mock.stream(request)), read)
      const lines = dataOf(parts.map(([, text]) => text).join(""))
      const chunks = yield* Effect.forEach(lines, (line) => Schema.decodeEffect(FromJsonString)(line))
      const sent = yield* Stream.runCollect(mock.stream(request))
      // The name of a provider may be an address.
      expect(chunks).toEqual(sent.map((chunk) => withoutProvider(chunk)))
      expect(lines.join()).not.toContain("provider")
    }).pipe(Effect.scoped)
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

  it.effect("a response without a first chunk begins after 45 seconds, and is never silent for longer", () =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make([
        { promptProgress: { processed: 1, total: 2 } },
        MockProvider.wait("100 seconds"),
        "Sun",
        MockProvider.wait("60 seconds"),
        "light"
      ])
      const fiber = yield* Effect.forkChild(Effect.flatMap(forms[form](mock.stream(request)), read))
      yield* Effect.repeat(TestClock.adjust("1 second"), { times: 180 })
      const { parts, status } = yield* Fiber.join(fiber)
      expect(status).toBe(200)
      const times = parts.map(([at]) => at)
      expect(times[0]).toBe(45)
      expect(Math.max(...times.slice(1).map((at, i) => at - (times[i] ?? 0)))).toBe(45)
      const text = parts.map(([, text]) => text).join("")
      const chunks = yield* Effect.forEach(dataOf(text), (line) => Schema.decodeEffect(FromJsonString)(line))
      expect(chunks.map(({ content }) => content)).toEqual(["", "Sun", "light", ""])
    }).pipe(Effect.scoped)
  )

  it.effect("a failure after 45 seconds is an event; without keepAlive it has its status", () =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make([MockProvider.hang])
      const responses = yield* Effect.forEach([{}, { keepAlive: Infinity }], (options) =>
        Effect.forkScoped(Effect.flatMap(forms[form](mock.stream(request), options), read))
      )
      yield* TestClock.adjust("10 minutes")
      const [late, silent] = yield* Effect.forEach(responses, Fiber.join)
      expect(late?.status).toBe(200)
      expect(late?.parts.at(-1)).toMatchObject([300, expect.stringContaining('"reason":"Timeout"')])
      expect(silent).toEqual({ status: 504, parts: [] })
    }).pipe(Effect.scoped)
  )

  it.effect("encode chooses what is sent", () =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make([
        { thinking: "Hm" },
        "Sun",
        "light",
        MockProvider.fail(new Reasons.NetworkError({}))
      ])
      const response = yield* forms[form](mock.stream(request), { encode: ({ content }) => content || undefined })
      const { parts } = yield* read(response)
      const text = parts.map(([, text]) => text).join("")
      expect(text.split("\n").slice(0, form === "sse" ? 4 : 2)).toEqual(
        form === "sse" ? ['data: "Sun"', "", 'data: "light"', ""] : ['"Sun"', '"light"']
      )
      expect(text).toContain('"reason":"NetworkError"')
      expect(text).not.toContain("Hm")
    }).pipe(Effect.scoped)
  )

  it.effect("a stream may need services", () =>
    Effect.gen(function* () {
      const chunks = Stream.unwrap(Provider.use(({ stream }) => Effect.succeed(stream(request))))
      const { parts } = yield* Effect.flatMap(forms[form](chunks), read)
      expect(parts.map(([, text]) => text).join("")).toContain("Sunlight")
    }).pipe(Effect.scoped, Effect.provide(MockProvider.layer(["Sunlight"])))
  )

  it.effect("make sends any stream, and begins with the first item that is sent", () =>
    Effect.gen(function* () {
      const options: StreamResponse.MakeOptions<number, string> = {
        format: form,
        encode: (n) => (n < 0 ? undefined : { n }),
        onFailure: (error) => ({ status: 503, retryAfter: Duration.seconds(3), error })
      }
      const failed = yield* StreamResponse.make(Stream.concat(Stream.make(-1), Stream.fail("busy")), options)
      expect([failed.status, failed.headers["retry-after"]]).toEqual([503, "3"])
      expect(failed.body).toMatchObject({ text: '{"error":"busy"}' })

      const begun = yield* StreamResponse.make(Stream.concat(Stream.make(-1, 0, -1, 1), Stream.fail("broken")), options)
      const { parts, status } = yield* read(begun)
      expect(status).toBe(200)
      expect(parts.map(([, text]) => text).join("")).toBe(
        form === "sse"
          ? 'data: {"n":0}\n\ndata: {"n":1}\n\nevent: error\ndata: "broken"\n\n'
          : '{"n":0}\n{"n":1}\n{"error":"broken"}\n'
      )
      expect((yield* StreamResponse.make(Stream.make(-1), options)).status).toBe(204)
    }).pipe(Effect.scoped)
  )

  it.live("the next request of a client uses the same connection", () =>
    Effect.gen(function* () {
      const url = yield* serve(yield* MockProvider.make(["Sun", "light"]), form)
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      const ask = () =>
        new Promise<boolean>((resolve, reject) => {
          const sent = nodeGet(url, { agent }, (response) => {
            response.resume().once("end", () => setImmediate(resolve, sent.reusedSocket))
          }).once("error", reject)
        })
      expect([yield* Effect.promise(ask), yield* Effect.promise(ask)]).toEqual([false, true])
      agent.destroy()
    })
  )

  it.live("a client that does not read slows the model server down", () =>
    Effect.gen(function* () {
      const piece = "x".repeat(10_000)
      const { provider, server } = yield* start(
        { provider: "Ollama", client: "undici" },
        { pieces: FakeServer.endless(piece) }
      )
      const url = yield* serve(provider, form)
      const controller = new AbortController()
      yield* Effect.promise(() => fetch(url, { signal: controller.signal }))
      const written = Effect.map(server.state, ({ requests }) => requests[0]?.bytesWritten ?? 0)
      // The buffers of the sockets fill up, and then nothing moves.
      const settled = yield* written.pipe(
        Effect.delay("200 millis"),
        Effect.repeat({
          while: Effect.fnUntraced(function* (bytes) {
            yield* Effect.sleep("200 millis")
            return (yield* written) !== bytes
          })
        }),
        Effect.timeout("15 seconds")
      )
      expect(settled).toBeGreaterThan(piece.length)
      expect(settled).toBeLessThan(50_000_000)
      controller.abort()
      yield* server.until(({ requests }) => requests[0]?.outcome === "cut-by-client")
    })
  )

  it.live("as a web handler, it sends each chunk, and stops the model server when the client leaves", () =>
    Effect.gen(function* () {
      const { provider, server } = yield* start({ provider: "Ollama", client: "undici" }, { text: "Sunlight" })
      const { handler } = yield* Effect.acquireRelease(
        Effect.sync(() => HttpRouter.toWebHandler(routeOf(provider, form), { disableLogger: true })),
        ({ dispose }) => Effect.promise(dispose)
      )
      const ask = (signal?: AbortSignal) => handler(new Request("http://localhost/chat", signal ? { signal } : {}))
      const text = yield* Effect.promise(async () => (await ask()).text())
      expect(text).toContain("Sunlight")
      expect(text).toContain('"isFinal":true')

      yield* server.setScript(endless)
      yield* Effect.promise(async () => {
        // A server cancels the body when its client leaves.
        await (await readSome(await ask()))?.cancel()
      })
      yield* server.until(({ requests }) => requests.at(-1)?.outcome === "cut-by-client")

      yield* server.setScript({ text: "late", delay: { headers: Infinity, first: Infinity } })
      const controller = new AbortController()
      const response = ask(controller.signal)
      yield* server.until(({ requests }) => requests.length === 3)
      controller.abort()
      yield* server.until(({ requests }) => requests.at(-1)?.outcome === "cut-by-client")
      expect((yield* Effect.promise(() => response)).status).toBe(499)
    })
  )

  describe.each(serverNames)("%s", (name) => {
    it.live("chunks arrive one by one, and the model server stops when the client leaves", () =>
      Effect.gen(function* () {
        const { provider, server } = yield* start({ provider: name, client: "undici" }, endless)
        const url = yield* serve(provider, form)
        yield* Effect.promise(async () => {
          const controller = new AbortController()
          const response = await fetch(url, { signal: controller.signal })
          await readSome(response)
          controller.abort()
        })
        yield* server.until(({ requests }) => requests.at(-1)?.outcome === "cut-by-client")
        // Before the first text as well.
        yield* server.setScript({ text: "late", delay: { headers: Infinity, first: Infinity } })
        const controller = new AbortController()
        const ended = fetch(url, { signal: controller.signal }).catch(() => undefined)
        yield* server.until(({ requests }) => requests.length === 2)
        controller.abort()
        yield* server.until(({ requests }) => requests.at(-1)?.outcome === "cut-by-client")
        yield* Effect.promise(() => ended)
      })
    )
  })
})
