/** What gateways share: one line, the permits, and what is known of the hosts. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as TestClock from "effect/testing/TestClock"
import type * as Protocol from "../../../src/cluster/protocol.ts"
import * as MockProvider from "../../../src/MockProvider.ts"
import * as Pool from "../../../src/Pool.ts"
import { NetworkError } from "../../../src/ProviderError.ts"
import type { Provider } from "../../../src/Provider.ts"
import * as Support from "./support.ts"

const { host } = Support

const fork = <A, E>(effect: Effect.Effect<A, E>) => Effect.forkChild(effect, { startImmediately: true })

const soon = TestClock.adjust("1 second")

/** Runs it while time passes. */
const settle = <A, E>(effect: Effect.Effect<A, E>, seconds = 3) =>
  Effect.gen(function* () {
    const fiber = yield* fork(effect)
    for (let i = 0; i < seconds * 10; i++) yield* TestClock.adjust("100 millis")
    return yield* Fiber.join(fiber)
  })

const ask = (provider: Provider, prompt: string, model = "m") =>
  Effect.map(provider.complete({ model, prompt }), ({ provider }) => provider)

/** Two gateways and these hosts. */
const start = Effect.fnUntraced(function* (
  hosts: ReadonlyArray<Protocol.Host>,
  script?: Parameters<typeof Support.makeServers>[0],
  takeoverMillis = 0
) {
  const servers = Support.makeServers(script)
  const world = yield* Support.makeWorld({ servers, takeoverMillis })
  const register = Effect.sync(() => hosts.forEach((each) => world.shared().register(each)))
  yield* Effect.forkScoped(Effect.repeat(register, Schedule.spaced("1 second")), { startImmediately: true })
  const a = yield* world.gateway()
  const b = yield* world.gateway()
  yield* TestClock.adjust(takeoverMillis + 1000)
  return { servers, world, a, b }
})

const slow = () => ["a", MockProvider.wait("10 seconds"), "b"]

it.effect("a flood through one gateway leaves the turns of another caller, whose requests come through the other", () =>
  Effect.gen(function* () {
    const { a, b, servers } = yield* start([host("one", 1)], () => [MockProvider.wait("100 millis"), "a"])
    const from = (gateway: Support.Gateway, name: string, prompt: string) =>
      fork(Effect.provideService(gateway.provider.complete({ model: "m", prompt }), Pool.caller, { name }))
    for (let i = 0; i < 20; i++) yield* from(a, "flood", `flood ${i}`)
    yield* TestClock.adjust("50 millis")
    for (let i = 0; i < 3; i++) yield* from(b, "other", `other ${i}`)
    for (let i = 0; i < 100; i++) yield* TestClock.adjust("100 millis")
    const order = servers.prompts.get("one") ?? []
    expect(order.length).toBe(23)
    expect(order.slice(0, 10).filter((prompt) => prompt.startsWith("other")).length).toBe(3)
  })
)

it.effect("a prompt that one gateway sent goes to the same host through the other", () =>
  Effect.gen(function* () {
    const { a, b } = yield* start([host("one"), host("two"), host("three")])
    for (let i = 0; i < 5; i++) {
      const prompt = `document ${i} `.repeat(2000)
      const first = yield* settle(ask(a.provider, `${prompt} and a question`))
      expect(yield* settle(ask(b.provider, `${prompt} and another question`))).toBe(first)
    }
  })
)

it.effect("a host that failed through one gateway gets no requests through the other", () =>
  Effect.gen(function* () {
    const { a, b, servers } = yield* start(
      [host("one"), host("two")],
      (name) => () => (name === "one" ? [MockProvider.fail(new NetworkError({ description: "no connection" }))] : ["a"])
    )
    for (let i = 0; i < 20; i++) yield* settle(ask(a.provider, `a ${i}`), 1)
    const before = servers.prompts.get("one")?.length ?? 0
    expect(before).toBeGreaterThan(0)
    for (let i = 0; i < 20; i++) expect(yield* settle(ask(b.provider, `b ${i}`), 1)).toBe("two")
    // It is off already. It is tried after half a second, and then after twice as long each time; another gateway alone needs 5 failures first.
    expect((servers.prompts.get("one")?.length ?? 0) - before).toBeLessThan(8)
  })
)

