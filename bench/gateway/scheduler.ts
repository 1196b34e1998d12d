/** The scheduler of a cluster with many hosts in memory: what a request costs, and the size of what depends on the hosts. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as Protocol from "../../src/cluster/protocol.ts"
import * as Shared from "../../src/cluster/shared.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import type { Figures } from "../measures/Measure.ts"
import { serve } from "../process.ts"

const gateway = "gateway"
const toHost = (_: unknown, index: number): Protocol.Host => {
  return { name: `http://gpu-${index}:11434`, url: `http://gpu-${index}:11434`, kind: "ollama", permits: 1 }
}
const toSubject = (id: string): Protocol.Subject => {
  const prompt = { hashes: [1, 2, 3, Number(id)], ends: [1024, 2048, 3072, 4000], characters: 4000 }
  const hosts = { tried: [], inUse: [], failed: [], crashed: [] }
  return { id, model: "a", fingerprint: Number(id), prompt, caller: { name: "" }, ...hosts, minTokens: 0, waited: 0 }
}

const measure = Effect.fnUntraced(function* (count: number): Effect.fn.Return<Figures, never, Scope.Scope> {
  const connect = ({ name }: { readonly name: string }) => MockProvider.make(["a"], { name })
  const options = { maxWaiting: 10_000, unloadHanging: false, abandonedMillis: 0, onWaited: () => Effect.void }
  const shared = yield* Shared.make({ ...options, connect, takeoverMillis: 0 })
  const hosts = Array.from({ length: count }, toHost)
  const register = Effect.sync(() => hosts.forEach(shared.register))
  yield* Effect.forkScoped(Effect.repeat(register, Schedule.spaced("1 second")))
  const state = SubscriptionRef.get(shared.state)
  yield* Effect.repeat(Effect.delay(state, 10), { until: ({ hosts }) => hosts.length === count })
  let [number, id] = [0, 0]
  const send = (...messages: ReadonlyArray<Protocol.Message>) => shared.send({ gateway, number: ++number, messages })
  const acquire = () =>
    send({ _tag: "Acquire", subject: toSubject(String(++id)), kind: "total", limit: 600_000, left: 600_000 })
  const events = Stream.filter(shared.connect({ gateway }), ({ _tag }) => _tag !== "Members")
  /** As many requests as there are hosts run or wait, and some more. Each gives its host back at once. */
  const run = (atOnce: number, requests: number) => {
    const start = Effect.sync(() => {
      send({ _tag: "Sync", hosts: [], held: [], waiting: [] })
      for (let index = 0; index < atOnce; index++) acquire()
      return process.cpuUsage()
    })
    const answered = Stream.runForEach(Stream.take(events, requests), (event) =>
      Effect.sync(() => {
        if (event._tag !== "Granted") throw new Error("a request was refused")
        send(
          { _tag: "Begin", id: event.id },
          { _tag: "End", id: event.id, outcome: "succeeded", progress: "committed" }
        )
        acquire()
      })
    )
    return Effect.gen(function* () {
      const running = yield* Effect.forkScoped(answered)
      yield* Effect.sleep(100)
      const before = yield* start
      yield* Fiber.join(running)
      const { user, system } = process.cpuUsage(before)
      return (user + system) / requests
    })
  }
  const requests = Math.min(5000, 500_000 / count)
  yield* run(10, requests)
  const free = yield* run(10, requests)
  const line = yield* run(count + 100, requests)
  const list = encode(Protocol.Event, { _tag: "Members", hosts, gateways: 2, isComplete: true })
  return { free, line, members: list.length / 1000, state: encode(Protocol.State, yield* state).length / 1000 }
})

const encode = <S extends Schema.Codec<unknown, unknown>>(schema: S, value: S["Type"]): string =>
  JSON.stringify(Schema.encodeUnknownSync(Schema.toCodecJson(schema))(value))

serve("ready", (count: number) => Effect.runPromise(Effect.scoped(measure(count))))
