// The clients of a workload, and what they measure.
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import * as Pool from "../../src/Pool.ts"
import type * as Provider from "../../src/Provider.ts"
import type { Message } from "../../src/Message.ts"
import type { FinalChunk } from "../../src/StreamingChunk.ts"
import * as Balancers from "./balancers.ts"
import { countTokens } from "./host.ts"
import * as SimulatedHost from "./simulatedHost.ts"
import { runVirtually } from "./time.ts"
import type { Session, Workload } from "./workloads.ts"
import { minute } from "./workloads.ts"
import * as Workloads from "./workloads.ts"

export interface Measurements {
  /** From a request to its first chunk, in milliseconds. Those of batches are left out. */
  readonly waits: Array<number>
  /** From the first request of a batch to its last answer, in milliseconds. */
  readonly batches: Array<number>
  failed: number
  /** Requests that go on with a conversation, and those of them for which the host read nothing but what is new. */
  laterTurns: number
  onlyNew: number
}

const batch: Pool.Caller = { name: "batch", priority: "batch" }

/** What a request that failed before its first chunk counts as: the deadline of most clients. */
const failedMillis = 5 * 60_000

/** A server reads the last token of the part that is cached again, and words that two texts begin with in common are no more. */
const tolerance = 16

const runSession = Effect.fnUntraced(function* (
  provider: Provider.Provider,
  session: Session,
  until: number,
  results: Measurements
) {
  const clock = yield* Clock.Clock
  const { isBatch, isConversation, key, model, system } = session
  let history = [system]
  let cached = 0
  yield* Effect.sleep(session.at)
  for (const { afterMillis, answer, question } of session.turns) {
    yield* Effect.sleep(afterMillis)
    if (clock.currentTimeMillisUnsafe() > until) break
    const prompt = [...history, question]
    const messages = prompt.map((content, i) => ({ role: roleOf(i), content }))
    const begin = clock.currentTimeMillisUnsafe()
    let wait: number | undefined
    let last: FinalChunk | undefined
    yield* provider.stream({ model, messages, extra: { key, answer } }).pipe(
      Stream.runForEach((chunk) =>
        Effect.sync(() => {
          if (chunk.content !== "") wait ??= clock.currentTimeMillisUnsafe() - begin
          if (chunk.isFinal) last = chunk
        })
      ),
      Effect.catch(() => Effect.sync(() => void results.failed++)),
      Effect.provideService(Pool.caller, isBatch ? batch : { name: key })
    )
    if (!isBatch) results.waits.push(wait ?? failedMillis)
    if (last === undefined || !isConversation) continue
    if (cached > 0) {
      results.laterTurns++
      if ((last.usage?.cachedTokens ?? 0) >= cached - tolerance) results.onlyNew++
    }
    history = [...prompt, answer]
    cached = countTokens(history)
  }
  if (isBatch) results.batches.push(clock.currentTimeMillisUnsafe() - session.at)
})

const roleOf = (index: number): Message["role"] => (index === 0 ? "system" : index % 2 === 1 ? "user" : "assistant")

export const runSessions = (provider: Provider.Provider, { length, sessions }: Workload) =>
  Effect.suspend(() => {
    const results: Measurements = { waits: [], batches: [], failed: 0, laterTurns: 0, onlyNew: 0 }
    const run = (session: Session) => runSession(provider, session, length, results)
    return Effect.as(Effect.forEach(sessions, run, { concurrency: "unbounded", discard: true }), results)
  })

/** Runs a workload in virtual time. */
const simulate = (balancer: string, workload: Workload, seed: string): Measurements =>
  runVirtually((time) =>
    Effect.gen(function* () {
      const random = yield* Random.Random
      const provider = yield* Balancers.make(balancer, {
        random: () => random.nextDoubleUnsafe(),
        hosts: workload.hosts.map((settings) => {
          const running = SimulatedHost.run(settings, time)
          return {
            provider: SimulatedHost.makeProvider(running),
            slots: settings.slots,
            forecast: (request) => running.current().forecast(SimulatedHost.toHostRequest(request))
          }
        })
      })
      return yield* runSessions(provider, workload)
    }).pipe(Effect.scoped, Random.withSeed(seed), Effect.provideService(Metric.MetricRegistry, new Map()))
  )

/** All balancers get the same load. */
export const simulateAll = (balancers: ReadonlyArray<string>, workload: string, seed: number) => {
  const load = Workloads.make(workload, { random: randomOf(`${workload} ${seed}`), length: 20 * minute })
  return balancers.map((balancer) => simulate(balancer, load, `${balancer} ${seed}`))
}

export const randomOf = (seed: string): (() => number) =>
  Effect.runSync(Effect.map(Random.Random, (random) => () => random.nextDoubleUnsafe()).pipe(Random.withSeed(seed)))
