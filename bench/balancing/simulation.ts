// The clients of a workload, and what they measure.
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import type * as Provider from "../../src/Provider.ts"
import type { FinalChunk } from "../../src/StreamingChunk.ts"
import type { Parts } from "./balancers.ts"
import { balancers } from "./balancers.ts"
import { countTokens } from "./host.ts"
import * as SimulatedHost from "./simulatedHost.ts"
import { runVirtually } from "./virtualTime.ts"
import type { Session, Workload } from "./workloads.ts"

export interface Measurements {
  /** From a request to its first chunk, in milliseconds. */
  readonly waits: Array<number>
  readonly batchWaits: Array<number>
  failed: number
  /** Requests that go on with a conversation, and those of them for which the host read nothing but what is new. */
  laterTurns: number
  onlyNew: number
}

export const makeMeasurements = (): Measurements => ({
  waits: [],
  batchWaits: [],
  failed: 0,
  laterTurns: 0,
  onlyNew: 0
})

/** What a request that failed before its first chunk counts as: the deadline of most clients. */
const failedMillis = 5 * 60_000

/** A server reads the last token of the part that is cached again, and words that two texts begin with in common are no more. */
const tolerance = 16

const runSession = Effect.fnUntraced(function* (provider: Provider.Provider, session: Session, results: Measurements) {
  const clock = yield* Clock.Clock
  const { isBatch, isConversation, key, model, prefix } = session
  let history = prefix
  let cached = 0
  yield* Effect.sleep(session.at)
  for (const { afterMillis, answer, question } of session.turns) {
    yield* Effect.sleep(afterMillis)
    const prompt = [...history, question]
    const messages = prompt.map((content, i) => ({ role: roleOf(i, prompt.length), content }) as const)
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
      Effect.catch(() => Effect.sync(() => void results.failed++))
    )
    const waits = isBatch ? results.batchWaits : results.waits
    waits.push(wait ?? failedMillis)
    if (last === undefined || !isConversation) continue
    if (cached > 0) {
      results.laterTurns++
      if ((last.usage?.cachedTokens ?? 0) >= cached - tolerance) results.onlyNew++
    }
    history = [...prompt, answer]
    cached = countTokens(history)
  }
})

/** A conversation of questions and answers in turns, the last of which is a question. */
const roleOf = (index: number, count: number) => (index > 0 && (count - index) % 2 === 0 ? "assistant" : "user")

export const runSessions = (provider: Provider.Provider, sessions: ReadonlyArray<Session>, results: Measurements) =>
  Effect.forEach(sessions, (session) => runSession(provider, session, results), {
    concurrency: "unbounded",
    discard: true
  })

/** Runs a workload in virtual time. */
export const simulate = (balancer: string, { hosts, sessions }: Workload, seed: number, results: Measurements): void =>
  runVirtually((after) =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const random = yield* Random.Random
      const parts: Parts = {
        random: () => random.nextDoubleUnsafe(),
        hosts: hosts.map((settings) => {
          const running = SimulatedHost.run(settings, () => clock.currentTimeMillisUnsafe(), after)
          return {
            provider: SimulatedHost.makeProvider(running),
            slots: settings.slots,
            forecast: (request) => running.current().forecast(SimulatedHost.toHostRequest(request))
          }
        })
      }
      const make = balancers[balancer]
      if (make === undefined) throw new Error(`there is no balancer ${balancer}`)
      yield* runSessions(yield* make(parts), sessions, results)
    }).pipe(Effect.scoped, Random.withSeed(seed), Effect.provideService(Metric.MetricRegistry, new Map()))
  )

export const randomOf = (seed: string): (() => number) =>
  Effect.runSync(Effect.map(Random.Random, (random) => () => random.nextDoubleUnsafe()).pipe(Random.withSeed(seed)))
