/** How long the host of a conversation is remembered. */
import { expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as Conversation from "../../../src/policies/pool/conversation.ts"
import * as Monotonic from "../../../src/values/monotonic.ts"

it.effect("for 10 minutes, although the wall clock is set back", () =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const turns = yield* Conversation.make(() => Monotonic.millisOf(clock))
    const conversation = { turn: 1, lastTurn: undefined }
    const turn = { host: "a", promptTokens: 5 }
    yield* turns.remember(conversation, turn)
    yield* TestClock.adjust("599 seconds")
    expect(yield* turns.find({ turn: 2, lastTurn: 1 })).toEqual(turn)
    yield* TestClock.adjust("1 second")
    const back: Clock.Clock = { ...clock, currentTimeMillisUnsafe: () => -3_600_000 }
    expect(yield* Effect.provideService(turns.find(conversation), Clock.Clock, back)).toBeUndefined()
  })
)
