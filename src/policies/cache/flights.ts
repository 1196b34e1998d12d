/** Equal requests that run at the same time share one generation, which ends with its last consumer. */
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ProviderError } from "../../ProviderError.ts"
import type { Chunks, ChunkPull, Completion, PullError } from "../attempt.ts"
import { findFailure } from "../attempt.ts"

/** Chunks, and those after them. Who holds a link can read from there on, so what all have read is freed. */
interface Link {
  readonly chunks: Chunks | undefined
  readonly bytes: number
  next: Link | undefined
}

/** Who reads. Mutable. */
interface Consumer {
  at: Link
  /** Bytes from the beginning. */
  read: number
  /** Set while it waits for chunks. */
  wake: (() => void) | undefined
}

/** Mutable. */
interface Flight {
  readonly consumers: Set<Consumer>
  /** Before all chunks; `undefined` if the first ones are no longer kept, so that nobody can join. */
  head: Link | undefined
  tail: Link
  /** Bytes from the beginning. */
  produced: number
  /** Whether the final chunk has come. */
  isComplete: boolean
  /** What is to be done with the whole completion, if anything. */
  onEnd: Effect.Effect<void> | undefined
  end: Exit.Exit<never, PullError> | undefined
  fiber: Fiber.Fiber<void> | undefined
  /** Set while the generation waits for a consumer. */
  wake: (() => void) | undefined
  /** Nobody can join any more. */
  readonly forget: () => void
}

export interface Generation {
  readonly chunks: Completion
  /**
   * Called with all chunks when the final one has come, unless they are too many. What it returns is run after the end. Until that is done,
   * others can join; nobody can if it is `undefined`.
   */
  readonly onComplete: (chunks: ReadonlyArray<Chunks>) => Effect.Effect<void> | undefined
}

export interface Options {
  /** How many bytes are kept for those who join later, and for those who are slower than others. */
  readonly maxBytes: number
  readonly bytesOf: (chunks: Chunks) => number
  /** The chunks for all consumers but the one that began. */
  readonly forOthers: (chunks: Chunks) => Chunks
  /** Where the generations run. */
  readonly scope: Scope.Scope
  /** The failure of those who read when the scope ends. */
  readonly closed: ProviderError
}

/** Reads the generation that runs with this key, or a new one. */
export type Join = (key: string, begin: () => Generation) => Completion

export const make = (options: Options): Join => {
  const flights = new Map<string, Flight>()
  return (key, begin) =>
    Stream.fromChannel(
      Channel.fromTransform((_, scope) =>
        Effect.suspend(() => {
          const running = flights.get(key)
          const flight = running ?? makeFlight(() => flights.get(key) === flight && flights.delete(key))
          flights.set(key, flight)
          const consumer: Consumer = { at: flight.head ?? flight.tail, read: 0, wake: undefined }
          flight.consumers.add(consumer)
          const pull = read(flight, consumer, options, running !== undefined)
          const joined = Effect.as(Scope.addFinalizer(scope, leave(flight, consumer)), pull)
          if (running !== undefined) return joined
          return Effect.andThen(
            Effect.map(Effect.forkIn(generate(flight, begin(), options), options.scope), (fiber) => {
              flight.fiber = fiber
              // It has not even begun if the scope has ended.
              fiber.addObserver(() => {
                if (flight.end === undefined) end(flight, Exit.fail(options.closed))
                flight.forget()
              })
            }),
            joined
          )
        }).pipe(Effect.uninterruptible)
      )
    )
}

const leave = (flight: Flight, consumer: Consumer): Effect.Effect<void> =>
  Effect.suspend(() => {
    flight.consumers.delete(consumer)
    if (flight.consumers.size > 0 || flight.isComplete || flight.fiber === undefined) {
      flight.wake?.()
      return Effect.void
    }
    flight.forget()
    return Fiber.interrupt(flight.fiber)
  })

