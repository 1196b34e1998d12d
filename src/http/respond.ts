/** Texts that come one by one, as the body of a response of an HTTP server. */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { constTrue, constVoid } from "effect/Function"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Monotonic from "../values/monotonic.ts"
import * as Text from "../values/text.ts"

/** How the items of a stream are sent. */
export interface Options<in A, in E> {
  readonly contentType: string
  /** The text of an item; `""` to leave it out. */
  readonly encode: (item: A) => string
  /** Whether the response begins with this item. Until then, a failure is the response of `refuse`. */
  readonly begins: (item: A, text: string) => boolean
  /** What is sent when nothing has been sent for so long, at least a second. The response begins with it, if it has not before. */
  readonly keepAlive: { readonly text: string; readonly after: Duration.Duration }
  /** The response for a failure before the beginning. */
  readonly refuse: (error: E) => HttpServerResponse.HttpServerResponse
  /** The last text, for a failure after the beginning. */
  readonly fail: (error: E) => string
  /** The last text, for a defect after the beginning. */
  readonly defect: () => string
  /** Run before the last text of a failure or a defect. */
  readonly onBroken?: Effect.Effect<void> | undefined
}

/**
 * Responds when the response begins. The stream is interrupted when the scope ends, which is that of the HTTP request: at once when the
 * client leaves. A client that does not read slows the stream down: one pull is ahead of it.
 */
export const make = Effect.fnUntraced(function* <A, E, R>(
  stream: Stream.Stream<A, E, R>,
  options: Options<A, E>
): Effect.fn.Return<HttpServerResponse.HttpServerResponse, never, R | Scope.Scope> {
  const scope = yield* Effect.scope
  const pull = yield* Channel.toPullScoped(stream.channel, scope)
  const begun = Deferred.makeUnsafe<void, E | Cause.Done>()
  const context = yield* Effect.context<never>()
  const clock = Context.get(context, Clock.Clock)
  const now = () => Monotonic.millisOf(clock)
  const slot = makeSlot(now)
  yield* Effect.forkIn(produce(pull, begun, slot, options), scope, { startImmediately: true })
  const stop = keepAlive(begun, slot, options.keepAlive, now, context)
  yield* Scope.addFinalizer(scope, Effect.sync(stop))
  const beginning = yield* Effect.result(Deferred.await(begun))
  if (Result.isFailure(beginning)) {
    // The stream ended without anything to send.
    return Cause.isDone(beginning.failure) ? HttpServerResponse.empty() : options.refuse(beginning.failure)
  }
  return HttpServerResponse.stream(Stream.fromPull(Effect.succeed(slot.take)), {
    contentType: options.contentType,
    // Without these headers, some proxies buffer the response.
    headers: { "cache-control": "no-cache", "x-accel-buffering": "no" }
  })
})

/** The header that says when to try again, for a failure that has a time. */
export const retryAfter = (time: Duration.Duration | undefined): { readonly "retry-after"?: string } => {
  const seconds = time === undefined ? Infinity : Math.ceil(Duration.toSeconds(time))
  return Number.isFinite(seconds) ? { "retry-after": String(seconds) } : {}
}

/** Until it is done, nothing is sent, and its failure is that of the stream. */
type Begun<E> = Deferred.Deferred<void, E | Cause.Done>