it.effect("embeddings share the permits too", () =>
  Effect.gen(function* () {
    const { a, b, world } = yield* start([host("one", 1)])
    const input = Array.from({ length: 300 }, (_, i) => `text ${i}`)
    const both = Effect.forEach([a, b], ({ provider }) => provider.embed({ model: "m", input }), {
      concurrency: "unbounded"
    })
    const answers = yield* settle(both)
    expect(answers.map(({ provider, vectors }) => [provider, vectors.length])).toEqual([
      ["one", 300],
      ["one", 300]
    ])
    expect(yield* world.state).toEqual({ active: 0, waiting: 0 })
  })
)

it.effect("a host that has one model at a time gets no other one from another gateway", () =>
  Effect.gen(function* () {
    const { a, b, servers } = yield* start([host("one", 4, { oneModelAtATime: true })], slow)
    yield* fork(ask(a.provider, "first", "large"))
    yield* soon
    yield* fork(ask(b.provider, "other", "small"))
    yield* fork(ask(b.provider, "same", "large"))
    yield* soon
    expect(servers.prompts.get("one")).toEqual(["first", "same"])
    yield* TestClock.adjust("20 seconds")
    expect(servers.prompts.get("one")).toEqual(["first", "same", "other"])
  })
)

it.effect(
  "without the scheduler, each gateway uses its share of the permits, and goes on with the next scheduler",
  () =>
    Effect.gen(function* () {
      const { a, b, servers, world } = yield* start([host("one", 4)], slow, 2000)
      yield* world.stop
      yield* TestClock.adjust("5 seconds")
      expect([a.scheduler.isConnected(), b.scheduler.isConnected()]).toEqual([false, false])
      for (let i = 0; i < 5; i++) yield* fork(ask(a.provider, `${i}`))
      yield* soon
      expect(servers.running.get("one")).toBe(2)
      yield* world.replace
      yield* TestClock.adjust("5 seconds")
      expect(yield* world.state).toEqual({ active: 4, waiting: 1 })
      expect(servers.running.get("one")).toBe(4)
    })
)

it.effect("a scheduler that ends does not end the requests that wait in its line", () =>
  Effect.gen(function* () {
    const { a, servers, world } = yield* start([host("one", 1)], slow, 2000)
    const fibers = [yield* fork(ask(a.provider, "first"))]
    yield* soon
    fibers.push(yield* fork(ask(a.provider, "second")))
    yield* soon
    yield* world.shutDown
    yield* world.replace
    for (let i = 0; i < 25; i++) yield* soon
    for (const fiber of fibers) expect(yield* Fiber.join(fiber)).toBe("one")
    expect(servers.peaks.get("one")).toBe(1)
  })
)

it.effect("a host that joins again while it is drained stays, and one with another address replaces it", () =>
  Effect.gen(function* () {
    const { a, b, world } = yield* start([], slow)
    world.shared().register(host("one", 1))
    yield* soon
    const first = yield* fork(ask(a.provider, "first"))
    yield* soon
    expect(world.shared().leave("one")).toBe(false)
    yield* soon
    world.shared().register(host("one", 1))
    yield* TestClock.adjust("20 seconds")
    expect(yield* Fiber.join(first)).toBe("one")
    expect(world.shared().register(host("one", 1))).toBe(true)
    expect(world.shared().register(host("one", 1, { url: "http://else" }))).toBe(false)
    const second = yield* fork(ask(a.provider, "second"))
    yield* soon
    expect(world.shared().leave("one")).toBe(false)
    expect(world.shared().register(host("one", 3, { url: "http://else" }))).toBe(true)
    yield* soon
    expect((yield* SubscriptionRef.get(world.shared().state)).hosts[0]?.permits).toBe(1)
    yield* TestClock.adjust("12 seconds")
    expect(yield* Fiber.join(second)).toBe("one")
    world.shared().register(host("one", 3, { url: "http://else" }))
    yield* soon
    const { hosts } = yield* SubscriptionRef.get(world.shared().state)
    expect(hosts.map(({ permits, status }) => [permits, status])).toEqual([[3, "ready"]])
    expect(yield* settle(ask(b.provider, "third"), 12)).toBe("one")
  })
)

