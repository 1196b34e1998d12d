// The clients of a workload, and what they measure.
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Message } from "../../src/Message.ts"
import * as Pool from "../../src/Pool.ts"
import type * as Provider from "../../src/Provider.ts"
import type { FinalChunk } from "../../src/StreamingChunk.ts"
import { countTokens, tokensOf } from "./host.ts"
import type { Session, Workload } from "./workloads.ts"

/** One request. Times are in milliseconds. */
export interface Measurement {
  readonly session: string
  readonly isBatch: boolean
  readonly isFailed: boolean
  /** From the request to its first chunk. */
  readonly wait: number
  /** From the begin of the session to the end of the answer. */
  readonly end: number
  /** How many tokens of its prompt are those of the turn before and its answer. */
  readonly oldTokens: number
  /** How many tokens of its prompt the host did not read again. */
  readonly cachedTokens: number
}

const batch: Pool.Caller = { name: "batch", priority: "batch" }

/** The wait of a request that failed before its first chunk: the deadline of most clients. */
const failedMillis = 5 * 60_000

const runSession = Effect.fnUntraced(function* (
  provider: Provider.Provider,
  { at, isBatch, isConversation, key, model, system, turns }: Session,
  until: number
) {
  const clock = yield* Clock.Clock
  const measurements: Array<Measurement> = []
  let history = [system]
  let oldTokens = 0
  yield* Effect.sleep(at)
  for (const { afterMillis, answer, question } of turns) {
    yield* Effect.sleep(afterMillis)
    const begin = clock.currentTimeMillisUnsafe()
    if (begin > until) break
    const prompt = [...history, question]
    let wait: number | undefined
    let final: FinalChunk | undefined
    const options = { maxTokens: tokensOf(answer), extra: { key, answer } }
    yield* provider.stream({ model, messages: prompt.map(toMessage), ...options }).pipe(
      Stream.runForEach((chunk) =>
        Effect.sync(() => {
          if (chunk.content !== "") wait ??= clock.currentTimeMillisUnsafe() - begin
          if (chunk.isFinal) final = chunk
        })
      ),
      Effect.ignore,
      Effect.provideService(Pool.caller, isBatch ? batch : { name: key })
    )
    const end = clock.currentTimeMillisUnsafe() - at
    const isFailed = final === undefined
    const cachedTokens = final?.usage?.cachedTokens ?? 0
    measurements.push({ session: key, isBatch, isFailed, wait: wait ?? failedMillis, end, oldTokens, cachedTokens })
    if (isFailed || !isConversation) continue
    history = [...prompt, answer]
    oldTokens = countTokens(history)
  }
  return measurements
})

const toMessage = (content: string, index: number): Message => ({
  role: index === 0 ? "system" : index % 2 === 1 ? "user" : "assistant",
  content
})

export const runSessions = (provider: Provider.Provider, { length, sessions }: Workload) =>
  Effect.map(
    Effect.forEach(sessions, (session) => runSession(provider, session, length), { concurrency: "unbounded" }),
    (measurements) => measurements.flat()
  )