const makeFlight = (forget: () => void): Flight => {
  const head: Link = { chunks: undefined, bytes: 0, next: undefined }
  return {
    consumers: new Set(),
    head,
    tail: head,
    produced: 0,
    isComplete: false,
    onEnd: undefined,
    end: undefined,
    fiber: undefined,
    wake: undefined,
    forget
  }
}

const read = (flight: Flight, consumer: Consumer, { forOthers }: Options, hasJoined: boolean): ChunkPull => {
  const hasMore = () => consumer.at.next !== undefined || flight.end !== undefined
  const wait = until(hasMore, (wake) => {
    consumer.wake = wake
    if (wake !== undefined) flight.wake?.()
  })
  const pull: ChunkPull = Effect.suspend(() => {
    const { next } = consumer.at
    if (next?.chunks !== undefined) {
      consumer.at = next
      consumer.read += next.bytes
      flight.wake?.()
      return Effect.succeed(hasJoined ? forOthers(next.chunks) : next.chunks)
    }
    return flight.end ?? Effect.andThen(wait, pull)
  })
  return pull
}

/** Waits until a condition holds. `onWake` gets the function that looks at it again, and `undefined` when nothing waits any more. */
const until = (holds: () => boolean, onWake: (wake: (() => void) | undefined) => void): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (holds()) return resume(Effect.void)
    onWake(() => {
      if (!holds()) return
      onWake(undefined)
      resume(Effect.void)
    })
    return Effect.sync(() => onWake(undefined))
  })

/** Pulls as fast as the fastest consumer reads, but not so far that too much is kept for the slowest one. */
const generate = (flight: Flight, generation: Generation, options: Options): Effect.Effect<void> => {
  const isWanted = (): boolean => {
    let isAnyWaiting = flight.isComplete
    for (const { read, wake } of flight.consumers) {
      if (!flight.isComplete && flight.produced - read > options.maxBytes) return false
      if (wake !== undefined) isAnyWaiting = true
    }
    return isAnyWaiting
  }
  const untilWanted = until(isWanted, (wake) => {
    flight.wake = wake
  })
  return Effect.scopedWith((scope) =>
    Effect.gen(function* () {
      const pull = yield* Channel.toPullScoped(generation.chunks.channel, scope)
      for (;;) {
        yield* untilWanted
        add(flight, yield* pull, generation, options)
      }
    })
  ).pipe(
    // Handlers of failures do not run if the scope of the cache ends.
    Effect.onExit((exit) =>
      Effect.sync(() => {
        const isClosed = Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)
        end(flight, isClosed ? Exit.fail(options.closed) : exit)
      })
    ),
    Effect.ignoreCause,
    Effect.andThen(Effect.suspend(() => flight.onEnd ?? Effect.void))
  )
}

/** Others can join after the end only if all went well. */
const end = (flight: Flight, exit: Exit.Exit<never, PullError>): void => {
  flight.end = exit
  const failure = Exit.isFailure(exit) ? findFailure(exit.cause) : undefined
  if (failure === undefined || !Cause.isDone(failure)) flight.onEnd = undefined
  if (flight.onEnd === undefined) flight.forget()
  notify(flight)
}

const notify = (flight: Flight): void => {
  for (const { wake } of flight.consumers) wake?.()
}

const add = (flight: Flight, chunks: Chunks, { onComplete }: Generation, { bytesOf, maxBytes }: Options): void => {
  const link: Link = { chunks, bytes: bytesOf(chunks), next: undefined }
  flight.tail.next = link
  flight.tail = link
  flight.produced += link.bytes
  if (flight.produced > maxBytes) flight.head = undefined
  if (chunks.some(({ isFinal }) => isFinal)) {
    flight.isComplete = true
    flight.onEnd = flight.head && onComplete(allOf(flight.head))
  }
  if (flight.head === undefined || (flight.isComplete && flight.onEnd === undefined)) flight.forget()
  notify(flight)
}

const allOf = (head: Link): ReadonlyArray<Chunks> => {
  const all: Array<Chunks> = []
  for (let link = head.next; link?.chunks !== undefined; link = link.next) all.push(link.chunks)
  return all
}
