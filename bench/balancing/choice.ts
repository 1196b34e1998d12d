// What it costs to choose a host: the time of a request through a pool with many hosts and many requests that wait, and without.
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import * as Pool from "../../src/Pool.ts"
import * as Provider from "../../src/Provider.ts"
import { runVirtually } from "./time.ts"

const permits = 4
const requests = 2500
/** The first ones are slow, because nothing is compiled, and others because the machine has other work. The fastest counts. */
const rounds = 10

const makeHost = (name: string): Provider.Provider => {
  const final = { content: "", isFinal: true, model: "large", finishReason: "stop" } as const
  return Provider.make({
    name,
    listModels: Effect.succeed([{ id: "large", isLoaded: true }]),
    stream: () =>
      Stream.fromEffect(
        Effect.as(Effect.sleep(1000 + Math.random()), { content: "word", isFinal: false } as const)
      ).pipe(Stream.concat(Stream.succeed(final)))
  })
}

/** Microseconds of the CPU for each request of so many clients. Each of them sends one after the other. */
const measure = (hosts: number, clients: number): number =>
  runVirtually(() =>
    Effect.gen(function* () {
      const providers = Array.from({ length: hosts }, (_, i) => ({ provider: makeHost(`host ${i}`) }))
      const pool = yield* Pool.make({ hosts: providers, permits, maxWaiting: clients })
      const ask = (client: number) =>
        Stream.runDrain(
          pool.stream({ model: "large", messages: [{ role: "user", content: `question ${client}`.padEnd(400) }] })
        )
      const turns = Math.ceil(requests / clients)
      const askAll = Effect.forEach(
        Array.from({ length: clients }, (_, client) => client),
        (client) => Effect.repeat(ask(client), { times: turns - 1 }),
        { concurrency: "unbounded", discard: true }
      )
      const round = Effect.gen(function* () {
        const begin = process.cpuUsage()
        yield* askAll
        return process.cpuUsage(begin).user / (clients * turns)
      })
      return Math.min(...(yield* Effect.all(Array.from({ length: rounds }, () => round))))
    }).pipe(Effect.scoped, Random.withSeed("choice"))
  )

/** How much longer a request takes with 64 hosts and 1,000 requests that wait, in microseconds. */
export function measureChoice() {
  const alone = measure(1, permits)
  const many = measure(64, 64 * permits + 1000)
  return { alone, many, choice: many - alone }
}
