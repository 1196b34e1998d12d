/** The connection of a gateway to the scheduler of its cluster: it sends what the gateway says, and tells what the scheduler says. */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Monotonic from "../values/monotonic.ts"
import type * as Protocol from "./protocol.ts"

/** The calls of the scheduler, whatever carries them. */
export interface Client {
  readonly Connect: (payload: { readonly gateway: string }) => Stream.Stream<Protocol.Event, unknown>
  readonly Send: (payload: Protocol.Sent) => Effect.Effect<typeof Protocol.Received.Type, unknown>
}

export interface Options {
  readonly client: Client
  /** The name of the gateway, different from all others. */
  readonly gateway: string
  /** Run for each event, in their order. */
  readonly onEvent: (event: Protocol.Event) => Effect.Effect<void>
  /** All that the gateway has. */
  readonly sync: () => Protocol.Sync
}

export interface Connection {
  /** Whether the scheduler has answered of late. */
  readonly isConnected: () => boolean
  /** Also while it is not known yet: a gateway that starts waits for the scheduler. */
  readonly isOpen: () => boolean
  /** Waits until the scheduler can be reached. */
  readonly opened: Effect.Effect<void>
  /** Waits until it can no longer be reached. */
  readonly closed: Effect.Effect<void>
  /** Sends a message soon, with others. Lost if the scheduler cannot be reached: what matters is in the next `sync`. */
  readonly send: (message: Protocol.Message) => void
  /** The scheduler has to learn all that the gateway has. */
  readonly resync: () => void
}

/** A gateway shows that often that it is there. */
const heartbeat = "1 second"

/** The scheduler is taken for unreachable after that. It takes the gateway for lost later than that, so permits are not given twice. */
const patience = Duration.seconds(2)

/** How long messages that nobody waits for gather. */
const gather = "5 millis"

const retryDelay = "200 millis"

interface State {
  /** Of the stream of events: `Connect` may run several times. */
  session: number
  /** Done when the scheduler does not know the gateway, because it is on another runner now. */
  lost: Deferred.Deferred<void>
  /** Open while events come. The scheduler tells its members first. */
  readonly connected: Latch.Latch
  /** Open while there is something to send. */
  readonly filled: Latch.Latch
  readonly opened: Latch.Latch
  readonly closed: Latch.Latch
  outbox: Array<Protocol.Message>
  isOpen: boolean
  hasConnected: boolean
  isSynced: boolean
  /** Of the last messages. */
  number: number
  /** When messages were last taken, or the gateway started. */
  takenAt: number
  readonly now: () => number
}

export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<Connection, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const state: State = {
    session: 0,
    lost: yield* Deferred.make<void>(),
    connected: yield* Latch.make(false),
    filled: yield* Latch.make(false),
    opened: yield* Latch.make(true),
    closed: yield* Latch.make(false),
    outbox: [],
    isOpen: true,
    hasConnected: false,
    isSynced: false,
    number: 0,
    takenAt: Monotonic.millisOf(clock),
    now: () => Monotonic.millisOf(clock)
  }
  // A span for each heartbeat would be of no use to anybody.
  const keep = (effect: Effect.Effect<void>) =>
    Effect.forkScoped(Effect.withTracerEnabled(Effect.forever(effect), false))
  yield* keep(listen(state, options))
  yield* keep(exchange(state, options))
  const run = yield* FiberSet.makeRuntime<never, void, never>()
  return {
    isConnected: () => state.isOpen && state.hasConnected,
    isOpen: () => state.isOpen,
    opened: state.opened.await,
    closed: state.closed.await,
    send: (message) => {
      // Otherwise the next sync has it.
      if (state.isSynced) state.outbox.push(message)
      // Nobody waits for the others.
      if (message._tag === "Acquire") state.filled.openUnsafe()
      else if (state.outbox.length === 1) run(Effect.delay(state.filled.open, gather))
    },
    resync: () => {
      state.isSynced = false
      state.filled.openUnsafe()
    }
  }
})

/** A call to a runner that has ended cannot be interrupted until another one has taken over, which nothing waits for. */
export const abandonable = <A, E>(call: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.flatMap(Effect.forkDetach(call), (fiber) =>
    Effect.onInterrupt(Fiber.join(fiber), () => Effect.sync(() => fiber.interruptUnsafe()))
  )

const setOpen = (state: State, isOpen: boolean): void => {
  if (state.isOpen === isOpen) return
  state.isOpen = isOpen
  const [to, from] = isOpen ? [state.opened, state.closed] : [state.closed, state.opened]
  from.closeUnsafe()
  to.openUnsafe()
}

/** Follows the events until the stream ends or the scheduler is lost. */
const listen = (state: State, { client, gateway, onEvent }: Options): Effect.Effect<void> =>
  Effect.gen(function* () {
    state.session++
    state.lost = yield* Deferred.make<void>()
    state.isSynced = false
    const events = Stream.runForEach(client.Connect({ gateway }), (event) => {
      state.connected.openUnsafe()
      return onEvent(event)
    })
    yield* Effect.raceAllFirst([
      // A stream that the scheduler ends, or the way to it, may be interrupted.
      Effect.catchCause(abandonable(events), () => Effect.void),
      Deferred.await(state.lost),
      Effect.flatMap(Effect.timeoutOption(state.connected.await, patience), (isConnected) =>
        isConnected._tag === "Some" ? Effect.never : Effect.void
      )
    ])
    state.connected.closeUnsafe()
    yield* Effect.sleep(retryDelay)
  })

/** Sends what there is in one call, while further messages gather. */
const exchange = (state: State, { client, gateway, sync }: Options): Effect.Effect<void> =>
  Effect.gen(function* () {
    const isConnected = yield* Effect.timeoutOption(state.connected.await, patience)
    if (isConnected._tag === "None") return setOpen(state, false)
    if (state.isSynced) yield* Effect.timeoutOption(state.filled.await, heartbeat)
    // It may be lost meanwhile.
    if (!state.connected.isOpen()) return
    state.filled.closeUnsafe()
    const { session } = state
    const messages = state.isSynced ? state.outbox : [sync()]
    state.outbox = []
    state.isSynced = true
    const received = yield* abandonable(client.Send({ gateway, number: ++state.number, messages })).pipe(
      Effect.timeout(patience),
      Effect.catchCause(() => Effect.succeed("failed" as const))
    )
    if (received === "ok") {
      state.takenAt = state.now()
      state.hasConnected = true
      return setOpen(state, true)
    }
    state.isSynced = false
    if (received === "unsynced") return
    if (state.now() - state.takenAt >= Duration.toMillis(patience)) setOpen(state, false)
    if (received === "unknown" && session === state.session) yield* Deferred.succeed(state.lost, undefined)
    yield* Effect.sleep(retryDelay)
  })