it.effect("a gateway that stalls for ten seconds loses its permits, and they count again when it is back", () =>
  Effect.gen(function* () {
    const { a, world } = yield* start([host("one", 2)], () => ["a", MockProvider.wait("1 minute"), "b"])
    yield* fork(ask(a.provider, "first"))
    yield* soon
    expect(yield* world.state).toEqual({ active: 1, waiting: 0 })
    a.link.isDown = true
    yield* TestClock.adjust("10 seconds")
    expect(yield* world.state).toEqual({ active: 0, waiting: 0 })
    a.link.isDown = false
    yield* TestClock.adjust("5 seconds")
    expect(yield* world.state).toEqual({ active: 1, waiting: 0 })
  })
)

/** A gateway that is played by the test. */
const subject = (id: string): Protocol.Subject => ({
  id,
  model: "m",
  fingerprint: 1,
  prompt: { hashes: [], ends: [], characters: 4 },
  caller: { name: "" },
  tried: [],
  inUse: [],
  failed: [],
  crashed: [],
  minTokens: 0,
  waited: 0
})

const acquire = (id: string): Protocol.Acquire => ({
  _tag: "Acquire",
  subject: subject(id),
  kind: "total",
  limit: Number.MAX_SAFE_INTEGER,
  left: Number.MAX_SAFE_INTEGER
})

const ended = (id: string): Protocol.Message => ({ _tag: "End", id, outcome: "succeeded", progress: "committed" })

const played = Effect.gen(function* () {
  const world = yield* Support.makeWorld({ servers: Support.makeServers() })
  const events: Array<Protocol.Event> = []
  const listen = Stream.runForEach(world.shared().connect({ gateway: "g" }), (event) =>
    Effect.sync(() => void events.push(event))
  )
  const fiber = yield* fork(listen)
  yield* soon
  const send = (number: number, ...messages: ReadonlyArray<Protocol.Message>) =>
    Effect.sync(() => world.shared().send({ gateway: "g", number, messages }))
  const sync = (held: ReadonlyArray<Protocol.Held>): Protocol.Sync => ({ _tag: "Sync", hosts: [], held, waiting: [] })
  return { world, events, fiber, send, sync }
})

it.effect("lists that come twice, late or from an unknown gateway change nothing", () =>
  Effect.gen(function* () {
    const { events, fiber, send, sync, world } = yield* played
    world.shared().register(host("one", 1))
    expect(world.shared().send({ gateway: "unknown", number: 1, messages: [] })).toBe("unknown")
    expect(yield* send(1, acquire("1"))).toBe("unsynced")
    expect(yield* send(1, sync([]))).toBe("ok")
    expect(yield* send(2, acquire("1"))).toBe("ok")
    yield* soon
    expect(yield* world.state).toEqual({ active: 1, waiting: 0 })
    expect(yield* send(3, { _tag: "Begin", id: "1" }, { _tag: "Begin", id: "1" }, ended("1"), ended("1"))).toBe("ok")
    yield* send(2, acquire("1"))
    yield* send(1, sync([{ subject: subject("1"), host: "one", hasBegun: true }]))
    yield* soon
    expect(yield* world.state).toEqual({ active: 0, waiting: 0 })
    expect(events.filter(({ _tag }) => _tag === "Granted").length).toBe(1)
    yield* Fiber.interrupt(fiber)
    expect(yield* send(4)).toBe("unknown")
  })
)

it.effect("a request that a gateway holds counts when its host joins later, also beyond the permits", () =>
  Effect.gen(function* () {
    const { send, sync, world } = yield* played
    const held = ["1", "2"].map((id) => ({ subject: subject(id), host: "one", hasBegun: true }))
    yield* send(1, sync(held))
    world.shared().register(host("one", 1))
    yield* send(2, acquire("3"))
    yield* soon
    expect(yield* world.state).toEqual({ active: 2, waiting: 1 })
    yield* send(3, ended("1"))
    yield* soon
    expect(yield* world.state).toEqual({ active: 1, waiting: 1 })
    yield* send(4, ended("2"))
    yield* soon
    expect(yield* world.state).toEqual({ active: 1, waiting: 0 })
  })
)

it.effect("a thousand hosts that join are told together", () =>
  Effect.gen(function* () {
    const { events, send, sync, world } = yield* played
    yield* send(1, sync([]))
    for (let i = 0; i < 1000; i++) world.shared().register(host(`host ${i}`, 4))
    yield* soon
    expect(events.filter(({ _tag }) => _tag === "Members").length).toBeLessThan(4)
    const { hosts } = yield* SubscriptionRef.get(world.shared().state)
    expect(hosts.length).toBe(1000)
  })
)
