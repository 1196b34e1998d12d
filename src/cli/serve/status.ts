/** What a gateway reports of itself: to its status page, to `local-llm top`, to monitoring. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type * as Pool from "../../Pool.ts"
import type { ModelInfo } from "../../ModelInfo.ts"
import * as Models from "../../servers/models.ts"
import * as Servers from "../../servers/servers.ts"
import { nameOf } from "./config.ts"
import type { Hosts, Member, Served } from "./hosts.ts"
import type { Observer } from "./observer.ts"

const Model = Schema.Struct({ id: Schema.String, memoryBytes: Schema.optional(Schema.Number) })

const Host = Schema.Struct({
  name: Schema.String,
  /** Such as `Ollama`. Absent as long as it is not known. */
  kind: Schema.optional(Schema.String),
  /** `missing`: no server is recognised there yet. The others are those of the pool. */
  status: Schema.Literals(["ready", "off", "draining", "missing"]),
  active: Schema.Number,
  permits: Schema.Number,
  tokensPerSecond: Schema.Number,
  /** Those in memory. Absent if the host has not reported them in time. */
  models: Schema.optional(Schema.Array(Model))
})

/** A host of a gateway. */
export interface Host extends Schema.Schema.Type<typeof Host> {}

/** The state of a gateway. */
export const Status = Schema.Struct({
  /** Milliseconds since 1970. */
  at: Schema.Number,
  upSeconds: Schema.Number,
  isDemonstration: Schema.Boolean,
  waiting: Schema.Number,
  hosts: Schema.Array(Host),
  failures: Schema.Array(
    Schema.Struct({ at: Schema.Number, host: Schema.String, model: Schema.String, message: Schema.String })
  )
})

export interface Status extends Schema.Schema.Type<typeof Status> {}

export interface Reporter {
  readonly status: Effect.Effect<Status>
  /** Whether a request would find a host. */
  readonly isReady: Effect.Effect<boolean>
  /** Sets the metrics of hosts, before they are read. */
  readonly measure: Effect.Effect<void>
}

interface Parts {
  readonly hosts: Hosts
  readonly observer: Observer
  readonly pool: Served
  readonly isDemonstration: () => boolean
}

/** How long a list of the models in memory is used, and how long a host may take to send one. */
const maxAge = 5_000
const timeLimit = "3 seconds"

export const make = Effect.fnUntraced(function* ({
  hosts,
  isDemonstration,
  observer,
  pool
}: Parts): Effect.fn.Return<Reporter, never, Scope.Scope> {
  const startedAt = yield* Clock.currentTimeMillis
  const modelsOf = yield* makeModelsOf
  const status = Effect.gen(function* () {
    const at = yield* Clock.currentTimeMillis
    const state = yield* SubscriptionRef.get(pool.state)
    const members = hosts.members()
    const toHost = Effect.fnUntraced(function* ({ active, name, permits, status }: Pool.HostState) {
      const member = members.find((member) => member.name === name)
      const models = member === undefined ? undefined : yield* modelsOf(member, at)
      const kind = member === undefined ? undefined : Servers.definitions[member.service.kind].name
      const host: Host = {
        name,
        kind,
        status,
        active,
        permits,
        tokensPerSecond: observer.tokensPerSecond(name),
        models
      }
      return host
    })
    const missing = hosts.missing().map((host): Host => ({
      name: nameOf(host),
      status: "missing",
      active: 0,
      permits: 0,
      tokensPerSecond: 0
    }))
    return {
      at,
      upSeconds: Math.floor((at - startedAt) / 1000),
      isDemonstration: isDemonstration(),
      waiting: state.waiting,
      hosts: [...(yield* Effect.forEach(state.hosts, toHost)), ...missing],
      failures: observer.failures()
    }
  })
  const isReady = Effect.map(SubscriptionRef.get(pool.state), ({ hosts }) =>
    hosts.some(({ status }) => status === "ready")
  )
  const measured = new Set<string>()
  return {
    status,
    isReady,
    measure: Effect.flatMap(SubscriptionRef.get(pool.state), (state) => measure(state, measured))
  }
})

/** The models in memory. A slow host delays nobody: what it reported last is used, and it is asked in the background. */
const makeModelsOf = Effect.gen(function* () {
  const scope = yield* Effect.scope
  const known = new Map<string, { askedAt: number; models: Host["models"] }>()
  return (member: Member, now: number): Effect.Effect<Host["models"]> =>
    Effect.suspend(() => {
      const entry = known.get(member.name) ?? { askedAt: -Infinity, models: undefined }
      known.set(member.name, entry)
      if (now - entry.askedAt < maxAge) return Effect.succeed(entry.models)
      entry.askedAt = now
      const ask = askFor(member).pipe(
        Effect.timeout(timeLimit),
        Effect.orElseSucceed(() => undefined),
        Effect.map((models) => {
          entry.models = models?.map(({ id, memoryBytes }) => ({ id, memoryBytes }))
        })
      )
      return Effect.as(Effect.forkIn(ask, scope), entry.models)
    })
})

const askFor = ({ service: { provider } }: Member): Effect.Effect<ReadonlyArray<ModelInfo>, unknown> =>
  "running" in provider
    ? provider.running
    : Effect.flatMap(provider.listModels, (models) => Models.findRunning(provider, models))

const waiting = Metric.gauge("local_llm_gateway_waiting", { description: "Requests that wait for a host" })

const gauge = (name: string, description: string) => (host: string) =>
  Metric.gauge(`local_llm_gateway_host_${name}`, { description, attributes: { host } })

const gauges = {
  ready: gauge("ready", "Whether a host gets requests: 1 or 0"),
  active: gauge("active", "Requests that a host answers now"),
  permits: gauge("permits", "Requests that a host may answer at the same time")
}

/** A host that was removed counts as one that gets no requests. */
const measure = Effect.fnUntraced(function* ({ hosts, waiting: waits }: Pool.State, measured: Set<string>) {
  yield* Metric.update(waiting, waits)
  for (const { name } of hosts) measured.add(name)
  for (const name of measured) {
    const { active = 0, permits = 0, status } = hosts.find((host) => host.name === name) ?? {}
    yield* Metric.update(gauges.ready(name), status === "ready" ? 1 : 0)
    yield* Metric.update(gauges.active(name), active)
    yield* Metric.update(gauges.permits(name), permits)
  }
})
