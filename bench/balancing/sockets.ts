// The same load on processes with real sockets. Their time and that of the clients passes faster, and so does what the machine is late.
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { fork } from "node:child_process"
import { monitorEventLoopDelay } from "node:perf_hooks"
import * as Ollama from "../../src/Ollama.ts"
import * as Balancers from "./balancers.ts"
import { runSessions } from "./clients.ts"
import type { Settings } from "./host.ts"
import type { HostOptions } from "./hostProcess.ts"
import type { Options as SimulationOptions, Results } from "./simulation.ts"
import { fastTime, makeClock } from "./time.ts"
import * as Workloads from "./workloads.ts"

export interface Options extends SimulationOptions {
  /** How many times as fast as real hosts they are. */
  readonly speed: number
}

const startHost = (settings: Settings, speed: number) =>
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

/** The first connections and the first run of code take longer, which would count many times. */
const warmUp = (hosts: ReadonlyArray<Balancers.Host>) =>
  Effect.repeat(
    Effect.forEach(hosts, ({ provider }) => provider.listModels, { concurrency: "unbounded" }),
    { times: 10 }
  )

/** Runs the load of one seed on as many processes as the workload has hosts, and reports how late the clients were. */
const run = (balancer: string, seed: number, { minutes, speed, workload }: Options) =>
  Effect.gen(function* () {
    const load = Workloads.make(workload, seed, minutes)
    const random = yield* Random.Random
    const hosts = yield* Effect.forEach(load.hosts, (host) => startHost(host, speed), { concurrency: "unbounded" })
    yield* warmUp(hosts)
    const late = monitorEventLoopDelay({ resolution: 1 })
    late.enable()
    const measurements = yield* Effect.gen(function* () {
      const provider = yield* Balancers.make(balancer, { random: () => random.nextDoubleUnsafe(), hosts })
      return yield* runSessions(provider, load)
    }).pipe(Effect.provideService(Clock.Clock, makeClock(fastTime(speed))))
    late.disable()
    const seconds = ((late.percentile(99) * speed) / 1e9).toFixed(3)
    process.stderr.write(`${workload}, ${balancer}: 99 % of the clients' timers were less than ${seconds} s late\n`)
    return measurements
  }).pipe(Effect.scoped, Random.withSeed(`${balancer} ${seed}`))

export const runOnSockets = (options: Options): Promise<Results> =>
  Effect.forEach(options.balancers, (balancer) =>
    Effect.map(
      Effect.forEach(options.seeds, (seed) => run(balancer, seed, options)),
      (measurements) => measurements.flat()
    )
  ).pipe(Effect.provide(NodeHttpClient.layerUndici), Effect.runPromise)
