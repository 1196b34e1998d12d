// npm run bench:balancing: the pool beside simpler ways to choose a host, on four simulated hosts. Time is simulated, so a run takes
// seconds, and its seed gives the same figures on every machine. Writes docs/performance/balancing.svg.
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { writeFileSync } from "node:fs"
import type { CompletionRequest } from "../src/CompletionRequest.ts"
import * as Fallback from "../src/Fallback.ts"
import * as Pool from "../src/Pool.ts"
import * as Provider from "../src/Provider.ts"
import { NetworkError, ProviderError } from "../src/ProviderError.ts"
import { drawBars } from "./report/bars.ts"
import { formatNumber, table } from "./report/page.ts"
import { quantile } from "./statistics.ts"

const minutes = 10
const requestsPerMinute = 120
const conversations = 60
const models = ["large", "small"]
const permits = 2
const loadMillis = 15_000
const tokens = 60
const percentiles = [50, 95, 99]

/** `prefill`: to read a prompt that is not cached, in milliseconds. `token`: to generate one. The last host fails for 3 minutes. */
const machines = [
  { name: "fast", prefill: 300, token: 15, loaded: "large" },
  { name: "middle", prefill: 600, token: 25, loaded: "large" },
  { name: "slow", prefill: 1500, token: 50, loaded: "small" },
  { name: "failing", prefill: 600, token: 25, loaded: "small" }
]

const now = Effect.map(Clock.Clock, (clock) => clock.currentTimeMillisUnsafe())

/**
 * A server that reads one prompt at a time and keeps the prompts of its last conversations. It loads a model that is not in memory when
 * it is asked for it, and unloads models that were idle for a minute.
 */
const makeHost = Effect.fnUntraced(function* ({ loaded: first, name, prefill, token }: (typeof machines)[number]) {
  const usedAt = new Map([[first, 0]])
  const isLoaded = (model: string) => Effect.map(now, (time) => time - (usedAt.get(model) ?? -Infinity) < 60_000)
  let active = 0
  const reading = yield* Semaphore.make(1)
  const slots = yield* Semaphore.make(permits)
  const cached = new Map<string, true>()
  const fail = new ProviderError({ provider: name, reason: new NetworkError({}) })
  const isDown = Effect.map(now, (time) => name === "failing" && time > 180_000 && time < 360_000)
  const read = Effect.fnUntraced(function* (model: string, conversation: string) {
    if (!(yield* isLoaded(model))) yield* Effect.sleep(loadMillis)
    usedAt.set(model, yield* now)
    yield* Effect.sleep(cached.delete(conversation) ? prefill / 10 : prefill)
    cached.set(conversation, true)
    for (const [oldest] of cached) if (cached.size > 16) cached.delete(oldest)
  })
  const answer = Effect.fnUntraced(function* ({ messages, model = "" }: CompletionRequest) {
    if (yield* isDown) return yield* fail
    const count = (change: number) => Effect.sync(() => void (active += change))
    yield* Effect.acquireRelease(count(1), () => count(-1))
    yield* Effect.acquireRelease(slots.take(1), () => slots.release(1))
    yield* reading.withPermits(1)(read(model, String(messages?.[0]?.content)))
    return Stream.succeed({ content: "word ", isFinal: false } as const).pipe(
      Stream.concat(Stream.drain(Stream.fromEffect(Effect.sleep(tokens * token)))),
      Stream.concat(Stream.succeed({ content: "", isFinal: true, model, finishReason: "stop" } as const))
    )
  })
  const listModels = Effect.flatMap(isDown, (isDown) =>
    isDown ? Effect.fail(fail) : Effect.succeed(models.map((id) => ({ id })))
  )
  const model = (id: string) =>
    Effect.andThen(
      listModels,
      Effect.map(isLoaded(id), (isLoaded) => ({ id, isLoaded }))
    )
  const stream = (request: CompletionRequest) => Stream.unwrap(answer(request))
  return { provider: Provider.make({ name, stream, listModels, model }), active: () => active }
})

type Host = Effect.Success<ReturnType<typeof makeHost>>

/** The hosts in the order in which a request tries them. */
type Order = (hosts: ReadonlyArray<Host>, random: () => number) => ReadonlyArray<Host>

