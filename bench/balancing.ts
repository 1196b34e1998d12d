// The pool beside simpler ways to choose a host, on four simulated hosts: `node bench/balancing.ts`. Time is simulated, so a run
// takes seconds, and its seed gives the same figures on every machine. Writes docs/performance/balancing.svg.
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { writeFileSync } from "node:fs"
import { parse, View } from "vega"
import { compile } from "vega-lite"
import * as Clock from "effect/Clock"
import type { CompletionRequest } from "../src/CompletionRequest.ts"
import * as Fallback from "../src/Fallback.ts"
import * as Pool from "../src/Pool.ts"
import * as Provider from "../src/Provider.ts"
import { NetworkError, ProviderError } from "../src/ProviderError.ts"
import { quantile } from "./statistics.ts"

const minutes = 10
const requestsPerMinute = 120
const conversations = 60
const models = ["large", "small"]
const permits = 2
const loadMillis = 15_000

/** `prefill`: to read a prompt that is not cached, in milliseconds. `token`: to generate one. The last host fails for 3 minutes. */
const machines = [
  { name: "fast", prefill: 300, token: 15, loaded: "large" },
  { name: "middle", prefill: 600, token: 25, loaded: "large" },
  { name: "slow", prefill: 1500, token: 50, loaded: "small" },
  { name: "failing", prefill: 600, token: 25, loaded: "small" }
]
const tokens = 60

const now = Effect.map(Clock.Clock, (clock) => clock.currentTimeMillisUnsafe())

/**
 * A server that reads one prompt at a time and keeps the prompts of its last conversations. It has one model in memory, loads the other
 * one when it is asked for it, and unloads models that were idle for a minute.
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
  const stream = ({ messages, model = "" }: CompletionRequest) =>
    Stream.unwrap(
      Effect.gen(function* () {
        if (yield* isDown) return Stream.fail(fail)
        yield* Effect.acquireRelease(
          Effect.sync(() => active++),
          () => Effect.sync(() => active--)
        )
        yield* Effect.acquireRelease(slots.take(1), () => slots.release(1))
        yield* reading.withPermits(1)(read(model, String(messages?.[0]?.content)))
        const chunk = { content: "word ", isFinal: false } as const
        return Stream.concat(
          Stream.concat(Stream.succeed(chunk), Stream.drain(Stream.fromEffect(Effect.sleep(tokens * token)))),
          Stream.succeed({ content: "", isFinal: true, model, finishReason: "stop" } as const)
        )
      })
    )
  const listModels = Effect.flatMap(isDown, (isDown) =>
    isDown ? Effect.fail(fail) : Effect.succeed(models.map((id) => ({ id })))
  )
  const model = (id: string) =>
    Effect.andThen(
      listModels,
      Effect.map(isLoaded(id), (isLoaded) => ({ id, isLoaded }))
    )
  return { provider: Provider.make({ name, stream, listModels, model }), active: () => active }
})

type Host = Effect.Success<ReturnType<typeof makeHost>>
type Balancer = (hosts: ReadonlyArray<Host>, random: () => number) => () => ReadonlyArray<Host>

const rotated = <A>(items: ReadonlyArray<A>, by: number) => items.map((_, i) => items[(i + by) % items.length] as A)

/** The order in which the hosts are tried. A host that refuses is followed by the next one. */
const balancers: Readonly<Record<string, Balancer>> = {
  "round robin": (hosts) => {
    let next = 0
    return () => rotated(hosts, next++)
  },
  random: (hosts, random) => () => rotated(hosts, Math.floor(random() * hosts.length)),
  "least connections": (hosts) => () => hosts.toSorted((a, b) => a.active() - b.active())
}

const balance = (order: () => ReadonlyArray<Host>, provider: Provider.Provider): Provider.Provider =>
  Provider.make({
    ...provider,
    stream: (request) =>
      Stream.suspend(() => {
        const [first, ...rest] = order().map(({ provider }) => ({ provider }))
        return first === undefined ? Stream.empty : Fallback.make([first, ...rest]).stream(request)
      })
  })

const run = Effect.fnUntraced(function* (name: string) {
  const random = yield* Random.Random
  const hosts = yield* Effect.forEach(machines, makeHost)
  const first = hosts[0]?.provider
  const balancer = balancers[name]
  const provider =
    balancer === undefined || first === undefined
      ? yield* Pool.make({ hosts: hosts.map(({ provider }) => ({ provider })), permits, maxWaiting: 10_000 })
      : balance(
          balancer(hosts, () => random.nextDoubleUnsafe()),
          first
        )
  const waits: Array<number> = []
  let complete = 0
  let failed = 0
  const ask = Effect.gen(function* () {
    const conversation = random.nextIntUnsafe() % conversations
    const turn = Math.floor(random.nextDoubleUnsafe() * 4)
    const messages = [`conversation ${conversation}`, ...Array.from({ length: turn }, (_, i) => `turn ${i}`)].map(
      (content) => ({ role: "user", content }) as const
    )
    // Two of three conversations use the large model.
    const request = { model: models[conversation % 3 === 0 ? 1 : 0] ?? "", messages }
    const begin = yield* now
    let isFirst = true
    yield* provider.stream(request).pipe(
      Stream.runForEach(() =>
        isFirst
          ? Effect.map(now, (time) => {
              isFirst = false
              waits.push((time - begin) / 1000)
            })
          : Effect.void
      ),
      Effect.match({ onFailure: () => void failed++, onSuccess: () => void complete++ })
    )
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
  const inTime = complete
  yield* TestClock.adjust("40 minutes")
  yield* Fiber.interrupt(fiber)
  const [p50 = 0, p95 = 0, p99 = 0] = [0.5, 0.95, 0.99].map((share) => quantile(waits, share))
  return { name, perMinute: inTime / (minutes + 1), failed, p50, p95, p99 }
})

const rows = await Effect.runPromise(
  Effect.forEach(["pool", ...Object.keys(balancers)], (name) =>
    Effect.scoped(run(name)).pipe(
      Random.withSeed("balancing"),
      Effect.provide(TestClock.layer()),
      Effect.provideService(Metric.MetricRegistry, new Map())
    )
  )
)

console.log("| hosts chosen by | answers per minute | failed | first chunk p50, s | p95, s | p99, s |")
console.log("|---|---|---|---|---|---|")
for (const { failed, name, p50, p95, p99, perMinute } of rows) {
  const figures = [perMinute.toFixed(1), failed, ...[p50, p95, p99].map((wait) => wait.toFixed(2))]
  console.log(`| ${name} | ${figures.join(" | ")} |`)
}

const values = rows.flatMap(({ name, p50, p95, p99 }) =>
  Object.entries({ p50, p95, p99 }).map(([quantile, wait]) => ({ name, quantile, wait }))
)
const grey = "#7d8590"
const chart = compile(
  {
    title: "Time to the first chunk, seconds (less is better)",
    data: { values },
    mark: "bar",
    width: { step: 26 },
    height: 240,
    encoding: {
      x: { field: "quantile", title: null },
      xOffset: { field: "name", sort: null },
      y: { field: "wait", type: "quantitative", scale: { type: "symlog" }, title: null },
      color: { field: "name", title: null, sort: null }
    }
  },
  {
    config: {
      background: "transparent",
      axis: { labelColor: grey },
      legend: { labelColor: grey },
      title: { color: grey }
    }
  }
)
writeFileSync(
  new URL("../docs/performance/balancing.svg", import.meta.url),
  `${await new View(parse(chart.spec), { renderer: "none" }).toSVG()}\n`
)
