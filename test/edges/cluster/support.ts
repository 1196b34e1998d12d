/** Gateways and a shared scheduler in one process, on links that lose, repeat and delay what they carry. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type * as Connection from "../../../src/cluster/connection.ts"
import * as Protocol from "../../../src/cluster/protocol.ts"
import * as ClusterScheduler from "../../../src/cluster/scheduler.ts"
import * as Shared from "../../../src/cluster/shared.ts"
import * as MockProvider from "../../../src/MockProvider.ts"
import * as PoolProvider from "../../../src/policies/pool/provider.ts"
import type { Provider } from "../../../src/Provider.ts"

/** Numbers from 0 to 1 that a seed repeats: a linear congruential generator. */
export const makeRandom = (seed: number) => {
  let state = seed >>> 0
  const next = () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32
  return {
    next,
    chance: (probability: number) => next() < probability,
    integer: (from: number, to: number) => from + Math.floor(next() * (to - from + 1))
  }
}

/** What a link does with one call. */
export interface Fate {
  /** How late it arrives, in milliseconds. */
  readonly delay?: number
  /** How much later it arrives a second time. */
  readonly again?: number
  /** Its reply is lost. */
  readonly isReplyLost?: boolean
}

export interface Link {
  readonly client: Connection.Client
  /** Ends the stream of events. */
  readonly cut: Effect.Effect<void>
  /** Nothing passes while it is down. */
  isDown: boolean
}

const json = <S extends Schema.Top>(schema: S) => Schema.toCodecJson(schema)

/** What has crossed the network as JSON. */
const crossed = <A>(codec: Schema.Codec<A, unknown>, value: A): A =>
  Schema.decodeUnknownSync(codec)(JSON.parse(JSON.stringify(Schema.encodeUnknownSync(codec)(value))))

const sentCodec = json(Protocol.Sent)
const eventCodec = json(Protocol.Event)

export const host = (name: string, permits = 2, more: Partial<Protocol.Host> = {}): Protocol.Host => ({
  name,
  url: `http://${name}`,
  kind: "ollama",
  permits,
  ...more
})

/** Hosts that count what they answer. */
export const makeServers = (script: (name: string) => MockProvider.Answers = () => ["a"]) => {
  const running = new Map<string, number>()
  const peaks = new Map<string, number>()
  const prompts = new Map<string, Array<string>>()
  /** Requests that were on two hosts at a time. */
  const doubled: Array<string> = []
  const current = new Set<string>()
  const enter = (name: string, prompt: string) => () => {
    const now = (running.get(name) ?? 0) + 1
    running.set(name, now)
    peaks.set(name, Math.max(peaks.get(name) ?? 0, now))
    prompts.set(name, [...(prompts.get(name) ?? []), prompt])
    if (current.has(prompt)) doubled.push(prompt)
    current.add(prompt)
  }
  const leave = (name: string, prompt: string) => () => {
    running.set(name, (running.get(name) ?? 0) - 1)
    current.delete(prompt)
  }
  const connect = ({ name }: { readonly name: string }) =>
    Effect.map(MockProvider.make(script(name), { name }), (mock): Provider => ({
      ...mock,
      stream: (request) => {
        const prompt = request.prompt ?? ""
        return Stream.unwrap(
          Effect.as(
            Effect.acquireRelease(Effect.sync(enter(name, prompt)), () => Effect.sync(leave(name, prompt))),
            mock.stream(request)
          )
        )
      }
    }))
  return { connect, running, peaks, prompts, doubled }
}

export interface World {
  readonly shared: () => Shared.Shared
  /** Another runner takes over, which knows nothing. */
  readonly replace: Effect.Effect<void>
  /** No runner is there until `replace`. */
  readonly stop: Effect.Effect<void>
  /** As `stop`, while gateways still hear what it says. */
  readonly shutDown: Effect.Effect<void>
  readonly link: () => Link
  readonly gateway: (link?: Link) => Effect.Effect<Gateway>
  readonly state: Effect.Effect<{ readonly active: number; readonly waiting: number }>
}