const rotated = (hosts: ReadonlyArray<Host>, by: number) => [...hosts.slice(by), ...hosts.slice(0, by)]

let turns = 0
const orders: Readonly<Record<string, Order>> = {
  "round robin": (hosts) => rotated(hosts, turns++ % hosts.length),
  random: (hosts, random) => rotated(hosts, Math.floor(random() * hosts.length)),
  "least connections": (hosts) => hosts.toSorted((a, b) => a.active() - b.active())
}

const makeProvider = Effect.fnUntraced(function* (order: Order | undefined) {
  const hosts = yield* Effect.forEach(machines, makeHost)
  if (order === undefined) return yield* Pool.make({ hosts, permits, maxWaiting: 10_000 })
  const random = yield* Random.Random
  return Provider.make({
    name: "balancer",
    listModels: Effect.succeed([]),
    stream: (request) =>
      Stream.suspend(() => {
        const [first, ...rest] = order(hosts, () => random.nextDoubleUnsafe())
        return first === undefined ? Stream.empty : Fallback.make([first, ...rest]).stream(request)
      })
  })
})

/** Sends the requests at random times, and reports how long each waited for its first chunk. */
const simulate = Effect.fnUntraced(function* (name: string) {
  const random = yield* Random.Random
  const provider = yield* makeProvider(orders[name])
  const waits: Array<number> = []
  let complete = 0
  let failed = 0
  const ask = Effect.gen(function* () {
    const conversation = random.nextIntUnsafe() % conversations
    const turn = Math.floor(random.nextDoubleUnsafe() * 4)
    const texts = [`conversation ${conversation}`, ...Array.from({ length: turn }, (_, i) => `turn ${i}`)]
    const messages = texts.map((content) => ({ role: "user", content }) as const)
    // Two of three conversations use the large model.
    const request = { model: models[conversation % 3 === 0 ? 1 : 0] ?? "", messages }
    const begin = yield* now
    let firstAt: number | undefined
    yield* provider.stream(request).pipe(
      Stream.runForEach(() => Effect.map(now, (time) => (firstAt ??= time))),
      Effect.match({ onFailure: () => void failed++, onSuccess: () => void complete++ })
    )
    if (firstAt !== undefined) waits.push((firstAt - begin) / 1000)
  })
  const arrivals = Effect.gen(function* () {
    for (let i = 0; i < minutes * requestsPerMinute; i++) {
      yield* Effect.sleep((-Math.log(1 - random.nextDoubleUnsafe()) * 60_000) / requestsPerMinute)
      yield* Effect.forkChild(ask)
    }
    yield* Effect.sleep("30 minutes")
  })
  const fiber = yield* Effect.forkChild(arrivals)
  for (let second = 0; second < (minutes + 1) * 60; second++) yield* TestClock.adjust("1 second")
  const perMinute = complete / (minutes + 1)
  yield* TestClock.adjust("40 minutes")
  yield* Fiber.interrupt(fiber)
  return { name, perMinute, failed, waits: percentiles.map((percent) => quantile(waits, percent / 100)) }
})

const results = await Effect.runPromise(
  Effect.forEach(["pool", ...Object.keys(orders)], (name) =>
    Effect.scoped(simulate(name)).pipe(
      Random.withSeed("balancing"),
      Effect.provide(TestClock.layer()),
      Effect.provideService(Metric.MetricRegistry, new Map())
    )
  )
)

const heading = ["hosts chosen by", "answers per minute", "failed", "first chunk p50, s", "p95, s", "p99, s"]
const rows = results.map(({ failed, name, perMinute, waits }) => {
  return [name, formatNumber(perMinute, 1), String(failed), ...waits.map((wait) => formatNumber(wait, 2))]
})
console.log(table([heading, ...rows]))

const colourOf = (name: string) => (name === "pool" ? "#2f81f7" : "#8b949e")
const groups = percentiles.map((percent, i) => ({
  title: `p${percent}`,
  bars: results.map(({ name, waits }) => ({ label: name, value: waits[i] ?? 0, colour: colourOf(name) }))
}))
const chart = drawBars("Time to the first chunk, seconds (less is better)", 2, groups)
writeFileSync(new URL("../docs/performance/balancing.svg", import.meta.url), chart)
