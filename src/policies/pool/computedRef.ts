/**
 * A `SubscriptionRef` whose value is computed when it is read. While somebody follows its changes, it is computed after each change,
 * and otherwise not at all: most programs never look at the state of a pool, and it changes several times for each request.
 */
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as SubscriptionRef from "effect/SubscriptionRef"

export interface ComputedRef<A> {
  readonly ref: SubscriptionRef.SubscriptionRef<A>
  /** What the value is computed from has changed. */
  readonly change: () => void
}

export const make = <A>(initial: A, compute: () => A): Effect.Effect<ComputedRef<A>> =>
  Effect.map(SubscriptionRef.make(initial), (ref) => {
    const { pubsub } = ref
    const messages = pubsub.pubsub
    let { value } = ref
    let isOutdated = false
    let followers = 0

    const update = (): A => {
      isOutdated = false
      value = compute()
      PubSub.publishUnsafe(pubsub, value)
      return value
    }
    Object.defineProperty(ref, "value", {
      get: () => (isOutdated ? update() : value),
      set: (set: A) => {
        value = set
      }
    })
    const subscribe = messages.subscribe.bind(messages)
    messages.subscribe = () => {
      // A new subscriber gets the latest message first.
      if (isOutdated) update()
      const subscription = subscribe()
      const unsubscribe = subscription.unsubscribe.bind(subscription)
      followers++
      subscription.unsubscribe = () => {
        followers--
        unsubscribe()
      }
      return subscription
    }
    return {
      ref,
      change: () => {
        isOutdated = true
        if (followers > 0) update()
      }
    }
  })
