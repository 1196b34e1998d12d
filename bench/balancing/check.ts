// The model of a host beside a real llama.cpp server: the same requests at the same times, and how their first chunks compare.
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { spawn } from "node:child_process"
import { globSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as LlamaServer from "../../src/LlamaServer.ts"
import type * as Provider from "../../src/Provider.ts"
import type { ProviderError } from "../../src/ProviderError.ts"
import type { FinalChunk } from "../../src/StreamingChunk.ts"
import { median } from "../statistics.ts"
import type { Job, Settings } from "./host.ts"
import { Host, tokensOf } from "./host.ts"
import { randomOf } from "./simulation.ts"

const slots = 4
const sessions = 25
const turns = 8
const millisBetweenSessions = 8000
const millisBetweenTurns = 6000
const answerTokens = 8

interface Request {
  readonly at: number
  readonly prompt: string
}

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
  const url = yield* Effect.callback<string>((resume) => {
    child.stdout.setEncoding("utf8").once("data", (line: string) => resume(Effect.succeed(line.trim())))
    child.once("exit", (code) => resume(Effect.die(`the server ended with ${code}`)))
  })
  return yield* LlamaServer.make({ baseUrl: url })
})

/** Texts that grow, as those of conversations do. */
function makeRequests(random: () => number): ReadonlyArray<Request> {
  const exponential = (mean: number) => -Math.log(1 - random()) * mean
  const text = () => `${random()} `.padEnd(Math.floor(60 + 500 * random()), "lorem ipsum dolor sit amet ")
  let begin = 0
  return Array.from({ length: sessions }, () => {
    begin += exponential(millisBetweenSessions)
    let at = begin
    let prompt = ""
    return Array.from({ length: turns }, (): Request => {
      at += exponential(millisBetweenTurns)
      prompt += text()
      return { at, prompt }
    })
  }).flat()
}

interface Answer {
  /** The time to the first chunk. */
  readonly first: number
  readonly cached: number
  /** Tokens of the prompt that were not cached. */
  readonly read: number
  readonly readMillis: number
  readonly generateMillis: number
}

const ask = Effect.fnUntraced(function* (
  server: Provider.Provider,
  prompt: string
): Effect.fn.Return<Answer, ProviderError> {
  const clock = yield* Clock.Clock
  const begin = clock.currentTimeMillisUnsafe()
  let first = Number.NaN
  let final: FinalChunk | undefined
  yield* server
    .stream({ model: "endless", messages: [{ role: "user", content: prompt }], maxTokens: answerTokens })
    .pipe(
      Stream.runForEach((chunk) =>
        Effect.sync(() => {
          if (chunk.content !== "" && Number.isNaN(first)) first = clock.currentTimeMillisUnsafe() - begin
          if (chunk.isFinal) final = chunk
        })
      )
    )
  const { timings, usage } = final ?? {}
  const cached = usage?.cachedTokens ?? 0
  return {
    first,
    cached,
    read: (usage?.promptTokens ?? 0) - cached,
    readMillis: Duration.toMillis(timings?.prompt ?? 0),
    generateMillis: Duration.toMillis(timings?.completion ?? 0)
  }
})

/** How fast the server read and generated, by its own times. A letter is a token of this model; the model of a host counts four as one. */
const speedOf = (answers: ReadonlyArray<Answer>) => ({
  readMillis: 4 * median(answers.flatMap(({ read, readMillis }) => (read > 100 ? [readMillis / read] : []))),
  tokenMillis: median(answers.map(({ generateMillis }) => generateMillis)) / answerTokens
})

/** The same on a host of the model. */
function simulate(settings: Settings, requests: ReadonlyArray<Request>) {
  let now = 0
  const begun = new Map<Job | undefined, number>()
  const host = new Host(settings)
  const proceed = (until: number): void => {
    for (now = host.nextAt(); now <= until && now < Infinity; now = host.nextAt()) host.advance(now)
    now = until
  }
  const jobs = new Map<Request, Job>()
  for (const request of requests.toSorted((a, b) => a.at - b.at)) {
    proceed(request.at)
    host.advance(request.at)
    const answer = "a".repeat(4 * answerTokens)
    jobs.set(request, host.send({ model: "endless", prompt: [request.prompt], answer }, (job) => begun.set(job, begun.get(job) ?? now)))
  }
  proceed(Infinity)
  return requests.map((request) => {
    const job = jobs.get(request)
    return { first: (begun.get(job) ?? Number.NaN) - request.at, cached: job?.cachedTokens ?? 0 }
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

export const check = (): Promise<object> =>
  Effect.gen(function* () {
    const random = randomOf("check")
    const server = yield* startServer
    const requests = makeRequests(random)
    const real = yield* Effect.forEach(requests, ({ at, prompt }) => Effect.delay(ask(server, prompt), at), {
      concurrency: "unbounded"
    })
    const speed = speedOf(real)
    const settings: Settings = {
      ...speed,
      name: "llama.cpp",
      models: ["endless"],
      loaded: ["endless"],
      memory: 1,
      loadMillis: 0,
      slots,
      sequences: slots,
      cacheTokens: Infinity,
      slowdown: 0
    }
    const simulated = simulate(settings, requests)
    return {
      requests: requests.length,
      tokens: median(requests.map(({ prompt }) => tokensOf(prompt))),
      ...speed,
      realMedian: median(real.map(({ first }) => first)),
      simulatedMedian: median(simulated.map(({ first }) => first)),
      rankCorrelation: {
        firstChunk: rankCorrelation(
          real.map(({ first }) => first),
          simulated.map(({ first }) => first)
        ),
        cachedTokens: rankCorrelation(
          real.map(({ cached }) => cached),
          simulated.map(({ cached }) => cached)
        )
      }
    }
  }).pipe(Effect.scoped, Effect.provide(NodeHttpClient.layerUndici), Effect.runPromise)
