/** The hosts of two gateways are shared by a cluster, while parts of it are killed, stopped and cut off. */
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as CommandLine from "../support/commandLine.ts"
import * as Gateways from "./gateways.ts"
import * as Process from "./process.ts"
import * as Shared from "./shared.ts"

/** Longer runs are started by hand: 500 streams, 20 faults. */
const streams = Number(process.env["CLUSTER_STREAMS"] ?? 100)
const faults = Number(process.env["CLUSTER_FAULTS"] ?? 4)
const seed = process.env["CLUSTER_SEED"] ?? "cluster"
const clients = 12

/** Serves again within that, also on a busy machine. */
const recoveryMillis = 15_000

/** After the end of a fault, until all have found each other. */
const settleMillis = 8000

interface Fault {
  readonly name: string
  /** Whether gateways may use hosts by themselves, so that a host may have its permits and the shares of the gateways. */
  readonly isSplit: boolean
  readonly begin: Effect.Effect<void>
  readonly end: Effect.Effect<void>
}

const faultsOf = ({ gateways, hosts, postgres, runners }: Shared.Cluster): ReadonlyArray<Fault> => [
  ...runners.flatMap(({ kill, signal, start }, i) => [
    { name: `runner ${i} is killed`, isSplit: true, begin: kill, end: start },
    { name: `runner ${i} is stopped`, isSplit: true, begin: signal("SIGSTOP"), end: signal("SIGCONT") }
  ]),
  ...gateways.flatMap(({ kill, network, start }, i) => [
    { name: `gateway ${i} is killed`, isSplit: false, begin: kill, end: start },
    {
      name: `gateway ${i} is cut off`,
      isSplit: true,
      begin: Effect.forEach(network, ({ cut }) => cut, { discard: true }),
      end: Effect.forEach(network, ({ heal }) => heal, { discard: true })
    }
  ]),
  ...hosts.map(({ signal }, i) => ({
    name: `host ${i} is stopped`,
    isSplit: true,
    begin: signal("SIGSTOP"),
    end: signal("SIGCONT")
  })),
  { name: "the database is killed", isSplit: true, begin: postgres.kill, end: postgres.start },
  { name: "the database is killed", isSplit: true, begin: postgres.kill, end: postgres.start }
]

/** Says what was measured. */
const report = (line: string) => Effect.sync(() => void process.stdout.write(`  ${line}\n`))

const seconds = (millis: number): string => `${(millis / 1000).toFixed(1)} s`

describe("a cluster without its database", () => {
  it.live.each(["serve", "join --provider ollama --host gpu-1"])("%s says why it does not start", (command) =>
    Effect.gen(function* () {
      const args = [...command.split(" "), "--listen", "127.0.0.1:0", "--cluster", "postgres://me@127.0.0.1:1/db"]
      const { code, stderr } = yield* CommandLine.run(args)
      expect({ code, stderr }).toEqual({
        code: 1,
        stderr: "local-llm: the database: connect ECONNREFUSED 127.0.0.1:1\n"
      })
    })
  )
})