export interface Gateway {
  readonly provider: Provider
  readonly scheduler: ClusterScheduler.ClusterScheduler
  readonly link: Link
  /** Its process is gone: nothing is sent any more. */
  readonly kill: Effect.Effect<void>
}

export interface WorldOptions {
  readonly servers: ReturnType<typeof makeServers>
  readonly takeoverMillis?: number
  readonly fate?: (call: "Connect" | "Send") => Fate
}

const local = { maxWaiting: 1000, unloadHanging: false, abandonedMillis: 0, onWaited: () => Effect.void }

export const makeWorld = Effect.fnUntraced(function* ({
  fate = () => ({}),
  servers: { connect },
  takeoverMillis = 0
}: WorldOptions): Effect.fn.Return<World, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const start = Effect.gen(function* () {
    const own = yield* Scope.fork(scope)
    const shared = yield* Scope.provide(Shared.make({ ...local, connect, takeoverMillis }), own)
    return { shared, own, ended: yield* Deferred.make<void>() }
  })
  let runner = yield* start
  let isThere = true
  let gateways = 0

  const stop = Effect.suspend(() => {
    isThere = false
    const { ended, own } = runner
    return Effect.andThen(Deferred.succeed(ended, undefined), Scope.close(own, Exit.void))
  })

  const shutDown = Effect.suspend(() => Effect.andThen(Scope.close(runner.own, Exit.void), stop))

  const link = (): Link => {
    let cut = Deferred.makeUnsafe<void>()
    const arrive = (link: Link, delay = 0) =>
      Effect.andThen(
        Effect.sleep(delay),
        Effect.suspend(() => (link.isDown || !isThere ? Effect.never : Effect.void))
      )
    const link: Link = {
      isDown: false,
      cut: Effect.suspend(() => Deferred.succeed(cut, undefined)),
      client: {
        Connect: (payload) =>
          Stream.unwrap(
            Effect.map(arrive(link, fate("Connect").delay), () => {
              cut = Deferred.makeUnsafe()
              const { ended, shared } = runner
              return shared.connect(payload).pipe(
                Stream.filter(() => !link.isDown),
                Stream.map((event) => crossed(eventCodec, event)),
                Stream.interruptWhen(Effect.raceFirst(Deferred.await(cut), Deferred.await(ended)))
              )
            })
          ),
        Send: (payload) =>
          Effect.gen(function* () {
            const { again, delay, isReplyLost = false } = fate("Send")
            const sent = crossed(sentCodec, payload)
            // It arrives although nobody waits for it any more.
            const received = yield* Deferred.make<typeof Protocol.Received.Type>()
            const deliver = Effect.andThen(
              arrive(link, delay),
              Effect.suspend(() => Deferred.succeed(received, runner.shared.send(sent)))
            )
            yield* Effect.forkIn(deliver, scope)
            if (again !== undefined) {
              const repeat = Effect.andThen(
                arrive(link, (delay ?? 0) + again),
                Effect.sync(() => runner.shared.send(sent))
              )
              yield* Effect.forkIn(repeat, scope)
            }
            const reply = yield* Deferred.await(received)
            return isReplyLost ? yield* Effect.fail("the reply is lost") : reply
          })
      }
    }
    return link
  }

  return {
    shared: () => runner.shared,
    stop,
    shutDown,
    replace: Effect.gen(function* () {
      if (isThere) yield* stop
      runner = yield* start
      isThere = true
    }),
    link,
    gateway: (own = link()) =>
      Effect.gen(function* () {
        const inner = yield* Scope.fork(scope)
        const gateway = `gateway ${++gateways}`
        const scheduler = yield* Scope.provide(
          ClusterScheduler.make({ client: own.client, gateway, connect, local }),
          inner
        )
        return {
          scheduler,
          link: own,
          provider: PoolProvider.make({ name: "Cluster", scheduler }, undefined),
          kill: Effect.suspend(() => {
            own.isDown = true
            return Effect.andThen(own.cut, Scope.close(inner, Exit.void))
          })
        }
      }),
    state: Effect.suspend(() =>
      Effect.map(SubscriptionRef.get(runner.shared.state), ({ hosts, waiting }) => ({
        active: hosts.reduce((sum, { active }) => sum + active, 0),
        waiting
      }))
    )
  }
})
