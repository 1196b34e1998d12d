/** Clients that leave in any phase of a request: the host's connection is closed at once, and nothing is left behind in the pool. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as Ollama from "../../src/Ollama.ts"
import * as Pool from "../../src/Pool.ts"
import { FakeServer } from "../../src/testing/index.ts"
import * as Gateway from "../support/gateway.ts"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"

const isCompletion = ({ path }: { readonly path: string }) => path === "/api/chat" || path === "/api/generate"

/** A gateway in front of a pool with one host, which generates one completion at a time. */
const start = Effect.fnUntraced(function* (completion: FakeServer.Completion) {
  const server = yield* FakeServer.make((request) => (isCompletion(request) ? completion : {}), { models: ["m"] })
  const host = { provider: Ollama.make({ baseUrl: server.url }), permits: 1, name: "host" }
  const pool = yield* Pool.make({ hosts: [host] })
  const url = yield* Gateway.serve(pool)
  const sent = (count: number) => server.until(({ requests }) => requests.filter(isCompletion).length === count)
  const isCut = server.until(({ requests }) => {
    const completions = requests.filter(isCompletion)
    return completions.length > 0 && completions.every(({ outcome }) => outcome === "cut-by-client")
  })
  const poolUntil = (predicate: (state: Pool.State) => boolean) =>
    Stream.runHead(Stream.filter(SubscriptionRef.changes(pool.state), predicate))
  const isIdle = poolUntil(({ hosts, waiting }) => waiting === 0 && hosts.every(({ active }) => active === 0))
  return { url, server, sent, isCut, poolUntil, isIdle }
})

const loading: FakeServer.Completion = { text: "late", delay: { headers: Infinity, first: Infinity } }

const endless: FakeServer.Completion = { pieces: FakeServer.endless("word "), delay: { between: 5 } }

const atOnce = Effect.timeout("2 seconds")

describe.each(Object.entries(Gateway.rows))("%s", (_, { body, path }) => {
  describe.each([true, false])("stream: %s", (stream) => {
    it.live("while the request waits in the queue", () =>
      Effect.gen(function* () {
        const { isCut, isIdle, poolUntil, sent, server, url } = yield* start(loading)
        const first = Gateway.send(url + path, { ...body, stream })
        yield* sent(1)
        const second = Gateway.send(url + path, { ...body, stream })
        yield* poolUntil(({ waiting }) => waiting === 1)
        second.request.destroy()
        yield* atOnce(poolUntil(({ waiting }) => waiting === 0))
        first.request.destroy()
        yield* atOnce(isCut)
        yield* atOnce(isIdle)
        expect((yield* server.state).requests.filter(isCompletion).length).toBe(1)
      }).pipe(Effect.provide(NodeHttpClient.layerUndici))
    )

    it.live("while the model is loaded", () =>
      Effect.gen(function* () {
        const { isCut, isIdle, sent, url } = yield* start(loading)
        const { request } = Gateway.send(url + path, { ...body, stream })
        yield* sent(1)
        request.destroy()
        yield* atOnce(isCut)
        yield* atOnce(isIdle)
      }).pipe(Effect.provide(NodeHttpClient.layerUndici))
    )

    it.live("with the first chunk", () =>
      Effect.gen(function* () {
        const pieces = Stream.concat(Stream.make("word "), Stream.never)
        const { isCut, isIdle, server, url } = yield* start({ pieces })
        const { request, until } = Gateway.send(url + path, { ...body, stream })
        if (stream) yield* Effect.promise(() => until((text) => text.includes("word")))
        else yield* server.until(({ requests }) => requests.some((each) => isCompletion(each) && each.bytesWritten > 0))
        request.destroy()
        yield* atOnce(isCut)
        yield* atOnce(isIdle)
      }).pipe(Effect.provide(NodeHttpClient.layerUndici))
    )

    it.live("in the middle", () =>
      Effect.gen(function* () {
        const { isCut, isIdle, server, url } = yield* start(endless)
        const { request, until } = Gateway.send(url + path, { ...body, stream })
        if (stream) yield* Effect.promise(() => until((text) => text.split("word").length > 10))
        else
          yield* server.until(({ requests }) => requests.some((each) => isCompletion(each) && each.bytesWritten > 1000))
        request.destroy()
        yield* atOnce(isCut)
        yield* atOnce(isIdle)
      }).pipe(Effect.provide(NodeHttpClient.layerUndici))
    )
  })
})

it.live("a response that is too long for its protocol fails, and the host stops", () =>
  Effect.gen(function* () {
    const piece = "x".repeat(100_000)
    const { isCut, isIdle, url } = yield* start({ pieces: FakeServer.endless(piece) })
    const row = Gateway.rows["OpenAI, responses"]
    const { text } = yield* Gateway.ask(`${url}${row?.path}`, { ...row?.body, stream: true })
    expect(text.slice(-2000)).toMatch(row?.failure ?? "")
    expect(text.length).toBeLessThan(20_000_000)
    yield* atOnce(isCut)
    yield* atOnce(isIdle)
  }).pipe(Effect.provide(NodeHttpClient.layerUndici))
)

it.live("a client that does not read slows the host down, and its leaving is noticed", () =>
  Effect.gen(function* () {
    const piece = "x".repeat(10_000)
    const { isCut, isIdle, server, url } = yield* start({ pieces: FakeServer.endless(piece) })
    const row = Gateway.rows["OpenAI, chat"]
    const { request } = Gateway.send(`${url}${row?.path}`, { ...row?.body, stream: true })
    request.once("response", (response) => response.pause())
    const written = Effect.map(server.state, ({ requests }) => requests.find(isCompletion)?.bytesWritten ?? 0)
    const settled = yield* written.pipe(
      Effect.delay("200 millis"),
      Effect.repeat({
        while: Effect.fnUntraced(function* (bytes) {
          yield* Effect.sleep("300 millis")
          return bytes === 0 || (yield* written) !== bytes
        })
      }),
      Effect.timeout("15 seconds")
    )
    expect(settled).toBeLessThan(50_000_000)
    request.destroy()
    yield* atOnce(isCut)
    yield* atOnce(isIdle)
  }).pipe(Effect.provide(NodeHttpClient.layerUndici))
)
