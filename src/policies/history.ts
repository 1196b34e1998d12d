/** What one request has met so far, in all of its attempts, whatever policies are around the pool. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"

/** Mutable. A host is the object that stands for it in its pool. */
export interface RequestHistory {
  /** The hosts that serve an attempt now. */
  readonly inUse: Set<object>
  /** The hosts on which an attempt failed. */
  readonly failed: Set<object>
  /** The hosts that an attempt may have taken down. */
  readonly crashed: Set<object>
}

/** The outermost policy of a request sets it for all attempts. `undefined` outside of a request. */
export const RequestHistory = Context.Reference<RequestHistory | undefined>(
  "effect-local-llm/policies/RequestHistory",
  {
    defaultValue: () => undefined
  }
)

const make = (): RequestHistory => ({ inUse: new Set(), failed: new Set(), crashed: new Set() })

/** The history of the current request, or a new one. */
export const current: Effect.Effect<RequestHistory> = Effect.map(RequestHistory, (history) => history ?? make())

/** Runs a part of a request with its history. */
export const provide =
  (history: RequestHistory) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.provideService(effect, RequestHistory, history)

/** Gives the parts of a request a history, unless those of the fiber have one: from a policy around this one. */
export const provideNew = (fiber: Fiber.Fiber<unknown, unknown>): ReturnType<typeof provide> =>
  fiber.getRef(RequestHistory) === undefined ? provide(make()) : identity
