/** What holds in a cluster whatever is lost, repeated, late or replaced. A failure prints its seed; `CLUSTER_SEED` repeats it. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as MockProvider from "../../../src/MockProvider.ts"
import { isProviderError } from "../../../src/ProviderError.ts"
import * as Support from "./support.ts"

const fixed = process.env["CLUSTER_SEED"]
const first = Number(fixed ?? Math.floor(Math.random() * 2 ** 31))
const seeds = fixed === undefined ? [0, 1].map((i) => first + i) : [first]

const permits = 2
const totalMillis = 6000
const stepMillis = 60
const steps = 200

interface Asked {
  readonly at: number
  endedAt: number | undefined
  exit: Exit.Exit<unknown, unknown> | undefined
}

/** Requests at random, and after each step what the schedule does. */
const play = Effect.fnUntraced(function* (
  seed: number,
  options: Pick<Support.WorldOptions, "takeoverMillis"> & {
    readonly isRough: boolean
    readonly check: (running: ReadonlyMap<string, number>, gateways: number) => void
  }
) {
  const random = Support.makeRandom(seed)
  const { chance, integer } = random
  const { check, isRough, takeoverMillis = 0 } = options
  const servers = Support.makeServers(() => () => [
    MockProvider.wait(random.integer(0, 300)),
    "a",
    MockProvider.wait(random.integer(0, 1500)),
    ...(chance(0.05) ? [MockProvider.hang] : []),
    "b"
  ])
  const world = yield* Support.makeWorld({
    servers,
    takeoverMillis,
    fate: () =>
      isQuiet
        ? {}
        : {
            delay: chance(0.8) ? integer(0, 20) : integer(0, isRough ? 4000 : 300),
            ...(chance(0.1) && { again: integer(0, 5000) }),
            isReplyLost: chance(0.05)
          }
  })
  const names = ["one", "two"]
  const hosts = () => names.map((name) => Support.host(name, permits))
  const gateways = yield* Effect.forEach([0, 1, 2], () => world.gateway())
  const asked: Array<Asked> = []
  const fibers: Array<{ readonly gateway: Support.Gateway; readonly fiber: Fiber.Fiber<unknown, unknown> }> = []
  let time = 0
  let isThere = true
  let isQuiet = false

  const step = Effect.gen(function* () {
    yield* TestClock.adjust(stepMillis)
    time += stepMillis
    check(servers.running, gateways.length)
  })
  const register = Effect.sync(() => {
    if (isThere) for (const host of hosts()) world.shared().register(host)
  })
  const ask = Effect.gen(function* () {
    const gateway = gateways[integer(0, gateways.length - 1)]
    if (gateway === undefined) return
    const record: Asked = { at: time, endedAt: undefined, exit: undefined }
    const prompt = `${seed} ${asked.push(record)}`
    const request = gateway.provider.complete({ model: "m", prompt, deadlines: { total: totalMillis } })
    const fiber = yield* Effect.forkChild(
      Effect.onExit(request, (exit) =>
        Effect.sync(() => {
          record.exit = exit
          record.endedAt = time
        })
      ),
      { startImmediately: true }
    )
    fibers.push({ gateway, fiber })
  })
  const disturb = Effect.gen(function* () {
    const index = integer(0, gateways.length - 1)
    const gateway = gateways[index]
    if (gateway === undefined) return
    if (chance(0.3)) yield* gateway.link.cut
    if (chance(0.1)) {
      yield* gateway.kill
      for (const { fiber, gateway: own } of fibers) if (own === gateway) yield* Fiber.interrupt(fiber)
      gateways[index] = yield* world.gateway()
    }
    if (!isRough) return
    if (chance(0.1)) gateway.link.isDown = !gateway.link.isDown
    if (chance(0.1)) {
      yield* isThere ? (chance(0.5) ? world.stop : world.shutDown) : world.replace
      isThere = !isThere
    }
  })

  yield* register
  for (let i = 0; i < 30; i++) yield* step
  for (let i = 0; i < steps; i++) {
    if (i % 20 === 0) yield* register
    if (chance(0.3)) yield* ask
    const given = chance(0.1) ? fibers[integer(0, fibers.length - 1)] : undefined
    if (given !== undefined) yield* Fiber.interrupt(given.fiber)
    if (chance(0.1)) yield* disturb
    yield* step
  }
  isQuiet = true
  for (const { link } of gateways) link.isDown = false
  if (!isThere) yield* world.replace
  isThere = true
  yield* register
  for (let i = 0; i < 12_000 / stepMillis; i++) {
    if (i % 20 === 0) yield* register
    yield* step
  }
  return { world, servers, gateways, asked, register }
})

const checkEnd = Effect.fnUntraced(function* ({
  asked,
  gateways,
  register,
  servers,
  world
}: Effect.Success<ReturnType<typeof play>>) {
  for (const { at, endedAt, exit } of asked) {
    expect((endedAt ?? Infinity) - at).toBeLessThanOrEqual(totalMillis + 500 + 2 * stepMillis)
    if (exit !== undefined && Exit.isFailure(exit) && !Exit.hasInterrupts(exit)) {
      expect(isProviderError(exit.cause.reasons[0]?._tag === "Fail" ? exit.cause.reasons[0].error : undefined)).toBe(
        true
      )
    }
  }
  expect(servers.doubled).toEqual([])
  expect(yield* world.state).toEqual({ active: 0, waiting: 0 })
  expect([...servers.running.values()].filter((count) => count !== 0)).toEqual([])
  expect(asked.filter(({ exit }) => exit !== undefined && Exit.isSuccess(exit)).length).toBeGreaterThan(
    asked.length / 5
  )
  for (const { provider, scheduler } of gateways) {
    expect(scheduler.isConnected()).toBe(true)
    yield* register
    const request = { model: "m", prompt: "last", deadlines: { total: totalMillis } }
    const fiber = yield* Effect.forkChild(Effect.exit(provider.complete(request)))
    yield* TestClock.adjust("5 seconds")
    yield* TestClock.adjust("5 seconds")
    const exit = yield* Fiber.join(fiber)
    expect(Exit.isSuccess(exit) || String(exit)).toSatisfy((u) => u === true || String(u).includes("deadline"))
  }
})

for (const seed of seeds) {
  it.effect(`hosts have no more requests than permits while links lose, repeat and delay: seed ${seed}`, () =>
    Effect.gen(function* () {
      const check = (running: ReadonlyMap<string, number>) => {
        for (const [name, count] of running) expect(count, name).toBeLessThanOrEqual(permits)
      }
      yield* checkEnd(yield* play(seed, { isRough: false, check }))
    })
  )

  it.effect(`no permit is lost when gateways are cut off and schedulers are replaced: seed ${seed}`, () =>
    Effect.gen(function* () {
      // Each gateway may use its share beside those that the scheduler gives.
      const check = (running: ReadonlyMap<string, number>, gateways: number) => {
        for (const [name, count] of running) expect(count, name).toBeLessThanOrEqual(permits * (1 + gateways))
      }
      yield* checkEnd(yield* play(seed, { isRough: true, takeoverMillis: 2000, check }))
    })
  )
}
