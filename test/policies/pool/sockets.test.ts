/** The pool on real connections. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { expect, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as Ollama from "../../../src/Ollama.ts"
import * as Pool from "../../../src/Pool.ts"
import * as Provider from "../../../src/Provider.ts"
import { FakeServer } from "../../../src/testing/index.ts"
import { ask, reasonOf } from "./support.ts"

const serve = (script?: FakeServer.Script) => FakeServer.make(script, { models: ["m:latest"] })

const hosts = (...urls: ReadonlyArray<string>) =>
  urls.map((baseUrl) => ({ provider: Ollama.make({ baseUrl, name: baseUrl }) }))

const untilIdle = (server: FakeServer.FakeServer["Service"]) =>
  server.until(({ requests }) => requests.every(({ outcome }) => outcome !== "answering"))

it.live("a host that is not there, or resets each connection, costs no request", () =>
  Effect.gen(function* () {
    const gone = yield* Effect.scoped(Effect.map(serve(), ({ url }) => url))
    const resets = yield* serve({ text: "never", cut: { how: "reset", afterBytes: 0 } })
    const good = yield* serve({ text: "Hi" })
    const pool = yield* Pool.make({ hosts: hosts(gone, resets.url, good.url) })
    for (let i = 0; i < 20; i++) {
      expect(yield* pool.complete(ask("x"))).toMatchObject({ content: "Hi", provider: good.url })
    }
    const { hosts: states } = yield* SubscriptionRef.get(pool.state)
    for (const { abandoned, active } of states) expect([active, abandoned]).toEqual([0, 0])
  }).pipe(Effect.scoped, Effect.provide(NodeHttpClient.layerUndici))
)

it.live("a host that dies in the middle of an answer: the text is not doubled, and the next request is answered", () =>
  Effect.gen(function* () {
    const dies = yield* serve({ pieces: ["one ", { wait: "50 millis" }, "two "], cut: { how: "reset" } })
    const pool = yield* Pool.make({ hosts: hosts(dies.url) })
    const texts: Array<string> = []
    const error = yield* Effect.flip(
      Stream.runForEach(pool.stream(ask("x")), ({ content }) => Effect.sync(() => texts.push(content)))
    )
    expect("one two ".startsWith(texts.join(""))).toBe(true)
    expect(error.isRetryable).toBe(true)
    const good = yield* serve({ text: "Hi" })
    yield* pool.add({ provider: Ollama.make({ baseUrl: good.url }), name: "good" })
    yield* pool.drain(dies.url)
    expect(yield* pool.complete(ask("x"))).toMatchObject({ content: "Hi", provider: "good" })
  }).pipe(Effect.scoped, Effect.provide(NodeHttpClient.layerUndici))
)

it.live("a host that hangs: the deadline closes the connection, and Ollama has its permit free at once", () =>
  Effect.gen(function* () {
    const hangs = yield* serve(FakeServer.silence)
    const pool = yield* Pool.make({ hosts: hosts(hangs.url) })
    const reason = yield* reasonOf(pool.complete({ ...ask("x"), deadlines: { firstChunk: "100 millis" } }))
    expect(reason).toMatchObject({ _tag: "Timeout", kind: "first-chunk" })
    const { requests } = yield* untilIdle(hangs)
    expect(requests.map(({ outcome }) => outcome)).toEqual(["cut-by-client"])
    expect(yield* SubscriptionRef.get(pool.state)).toMatchObject({ hosts: [{ active: 0, abandoned: 0 }] })
  }).pipe(Effect.scoped, Effect.provide(NodeHttpClient.layerUndici))
)

it.live("interruption closes the connections of all, before the first chunk and after it; no socket is left", () =>
  Effect.gen(function* () {
    const servers = [
      yield* serve({ pieces: FakeServer.endless("again ") }),
      yield* serve((request) => (request.path === "/api/generate" ? FakeServer.silence : { text: "no description" }))
    ]
    yield* Effect.scoped(
      Effect.gen(function* () {
        const pool = yield* Pool.make({ hosts: hosts(...servers.map(({ url }) => url)), permits: 3 })
        const fibers = yield* Effect.forEach(Array.from({ length: 10 }), () =>
          Effect.forkChild(Effect.exit(Stream.runDrain(pool.stream(ask("x")))), { startImmediately: true })
        )
        for (const server of servers) {
          yield* server.until(({ requests }) => requests.filter(({ path }) => path === "/api/generate").length === 3)
        }
        expect(yield* SubscriptionRef.get(pool.state)).toMatchObject({ waiting: 4 })
        yield* Fiber.interruptAll(fibers)
        for (const server of servers) yield* untilIdle(server)
        const { hosts: states, waiting } = yield* SubscriptionRef.get(pool.state)
        expect(waiting).toBe(0)
        expect(states.map(({ active }) => active)).toEqual([0, 0])
      }).pipe(Effect.provide(NodeHttpClient.layerUndici))
    )
    for (const server of servers) yield* server.until(({ openConnections }) => openConnections === 0)
  }).pipe(Effect.scoped)
)

it.live("hosts from the configuration", () =>
  Effect.gen(function* () {
    const servers = [yield* serve({ text: "Hi" }), yield* serve({ text: "Hi" })]
    const value = ` ${servers.map(({ url }) => url.replace("http://", "")).join(" , ")},`
    const live = Pool.layerConfig({}).pipe(
      Layer.provide(NodeHttpClient.layerUndici),
      Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: { OLLAMA_HOSTS: value } })))
    )
    yield* Effect.gen(function* () {
      const pool = yield* Pool.Pool
      const provider = yield* Provider.Provider
      expect((yield* SubscriptionRef.get(pool.state)).hosts.map(({ name }) => name)).toEqual(
        servers.map(({ url }) => url)
      )
      const { content, provider: name } = yield* provider.complete(ask("x"))
      expect([content, servers.map(({ url }) => url).includes(name ?? "")]).toEqual(["Hi", true])
    }).pipe(Effect.provide(live))
    const missing = Pool.layerConfig().pipe(
      Layer.provide(NodeHttpClient.layerUndici),
      Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: {} })))
    )
    expect(yield* Effect.flip(Effect.scoped(Layer.build(missing)))).toMatchObject({ _tag: "ConfigError" })
  }).pipe(Effect.scoped)
)
