/** A cluster of processes: PostgreSQL, four hosts, two runners and two gateways, with a network between them that can be cut. */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { fileURLToPath } from "node:url"
import * as CommandLine from "../support/commandLine.ts"
import * as Client from "../support/gateway.ts"
import * as Postgres from "./postgres.ts"
import * as Process from "./process.ts"
import * as Proxy from "./proxy.ts"

/** Of each host. */
export const permits = 2

/** A completion of a host has begun, or ended. */
export interface Seen {
  /** Milliseconds since 1970. */
  readonly at: number
  /** Of the request. */
  readonly id: string
  readonly change: 1 | -1
  /** How many run now. */
  readonly running: number
}

export interface Host extends Process.Process {
  readonly url: string
  readonly seen: Effect.Effect<ReadonlyArray<Seen>>
}

export interface Gateway extends Process.Process {
  readonly url: string
  /** Its ways to the runners. */
  readonly network: ReadonlyArray<Proxy.Proxy>
  /** How often it was killed, and started again. */
  readonly changes: () => number
  /** Whether it was killed, and is not back. A connection of the same moment may be accepted still. */
  readonly isOff: () => boolean
}

export interface Cluster {
  readonly postgres: Postgres.Postgres
  readonly hosts: ReadonlyArray<Host>
  /** Each has two of the hosts. */
  readonly runners: ReadonlyArray<Process.Process>
  readonly gateways: ReadonlyArray<Gateway>
}

const firstChunkSeconds = 20
const idleSeconds = 4

/** The longest that a request may take, with an answer of these words. A busy machine takes its part. */
export const maxMillis = (words: number): number => (firstChunkSeconds + idleSeconds + 6) * 1000 + words * 80

/** What ends before it is ready is started again: the database may be off. */
const startUntil = (
  start: Effect.Effect<CommandLine.Running, never, Scope.Scope>,
  isReady: (output: CommandLine.Output) => boolean
): Effect.Effect<CommandLine.Running, never, Scope.Scope> =>
  Effect.gen(function* () {
    const running = yield* start
    const ended = Effect.flatMap(running.result, ({ stderr }) => Effect.fail(new Process.Ended({ message: stderr })))
    yield* Effect.raceFirst(running.until(isReady), ended)
    return running
  }).pipe(Effect.retry({ times: 60, schedule: Schedule.spaced("500 millis") }), Effect.orDie)

const get = (url: string): Effect.Effect<unknown> =>
  Effect.promise(async (signal) => (await fetch(url, { signal })).json())

const program = fileURLToPath(new URL("hostProgram.ts", import.meta.url))

const makeHost = Effect.gen(function* () {
  const port = yield* Process.freePort
  const url = `http://127.0.0.1:${port}`
  const start = CommandLine.startProcess(process.execPath, [program, String(port)])
  const process_ = yield* Process.keep(
    startUntil(start, ({ stdout }) => stdout.includes("listens")),
    "SIGKILL"
  )
  const host: Host = {
    ...process_,
    url,
    seen: Effect.map(get(`${url}/seen`), (seen) => (Array.isArray(seen) ? seen : []))
  }
  return host
})

const makeRunner = (env: Readonly<Record<string, string>>, port: number, hosts: ReadonlyArray<Host>) => {
  const named = hosts.flatMap(({ url }) => ["--host", url])
  const args = ["join", "--provider", "ollama", "--permits", String(permits), "--listen", `127.0.0.1:${port}`, ...named]
  return Process.keep(
    startUntil(CommandLine.start(args, { env }), ({ stderr }) =>
      hosts.every(({ url }) => stderr.includes(`${url} (Ollama) joins`))
    ),
    "SIGKILL"
  )
}

const makeGateway = Effect.fnUntraced(function* (
  env: Readonly<Record<string, string>>,
  runners: ReadonlyArray<number>
) {
  const port = yield* Process.freePort
  const network = yield* Effect.forEach(runners, Proxy.make)
  const usualPorts = Object.fromEntries(runners.map((port, i) => [port, network[i]?.url ?? ""]))
  const timeouts = ["--first-chunk-timeout", `${firstChunkSeconds}s`, "--idle-timeout", `${idleSeconds}s`]
  const start = CommandLine.start(["serve", "--listen", String(port), ...timeouts], { env, usualPorts })
  const kept = yield* Process.keep(
    startUntil(start, ({ stdout }) => stdout.includes("ANTHROPIC")),
    "SIGKILL"
  )
  let changes = 0
  const gateway: Gateway = {
    ...kept,
    kill: Effect.suspend(() => {
      changes++
      return kept.kill
    }),
    start: Effect.andThen(
      kept.start,
      Effect.sync(() => void changes++)
    ),
    url: `http://127.0.0.1:${port}`,
    network,
    changes: () => changes,
    isOff: () => changes % 2 === 1
  }
  return gateway
})