describe.skipIf(Process.isMissing("postgres"))("a cluster of two gateways, two runners and four hosts", () => {
  const scope = Scope.makeUnsafe()
  let cluster: Shared.Cluster
  beforeAll(async () => {
    cluster = await Effect.runPromise(Scope.provide(Shared.make, scope))
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  /** Waits until a request of each of these gateways is answered, and returns how long that took. */
  const untilServed = Effect.fnUntraced(function* (name: string, ...gateways: ReadonlyArray<number>) {
    const times = yield* Effect.forEach(
      gateways,
      Effect.fnUntraced(function* (gateway) {
        const asked = yield* Shared.ask(cluster, gateway, `${name.replaceAll(" ", "-")}-${gateway}`, 3)
        expect(asked).toMatchObject({ end: "complete" })
        return asked.took
      }),
      { concurrency: "unbounded" }
    )
    yield* report(`${name}: the next request of each gateway took ${times.map(seconds).join(" and ")}`)
    for (const time of times) expect(time).toBeLessThan(recoveryMillis)
  })

  /** As many as there are permits run at the same time, and no more. */
  const allPermits = Effect.gen(function* () {
    yield* Effect.timeout(Shared.quiet(cluster), "30 seconds")
    const count = Shared.permits * cluster.hosts.length
    const from = Date.now()
    const sent = Array.from({ length: count + 2 }, (_, i) => {
      const gateway = cluster.gateways[i % 2]
      return gateway === undefined ? [] : [Shared.send(gateway, `all-${from}-${i}`, 100_000)]
    }).flat()
    const running = Effect.map(Effect.all(cluster.hosts.map(({ seen }) => seen)), (seen) =>
      seen.map((list) => list.at(-1)?.running ?? 0)
    )
    const full = cluster.hosts.map(() => Shared.permits)
    yield* Effect.repeat(Effect.delay(running, "100 millis"), { until: (now) => now.join() === full.join() }).pipe(
      Effect.timeout("15 seconds"),
      Effect.catchTag("TimeoutError", () => Effect.map(running, (now) => expect(now).toEqual(full)))
    )
    yield* Effect.sleep("500 millis")
    expect(yield* running).toEqual(full)
    for (const { request, seen } of sent) {
      seen.catch(() => undefined)
      request.destroy()
    }
    yield* Effect.timeout(Shared.quiet(cluster), "15 seconds")
  })

  it.live("each part is killed while nothing else happens, and requests are answered again soon", () =>
    Effect.gen(function* () {
      yield* untilServed("all is well", 0, 1)
      for (const [i, { kill, start }] of cluster.runners.entries()) {
        yield* kill
        yield* untilServed(`runner ${i} is killed`, 0, 1)
        yield* start
      }
      yield* cluster.postgres.kill
      yield* untilServed("the database is killed", 0, 1)
      yield* cluster.postgres.start
      yield* untilServed("the database is back", 0, 1)
      yield* Effect.timeout(Shared.quiet(cluster), "30 seconds")
    })
  )

  it.live(
    "streams while parts are killed, stopped and cut off at random",
    () =>
      Effect.gen(function* () {
        const all = faultsOf(cluster)
        const plan = yield* Effect.replicateEffect(
          Effect.all({ words: Random.nextIntBetween(20, 90), gateway: Random.nextIntBetween(0, 1) }),
          streams
        )
        const planned = yield* Effect.replicateEffect(
          Effect.all({
            fault: Random.nextIntBetween(0, all.length - 1),
            millis: Random.nextIntBetween(500, 8000),
            // The next one begins before this one has ended.
            overlaps: Random.nextBoolean
          }),
          faults
        )
        const asked: Array<Shared.Asked> = []
        const happened: Array<{ name: string; from: number; to: number; isSplit: boolean }> = []
        let begun = 0

        const client = Effect.gen(function* () {
          for (let i = begun++; i < streams; i = begun++) {
            const { gateway, words } = plan[i] ?? { gateway: 0, words: 20 }
            // A gateway that does not listen has not taken the request, so it goes to the other one.
            for (let each = gateway; ; each = 1 - each) {
              const one = yield* Shared.ask(cluster, each, String(i), words)
              if (one.end === "refused") {
                yield* Effect.sleep("100 millis")
                continue
              }
              asked.push(one)
              break
            }
          }
        })
        const breaking = Effect.gen(function* () {
          const going = new Map<string, Fiber.Fiber<void>>()
          for (const [n, { fault, millis, overlaps }] of planned.entries()) {
            const enough = ((n + 1) * streams) / (faults + 2)
            yield* Gateways.until(() => begun >= enough)
            const one = all[fault]
            const part = one?.name.replace(/ is .*/, "")
            if (one === undefined || part === undefined) continue
            const before = going.get(part)
            if (before !== undefined) yield* Fiber.join(before)
            const entry = { name: one.name, from: Date.now(), to: Infinity, isSplit: one.isSplit }
            happened.push(entry)
            yield* one.begin
            const ending = Effect.andThen(Effect.sleep(millis), one.end).pipe(
              Effect.ensuring(Effect.sync(() => void (entry.to = Date.now())))
            )
            going.set(part, yield* Effect.forkChild(ending))
            if (!overlaps) yield* Effect.forEach(going.values(), Fiber.join, { discard: true })
          }
          yield* Effect.forEach(going.values(), Fiber.join, { discard: true })
        })
        yield* Effect.all([...Array.from({ length: clients }, () => client), breaking], { concurrency: "unbounded" })

        const seen = yield* Effect.all(cluster.hosts.map(({ seen }) => seen))
        const count = (end: Shared.Asked["end"]) => asked.filter((each) => each.end === end).length
        yield* report(
          `seed ${seed}: ${asked.length} streams, ${count("complete")} complete, ${count("error")} errors, ${count("broken")} broken`
        )
        const first = asked[0]?.at ?? 0
        for (const { at, detail, end, gateway, id, took } of asked) {
          if (end === "complete") continue
          const when = `from ${seconds(at - first)} to ${seconds(at - first + took)}`
          yield* report(`request ${id} of gateway ${gateway}, ${when}: ${detail}`)
        }
        for (const { from, name, to } of happened) {
          const starts = seen.flat().filter(({ at, change }) => change === 1 && at >= from)
          const gaps = [0, 1].map((gateway) => {
            const own = starts.filter(({ id }) => asked.some((one) => one.id === id && one.gateway === gateway))
            const times = [from, ...own.map(({ at }) => at).toSorted((a, b) => a - b)].filter(
              (at) => at <= to + settleMillis
            )
            return Math.max(0, ...times.map((at, i) => at - (times[i - 1] ?? at)))
          })
          const when = `from ${seconds(from - first)} to ${seconds(to - first)}`
          yield* report(`${name}, ${when}: pauses of the gateways ${gaps.map(seconds).join(" and ")}`)
        }
        expect(asked.filter(({ end }) => typeof end === "object")).toEqual([])
        expect(asked.filter(({ took, words }) => took > Shared.maxMillis(words))).toEqual([])
        const isSplit = (at: number) =>
          happened.some(({ from, isSplit, to }) => isSplit && at >= from && at <= to + settleMillis)
        const peaks = (split: boolean) =>
          seen.map((list) =>
            Math.max(0, ...list.filter(({ at }) => isSplit(at) === split).map(({ running }) => running))
          )
        yield* report(`most at the same time: ${peaks(false).join()}; while split: ${peaks(true).join()}`)
        for (const peak of peaks(false)) expect(peak).toBeLessThanOrEqual(Shared.permits)
        // A share is one for each of the two gateways.
        for (const peak of peaks(true)) expect(peak).toBeLessThanOrEqual(Shared.permits + 2)
        yield* allPermits
      }).pipe(Random.withSeed(seed)),
    1_800_000
  )
})
