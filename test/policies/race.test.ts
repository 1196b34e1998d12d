/** Several providers that get each request at once. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type { CompletionRequest } from "../../src/CompletionRequest.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import * as Provider from "../../src/Provider.ts"
import { ModelNotAvailable } from "../../src/ProviderError.ts"
import * as Race from "../../src/Race.ts"
import { FakeServer } from "../../src/testing/index.ts"
import { Attempts, expected, receive, refused, settle, toScript } from "../support/attempts.ts"
import { connect, request, setups } from "../support/setups.ts"

const prompt: CompletionRequest = { model: "m", prompt: "x" }

const race = (providers: ReadonlyArray<Provider.Provider>) => {
  const [first, ...rest] = providers.map((provider) => ({ provider }))
  return first === undefined ? Effect.die("no provider") : Race.make([first, ...rest])
}

it.effect.prop(
  "whatever is slow or fails and wherever, the completion that begins first is delivered, in order and once",
  { attempts: Attempts },
  ({ attempts }) =>
    Effect.gen(function* () {
      const providers = yield* Effect.forEach(attempts, (steps, i) =>
        MockProvider.make(toScript(steps, i), { name: `mock ${i}` })
      )
      const { chunks, error, finals, text } = yield* settle(receive((yield* race(providers)).stream(prompt)))
      const outcomes = attempts.map(expected)
      const first = Math.min(...outcomes.filter(({ commits }) => commits).map(({ seconds }) => seconds))
      const asked = yield* Effect.forEach(providers, ({ requests }) => Effect.map(requests, ({ length }) => length))
      // One that fails or begins before the others are asked may be the only one.
      expect(asked.every((count) => count <= 1)).toBe(true)
      expect(finals).toBe(error === undefined ? 1 : 0)
      if (first < Infinity) {
        const winners = outcomes.filter(({ commits, seconds }) => commits && seconds === first)
        const winner = winners.find((outcome) => outcome.text === text)
        expect(winner).toBeDefined()
        expect(error?.reason._tag).toBe(winner?.reason)
        if (error === undefined) {
          expect(chunks.at(-1)).toMatchObject({ provider: `mock ${outcomes.findIndex((each) => each === winner)}` })
        }
        return
      }
      expect(text).toBe("")
      const reasons = outcomes.map(({ reason }) => reason)
      const [reason] = new Set(reasons).size === 1 ? reasons : []
      if (attempts.length === 1 || reason === "InvalidRequest") return expect(error?.reason._tag).toBe(reason)
      expect(error).toMatchObject({ provider: "Race" })
      const errors = error?.reason._tag === "AllProvidersFailed" ? error.reason.errors : []
      expect(errors.map(({ reason }) => reason._tag)).toEqual(reasons)
    })
)

it.effect("a provider that hangs, before or after its connection is open, delays no other", () =>
  Effect.gen(function* () {
    const hanging = yield* MockProvider.make([MockProvider.hang], { name: "hanging" })
    const stuck = Provider.make({
      name: "stuck",
      stream: () => Stream.unwrap(Effect.never),
      listModels: Effect.succeed([])
    })
    const quick = yield* MockProvider.make([MockProvider.wait("1 second"), "Hi"], { name: "quick" })
    for (const order of [
      [stuck, hanging, quick],
      [quick, stuck, hanging],
      [hanging, quick, stuck]
    ]) {
      const fiber = yield* Effect.forkChild((yield* race(order)).complete(prompt), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.join(fiber)).toMatchObject({ content: "Hi", provider: "quick" })
    }
  })
)

it.effect("a total deadline bounds all of them, and a defect is passed on", () =>
  Effect.gen(function* () {
    const hanging = yield* MockProvider.make([MockProvider.hang])
    const racing = yield* race([hanging, hanging, hanging])
    const error = yield* settle(Effect.flip(racing.complete({ ...prompt, deadlines: { total: "3 seconds" } })))
    expect(error.reason).toMatchObject({ _tag: "Timeout", kind: "total" })
    const broken = Provider.make({ name: "broken", stream: () => Stream.die("broken"), listModels: Effect.succeed([]) })
    const exit = yield* Effect.exit((yield* race([broken, hanging])).complete(prompt))
    expect(String(exit)).toContain("Die")
  })
)

it.effect("a candidate that lacks the model or is unreachable loses, and other operations ask in turn", () =>
  Effect.gen(function* () {
    const missing = yield* MockProvider.make([MockProvider.fail(new ModelNotAvailable({ model: "m" }))])
    const unreachable = yield* MockProvider.make([MockProvider.fail(refused)])
    const third = yield* MockProvider.make(["Hi"], { models: ["there"] })
    const racing = yield* Race.make([
      { provider: missing },
      { provider: Effect.succeed(unreachable) },
      { provider: third, model: "there" }
    ])
    expect(yield* racing.complete(prompt)).toMatchObject({ content: "Hi", model: "there" })
    expect(yield* racing.supportsModel("anything")).toBe(true)
    expect((yield* racing.embed({ model: "m", input: "a" })).vectors).toHaveLength(1)
  })
)

it.effect("a request that all of them reject is an invalid request", () =>
  Effect.gen(function* () {
    const mock = yield* MockProvider.make(["Hi"])
    const racing = yield* race([mock, mock, mock])
    const error = yield* Effect.flip(racing.complete({ ...prompt, temperature: Number.NaN }))
    expect(error.reason).toMatchObject({ _tag: "InvalidRequest", field: "temperature" })
  })
)

describe("on real sockets", () => {
  it.live.each(setups.slice(0, 2))(
    "$provider, $client: the connections of those that lose are closed at once",
    (setup) =>
      Effect.gen(function* () {
        const slow = yield* FakeServer.make({ delay: { first: "1 minute" }, text: "late" })
        const endless = yield* FakeServer.make({ text: "early", delay: { first: "100 millis" } })
        const provider = yield* race([
          yield* connect(setup, { baseUrl: slow.url, name: "slow" }),
          yield* connect(setup, { baseUrl: endless.url, name: "quick" })
        ])
        expect(yield* provider.complete(request)).toMatchObject({ content: "early", provider: "quick" })
        yield* slow.until(({ requests }) => requests.at(-1)?.outcome === "cut-by-client")
      }).pipe(Effect.scoped)
  )
})
