/** The connection of a gateway to the scheduler of its cluster: it sends what the gateway says, and tells what the scheduler says. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Protocol from "./protocol.ts"

/** The calls of the scheduler, whatever carries them. */
export interface Client {
  readonly Connect: (payload: { readonly gateway: string }) => Stream.Stream<Protocol.Event, unknown>
  readonly Send: (payload: {
    readonly gateway: string
    readonly messages: ReadonlyArray<Protocol.Message>
  }) => Effect.Effect<typeof Protocol.Received.Type, unknown>
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
const sendTimeout = "2 seconds"

const retryDelay = "200 millis"

export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<Connection, never, Scope.Scope> {
  const { client, gateway, onEvent, sync } = options
  const opened = yield* Latch.make(false)
  const closed = yield* Latch.make(true)
  const filled = yield* Latch.make(false)
  const lost = { current: yield* Deferred.make<void>() }
  let outbox: Array<Protocol.Message> = []
  let isOpen = false
  let isSynced = false

  const setOpen = (value: boolean) => {
    isOpen = value
    return Effect.all([value ? opened.open : opened.close, value ? closed.close : closed.open], { discard: true })
  }

  /** Sends what there is in one call, while further messages gather. */
  const exchange = Effect.gen(function* () {
    yield* Effect.timeoutOption(filled.await, heartbeat)
    yield* filled.close
    const messages = isSynced ? outbox : [sync()]
    outbox = []
    isSynced = true
    const received = yield* client.Send({ gateway, messages }).pipe(
      Effect.timeout(sendTimeout),
      Effect.orElseSucceed(() => "failed" as const)
    )
    if (received === "ok") return isOpen ? undefined : yield* setOpen(true)
    isSynced = false
    if (received !== "unsynced") yield* setOpen(false)
    if (received === "unknown") yield* Deferred.succeed(lost.current, undefined)
    yield* Effect.sleep(received === "unsynced" ? 0 : retryDelay)
    yield* filled.open
  })

  /** Ends when the scheduler does not know the gateway, because it is on another runner now. */
  const listen = Effect.gen(function* () {
    lost.current = yield* Deferred.make<void>()
    isSynced = false
    yield* filled.open
    const events = Stream.runForEach(client.Connect({ gateway }), onEvent)
    yield* Effect.raceFirst(Effect.ignore(events), Deferred.await(lost.current))
    yield* Effect.sleep(retryDelay)
  })

  yield* Effect.forkScoped(Effect.forever(listen))
  yield* Effect.forkScoped(Effect.forever(exchange))
  return {
    isOpen: () => isOpen,
    opened: opened.await,
    closed: closed.await,
    send: (message) => {
      outbox.push(message)
      filled.openUnsafe()
    },
    resync: () => {
      isSynced = false
      filled.openUnsafe()
    }
  }
})