/** Runs until the scope ends. */
export const make: Effect.Effect<Cluster, never, Scope.Scope> = Effect.gen(function* () {
  const postgres = yield* Postgres.make
  const env = { LOCAL_LLM_CLUSTER: postgres.url }
  const hosts = yield* Effect.replicateEffect(makeHost, 4)
  const ports = yield* Effect.replicateEffect(Process.freePort, 2)
  const runners = yield* Effect.forEach(ports, (port, i) => makeRunner(env, port, hosts.slice(2 * i, 2 * i + 2)), {
    concurrency: 2
  })
  const gateways = yield* Effect.replicateEffect(makeGateway(env, ports), 2, { concurrency: 2 })
  const cluster: Cluster = { postgres, hosts, runners, gateways }
  return cluster
})

/** A request as a client has seen it. */
export interface Asked {
  readonly id: string
  readonly gateway: number
  readonly words: number
  /** Milliseconds since 1970. */
  readonly at: number
  /** In milliseconds. */
  readonly took: number
  /** `broken`: its gateway was killed. `refused`: the gateway did not listen. Anything else is the fault of the cluster. */
  readonly end: "complete" | "error" | "broken" | "refused" | { readonly violation: string }
  readonly detail: string
}

/** Sends a request for a streamed chat. */
export const send = ({ url }: Pick<Gateway, "url">, id: string, words: number): Client.Sent =>
  Client.send(`${url}/v1/chat/completions`, {
    model: "m",
    stream: true,
    messages: [{ role: "user", content: `request ${id}: ${words} words` }]
  })

/** Sends it to this gateway, and says how it ended. */
export const ask = Effect.fnUntraced(function* (cluster: Cluster, gateway: number, id: string, words: number) {
  const to = cluster.gateways[gateway]
  if (to === undefined) return yield* Effect.die("there is no such gateway")
  const before = to.changes()
  const wasOff = to.isOff()
  const at = Date.now()
  const seen = yield* Effect.promise(() =>
    send(to, id, words).seen.catch((error: NodeJS.ErrnoException) => ({ code: error.code }))
  )
  const took = Date.now() - at
  const isKilled = wasOff || to.changes() > before
  const asked = { id, gateway, words, at, took }
  if ("code" in seen) {
    const end = seen.code === "ECONNREFUSED" ? "refused" : isKilled ? "broken" : { violation: `${seen.code}` }
    return { ...asked, end, detail: `${seen.code}` } satisfies Asked
  }
  const asked_: Asked = { ...asked, ...judge(seen, id, words, isKilled) }
  return asked_
})

const judge = (
  { isWhole, status, text }: Client.Seen,
  id: string,
  words: number,
  isKilled: boolean
): Pick<Asked, "detail" | "end"> => {
  const got = [...text.matchAll(/<([^/>]+)\/([^/>]+)\/(\d+)>/g)].map(([, id, attempt, i]) => ({ id, attempt, i }))
  const isInOrder = got.every((word, i) => word.id === id && word.attempt === got[0]?.attempt && Number(word.i) === i)
  const detail = `status ${status}, ${got.length} of ${words} words, ${isWhole ? "whole" : "cut"}: ${text.slice(-130).trim()}`
  if (!isInOrder) return { end: { violation: "words that are not in order, each once, of one attempt" }, detail: text }
  const claims = text.includes("[DONE]") || /"finish_reason":"/.test(text)
  if (claims && (got.length !== words || status !== 200)) return { end: { violation: "a part taken for all" }, detail }
  if (claims) return isWhole ? { end: "complete", detail } : { end: isKilled ? "broken" : { violation: "cut" }, detail }
  if (isWhole && /"error":\{"message":"[^"]/.test(text)) return { end: "error", detail }
  return { end: isKilled ? "broken" : { violation: "neither an answer nor an error" }, detail }
}

interface Status {
  readonly waiting: number
  readonly hosts: ReadonlyArray<{ readonly name: string; readonly status: string; readonly active: number }>
}

/** What the gateways report. */
export const statuses = ({ gateways }: Cluster): Effect.Effect<ReadonlyArray<Status>> =>
  Effect.forEach(gateways, ({ url }) =>
    Effect.promise(async (): Promise<Status> => JSON.parse(await (await fetch(`${url}/status`)).text()))
  )

/** Waits until all hosts are ready, and none has a request, as both gateways see it. */
export const quiet = (cluster: Cluster) =>
  Effect.repeat(Effect.delay(statuses(cluster), "250 millis"), {
    until: (all) =>
      all.every(
        ({ hosts, waiting }) =>
          waiting === 0 &&
          hosts.length === cluster.hosts.length &&
          hosts.every(({ active, status }) => active === 0 && status === "ready")
      )
  })
