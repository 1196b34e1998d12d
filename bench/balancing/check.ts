// The model of a host beside a real llama.cpp server: the same requests at the same times, and how their first chunks compare.
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { globSync } from "node:fs"
import { loadavg } from "node:os"
import { fileURLToPath } from "node:url"
import * as LlamaServer from "../../src/LlamaServer.ts"
import { median } from "../statistics.ts"
import type { Measurement } from "./clients.ts"
import { runSessions } from "./clients.ts"
import type { Settings } from "./host.ts"
import * as SimulatedHost from "./simulatedHost.ts"
import { runVirtually } from "./time.ts"
import type { Session, Turn } from "./workloads.ts"
import { exponential, randomOf } from "./workloads.ts"

const slots = 4
const answerTokens = 8

const root = fileURLToPath(new URL("../../", import.meta.url))

/** `npm run test:real` installs it. */
const startServer = Effect.gen(function* () {
  const [python] = globSync(`${root}.cache/llama-server-*/bin/python`)
  if (python === undefined) return yield* Effect.die("there is no llama.cpp server; `npm run test:real` installs one")
  const settings = {
    model: `${root}.cache/models/endless.gguf`,
    model_alias: ["endless"],
    n_ctx: slots * 16_384,
    n_parallel: slots,
    cache_ram_mib: 0
  }
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(python, [`${root}test/real/server.py`, JSON.stringify(settings)], { stdio: "pipe" })),
    (child) => Effect.sync(() => void child.kill("SIGKILL"))
  )
  child.stderr.resume()
  const baseUrl = yield* Effect.callback<string>((resume) => {
    child.stdout.setEncoding("utf8").once("data", (line: string) => resume(Effect.succeed(line.trim())))
    child.once("exit", (code) => resume(Effect.die(`the server ended with ${code}`)))
  })
  return yield* LlamaServer.make({ baseUrl })
})

/** Texts that grow, as those of conversations do. What the server generates is not part of them. */
function makeSessions(random: () => number): ReadonlyArray<Session> {
  const text = () => `${random()} `.padEnd(Math.floor(60 + 500 * random()), "lorem ipsum dolor sit amet ")
  let at = 0
  return Array.from({ length: 25 }, (_, i): Session => {
    at += exponential(random, 8000)
    let question = ""
    const turns = Array.from({ length: 8 }, (): Turn => {
      question += text()
      return { afterMillis: exponential(random, 6000), question, answer: "a".repeat(4 * answerTokens) }
    })
    return { at, key: String(i), model: "endless", isBatch: false, system: "Go on.", isConversation: false, turns }
  })
}

/** Spearman's. */
function rankCorrelation(a: ReadonlyArray<number>, b: ReadonlyArray<number>): number {
  const ranks = (values: ReadonlyArray<number>) => {
    const sorted = values.toSorted((x, y) => x - y)
    return values.map((value) => (sorted.indexOf(value) + sorted.lastIndexOf(value)) / 2)
  }
  const [x, y] = [ranks(a), ranks(b)]
  const mean = (a.length - 1) / 2
  const product = (p: ReadonlyArray<number>, q: ReadonlyArray<number>) =>
    p.reduce((sum, value, i) => sum + (value - mean) * ((q[i] ?? mean) - mean), 0)
  return product(x, y) / Math.sqrt(product(x, x) * product(y, y))
}

type Measurements = ReadonlyArray<Measurement>

/**
 * How fast the server read and generated, by its own times: medians, because a busy machine interrupts it. A letter is a token of its
 * model; the model of a host counts four as one.
 */
function speedOf(measurements: Measurements): Pick<Settings, "readMillis" | "attentionMillis" | "tokenMillis"> {
  const read = measurements.flatMap(({ timings, usage: { cachedTokens = 0, promptTokens = 0 } = {} }) => {
    const tokens = promptTokens - cachedTokens
    const before = cachedTokens + tokens / 2
    return tokens > 50 ? [{ before, millis: Duration.toMillis(timings?.prompt ?? 0) / tokens }] : []
  })
  const slopes = read.flatMap((a, i) =>
    read.slice(i + 1).map((b) => (b.millis - a.millis) / (b.before - a.before || Number.NaN))
  )
  const slope = median(slopes.filter(Number.isFinite))
  const generateMillis = measurements.map(({ timings }) => Duration.toMillis(timings?.completion ?? 0))
  return {
    readMillis: 4 * median(read.map(({ before, millis }) => millis - slope * before)),
    attentionMillis: 16 * slope,
    tokenMillis: median(generateMillis) / answerTokens
  }
}

const makeSettings = (real: Measurements): Settings => ({
  ...speedOf(real),
  name: "llama.cpp",
  models: ["endless"],
  loaded: ["endless"],
  memory: 1,
  loadMillis: 0,
  slots,
  sequences: slots,
  cacheTokens: Infinity,
  slowdown: 0
})

export const check = (): Promise<object> =>
  Effect.gen(function* () {
    const load = { hosts: [], sessions: makeSessions(randomOf("check")), length: Infinity }
    const real = yield* runSessions(yield* startServer, load)
    const settings = makeSettings(real)
    const simulated = runVirtually((time) =>
      runSessions(SimulatedHost.makeProvider(SimulatedHost.run(settings, time)), load)
    )
    const compare = (valueOf: (one: Measurement) => number) =>
      rankCorrelation(real.map(valueOf), simulated.map(valueOf))
    return {
      requests: real.length,
      // A busy machine stops the server, which its model does not know.
      loadAverage: loadavg()[1],
      ...speedOf(real),
      realMedian: median(real.map(({ wait }) => wait)),
      simulatedMedian: median(simulated.map(({ wait }) => wait)),
      rankCorrelation: {
        firstChunk: compare(({ wait }) => wait),
        cachedTokens: compare(({ usage }) => usage?.cachedTokens ?? 0)
      }
    }
  }).pipe(Effect.scoped, Effect.provide(NodeHttpClient.layerUndici), Effect.runPromise)