/** Pulls, and puts the texts into the slot. */
const produce = <A, E, R>(
  pull: Pull.Pull<Arr.NonEmptyReadonlyArray<A>, E, void, R>,
  begun: Begun<E>,
  slot: Slot,
  { begins, defect, encode, fail, onBroken = Effect.void }: Options<A, E>
): Effect.Effect<void, never, R> => {
  const put = (items: Arr.NonEmptyReadonlyArray<A>): Effect.Effect<void> => {
    let text = ""
    let hasBegun = Deferred.isDoneUnsafe(begun)
    for (const item of items) {
      const each = encode(item)
      text += each
      hasBegun ||= begins(item, each)
    }
    slot.put(text)
    // Before the beginning, nobody takes it.
    if (!hasBegun) return Effect.void
    Deferred.doneUnsafe(begun, Effect.void)
    return slot.isEmpty() ? Effect.void : slot.room
  }
  const endWith = (text: string) =>
    Effect.andThen(
      onBroken,
      Effect.sync(() => slot.end(Exit.void, text))
    )
  // If there is no last text either, the connection is closed.
  const onDefect = (cause: Cause.Cause<unknown>) =>
    Effect.logError("The rest of a response could not be sent", Text.placeOf(cause)).pipe(
      Effect.andThen(Effect.sync(defect)),
      Effect.matchCauseEffect({
        onSuccess: endWith,
        onFailure: (cause) => Effect.sync(() => slot.end(Exit.failCause(cause)))
      })
    )
  const finish = (cause: Cause.Cause<E | Cause.Done>): Effect.Effect<void> => {
    if (!Deferred.isDoneUnsafe(begun)) return Effect.asVoid(Deferred.failCause(begun, cause))
    const failure = Cause.findError(cause)
    // A defect takes precedence over an error.
    if (Cause.hasDies(cause)) return onDefect(cause)
    if (Result.isFailure(failure)) return Effect.sync(() => slot.end(Exit.failCause(failure.failure)))
    const error = failure.success
    if (Cause.isDone(error)) return Effect.sync(() => slot.end(Exit.void))
    return Effect.matchCauseEffect(
      Effect.sync(() => fail(error)),
      { onFailure: onDefect, onSuccess: endWith }
    )
  }
  const loop = Effect.whileLoop({ while: constTrue, body: () => Effect.flatMap(pull, put), step: constVoid })
  return Effect.matchCauseEffect(loop, { onFailure: finish, onSuccess: () => Effect.void })
}

/** Puts a text after each silence. Returns how to stop that. */
const keepAlive = <E>(
  begun: Begun<E>,
  slot: Slot,
  { after, text }: Options<never, never>["keepAlive"],
  now: () => number,
  context: Context.Context<never>
): (() => void) => {
  const silence = Math.max(1000, Duration.toMillis(after))
  if (silence === Infinity) return constVoid
  const look = Effect.sync(() => {
    const left = slot.lastTakenAt() + silence - now()
    if (left > 0) return lookAfter(left)
    // If nobody takes texts, the client does not read.
    if (slot.isAwaited() || !Deferred.isDoneUnsafe(begun)) slot.put(text)
    Deferred.doneUnsafe(begun, Effect.void)
    lookAfter(silence)
  })
  const lookAfter = (millis: number): void => {
    stop = Monotonic.after(context, millis, look)
  }
  let stop = constVoid
  lookAfter(silence)
  return () => stop()
}

/** What a producer has for the body, and the body has not taken. The two run in turns, without a queue between them. */
interface Slot {
  /** The next text of the body. */
  readonly take: Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>>
  /** Whether the body waits for a text. */
  readonly isAwaited: () => boolean
  /** Added to what is there. */
  readonly put: (text: string) => void
  readonly isEmpty: () => boolean
  /** Waits until the body needs the next text. */
  readonly room: Effect.Effect<void>
  /** How the body ends, after what is there and this text. */
  readonly end: (exit: Exit.Exit<void>, text?: string) => void
  /** When a text was taken, in milliseconds of the monotonic clock. */
  readonly lastTakenAt: () => number
}

const encoder = new TextEncoder()

const makeSlot = (now: () => number): Slot => {
  let text = ""
  let end: Exit.Exit<void> | undefined
  let lastTakenAt = now()
  // They resume the one that waits for a text, and the one that waits for room.
  let taker: (() => void) | undefined
  let putter: (() => void) | undefined

  const takeNow = (): Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>> => {
    if (text === "") return Effect.flatMap(end ?? Exit.void, () => Cause.done())
    const bytes = encoder.encode(text)
    text = ""
    lastTakenAt = now()
    return Effect.succeed([bytes])
  }
  const wake = (): void => {
    const waiting = taker
    taker = undefined
    waiting?.()
  }
  return {
    take: Effect.callback((resume) => {
      const go = () => resume(takeNow())
      if (text !== "" || end !== undefined) return go()
      taker = go
      const waiting = putter
      putter = undefined
      // It may put the next text at once.
      waiting?.()
    }),
    isAwaited: () => taker !== undefined,
    put: (more) => {
      text += more
      if (text !== "") wake()
    },
    isEmpty: () => text === "",
    room: Effect.callback((resume) => {
      putter = () => resume(Effect.void)
    }),
    end: (exit, more = "") => {
      text += more
      end = exit
      wake()
    },
    lastTakenAt: () => lastTakenAt
  }
}
