// The same load on processes with real sockets. Their time and that of the clients passes faster.
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { fork } from "node:child_process"
import * as Ollama from "../../src/Ollama.ts"
import * as Balancers from "./balancers.ts"
import type { Settings } from "./host.ts"
import type { HostOptions } from "./hostProcess.ts"
import type { Measurements } from "./simulation.ts"
import { randomOf, runSessions } from "./simulation.ts"
import { fastTime, makeClock } from "./time.ts"
import * as Workloads from "./workloads.ts"

const speed = 15
const length = 5 * Workloads.minute

const startHost = (settings: Settings) =>
  Effect.acquireRelease(
    Effect.sync(() => fork(new URL("hostProcess.ts", import.meta.url))),
    (child) => Effect.sync(() => void child.kill())
  ).pipe(
    Effect.flatMap((child) =>
      Effect.callback<string>((resume) => {
        child.once("message", (url) => resume(Effect.succeed(String(url))))
        child.once("exit", (code) => resume(Effect.die(`a host ended with ${code}`)))
        child.send({ settings, speed } satisfies HostOptions)
      })
    ),
    Effect.flatMap((baseUrl) => Ollama.make({ baseUrl, name: settings.name })),
    Effect.map((provider) => ({ provider, slots: settings.slots }))
  )

/** Runs the load of one seed on as many processes as the workload has hosts. */
export const runOnSockets = (balancer: string, workload: string): Promise<Measurements> => {
  const load = Workloads.make(workload, { random: randomOf(workload), length })
  return Effect.gen(function* () {
    const random = yield* Random.Random
    const started = yield* Effect.forEach(load.hosts, startHost, { concurrency: "unbounded" })
    const clock = makeClock(fastTime(speed))
    return yield* Effect.gen(function* () {
      const provider = yield* Balancers.make(balancer, { random: () => random.nextDoubleUnsafe(), hosts: started })
      return yield* runSessions(provider, load)
    }).pipe(Effect.provideService(Clock.Clock, clock))
  }).pipe(Effect.scoped, Random.withSeed(balancer), Effect.provide(NodeHttpClient.layerUndici), Effect.runPromise)
}
