// Ways to choose a host. All but the pool send a request at once, and try the next host if one fails.
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import type { CompletionRequest } from "../../src/CompletionRequest.ts"
import * as Fallback from "../../src/Fallback.ts"
import * as Pool from "../../src/Pool.ts"
import * as Provider from "../../src/Provider.ts"
import type { ProviderError } from "../../src/ProviderError.ts"
import { extraOf } from "./simulatedHost.ts"

export interface Host {
  readonly provider: Provider.Provider
  readonly slots: number
  /** How long a request would wait for its first token. */
  readonly forecast: (request: CompletionRequest) => number
}

export interface Parts {
  readonly hosts: ReadonlyArray<Host>
  readonly random: () => number
}

/** A host with what a proxy can measure. */
interface Measured extends Host {
  active: number
  /** The time to the first chunk, as a moving average that rises at once and falls within seconds. */
  latency: { readonly millis: number; readonly at: number }
}

type Hosts = ReadonlyArray<Measured>

/** The hosts in the order in which a request tries them. */
type Order = (hosts: Hosts, request: CompletionRequest, now: number) => Hosts

type Balancer = (parts: Parts) => Effect.Effect<Provider.Provider, ProviderError, Scope.Scope>

const decayMillis = 10_000
/** How much more than its share a host may get with consistent hashing. */
const boundOfLoad = 1.25
const pointsOfHost = 100

/** The smallest first, those that are equal in random order. */
const sortBy = (hosts: Hosts, random: () => number, cost: (host: Measured) => number): Hosts =>
  hosts
    .map((host) => ({ host, cost: cost(host), tie: random() }))
    .toSorted((a, b) => (a.cost === b.cost ? a.tie - b.tie : a.cost - b.cost))
    .map(({ host }) => host)

const hash = (text: string): number => createHash("md5").update(text).digest().readUInt32BE()

const measure = (host: Host): Measured => {
  const stream = (request: CompletionRequest) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const clock = yield* Clock.Clock
        const begin = clock.currentTimeMillisUnsafe()
        const count = (change: number) => Effect.sync(() => void (measured.active += change))
        yield* Effect.acquireRelease(count(1), () => count(-1))
        return Stream.onFirst(host.provider.stream(request), () =>
          Effect.sync(() => {
            const now = clock.currentTimeMillisUnsafe()
            const { at, millis } = measured.latency
            const old = Math.exp((at - now) / decayMillis)
            measured.latency = { millis: Math.max(now - begin, millis * old + (now - begin) * (1 - old)), at: now }
          })
        )
      })
    )
  const measured: Measured = {
    ...host,
    provider: { ...host.provider, stream },
    active: 0,
    latency: { millis: 0, at: 0 }
  }
  return measured
}

const ordered =
  (makeOrder: (parts: Parts) => Order): Balancer =>
  (parts) => {
    const order = makeOrder(parts)
    const hosts = parts.hosts.map(measure)
    const stream = (request: CompletionRequest) =>
      Stream.unwrap(
        Effect.flatMap(Clock.Clock, (clock) => {
          const inOrder = order(hosts, request, clock.currentTimeMillisUnsafe())
          const [first, ...rest] = inOrder.map(({ provider }) => ({ provider }))
          if (first === undefined) return Effect.succeed(Stream.empty)
          return Effect.map(Fallback.make([first, ...rest]), (fallback) => fallback.stream(request))
        })
      )
    return Effect.succeed(Provider.make({ name: "balancer", listModels: Effect.succeed([]), stream }))
  }

const balancers: Readonly<Record<string, Balancer>> = {
  "round robin": ordered(() => {
    let turn = -1
    return (hosts) => {
      turn = (turn + 1) % hosts.length
      return [...hosts.slice(turn), ...hosts.slice(0, turn)]
    }
  }),
  random: ordered(
    ({ random }) =>
      (hosts) =>
        sortBy(hosts, random, () => 0)
  ),
  "least connections": ordered(
    ({ random }) =>
      (hosts) =>
        sortBy(hosts, random, ({ active }) => active)
  ),
  "peak EWMA": ordered(({ random }) => (hosts, _, now) => {
    const shuffled = sortBy(hosts, random, () => 0)
    const cost = ({ active, latency: { at, millis } }: Measured) =>
      millis === 0 && active > 0 ? Infinity : millis * Math.exp((at - now) / decayMillis) * (active + 1)
    return [...sortBy(shuffled.slice(0, 2), random, cost), ...shuffled.slice(2)]
  }),
  "consistent hashing": ordered((parts) => {
    const points = Array.from({ length: pointsOfHost }, (_, i) => i)
    const ring = parts.hosts
      .flatMap(({ provider: { name } }) => points.map((i) => ({ name, at: hash(`${name} ${i}`) })))
      .toSorted((a, b) => a.at - b.at)
    return (hosts, request) => {
      const key = hash(extraOf(request, "key"))
      const first = ring.findIndex(({ at }) => at >= key)
      const names = new Set([...ring.slice(first), ...ring].map(({ name }) => name))
      const all = [...names].flatMap((name) => hosts.filter(({ provider }) => provider.name === name))
      const total = 1 + all.reduce((sum, { active }) => sum + active, 0)
      const isOpen = ({ active }: Measured) => active < Math.ceil((boundOfLoad * total) / all.length)
      return [...all.filter(isOpen), ...all.filter((host) => !isOpen(host))]
    }
  }),
  pool: ({ hosts }) =>
    Pool.make({ hosts: hosts.map(({ provider, slots }) => ({ provider, permits: slots })), maxWaiting: 10_000 }),
  // Knows what each host will do with the requests that it has, and chooses the one where the first token comes first.
  oracle: ordered(
    ({ random }) =>
      (hosts, request) =>
        sortBy(hosts, random, ({ forecast }) => forecast(request))
  )
}

export const names: ReadonlyArray<string> = Object.keys(balancers)

export const make = (name: string, parts: Parts): ReturnType<Balancer> =>
  balancers[name]?.(parts) ?? Effect.die(`there is no balancer ${name}`)
