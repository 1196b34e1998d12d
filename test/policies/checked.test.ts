/** A request is checked once, by the outermost provider that checks any. Those behind it get what it checked. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as CompletionRequest from "../../src/CompletionRequest.ts"
import * as Embedding from "../../src/Embedding.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import * as Pool from "../../src/Pool.ts"
import * as Provider from "../../src/Provider.ts"
import * as Gateway from "../support/gateway.ts"
import { policies } from "../support/policies.ts"

/** A provider, and for each of its requests whether it was checked before. */
const makeObserved = Effect.gen(function* () {
  const mock = yield* MockProvider.make("Because.")
  const wereChecked: Array<boolean> = []
  const observe = (request: object, check: (u: unknown) => Result.Result<object, unknown>) =>
    Effect.sync(() => void wereChecked.push(Result.getOrUndefined(check(request)) === request))
  const provider = Provider.make({
    ...mock,
    stream: (request) => Stream.unwrap(Effect.as(observe(request, CompletionRequest.check), mock.stream(request))),
    countTokens: (request) => Effect.andThen(observe(request, CompletionRequest.check), mock.countTokens(request)),
    embed: (request) => Effect.andThen(observe(request, Embedding.check), mock.embed(request))
  })
  return { wereChecked, provider }
})

const request = { model: "m", prompt: "Why?", deadlines: { total: "1 hour" } } as const
const defaults = { model: "other", deadlines: { firstChunk: "1 minute" } } as const

describe("behind a pool, by itself or with a policy between them, however its deadlines have changed since", () => {
  // The cache of that table changes requests: it has defaults of its own.
  const { Cache: _, ...others } = policies
  for (const [name, apply] of Object.entries({ none: Effect.succeed<Provider.Provider>, ...others })) {
    it.live(name, () =>
      Effect.gen(function* () {
        const { provider, wereChecked } = yield* makeObserved
        const pool = yield* Pool.make({ hosts: [{ provider: apply(provider) }], defaults })
        yield* pool.complete(request)
        yield* pool.countTokens(request)
        expect(wereChecked).toEqual([true, true])
      })
    )
  }
})

it.live("behind a gateway", () =>
  Effect.gen(function* () {
    for (const { body, path } of Object.values(Gateway.rows)) {
      const { provider, wereChecked } = yield* makeObserved
      const url = yield* Gateway.serve(yield* Pool.make({ hosts: [{ provider }] }))
      const response = yield* Effect.promise(() =>
        fetch(`${url}${path}`, { method: "POST", body: JSON.stringify(body) })
      )
      yield* Effect.promise(() => response.text())
      expect([path, response.status, wereChecked]).toEqual([path, 200, [true]])
    }
  })
)

it.live("a request that a policy changed is checked again: wrong values never reach a server", () =>
  Effect.gen(function* () {
    const mock = yield* MockProvider.make("Because.")
    const wrong = { temperature: "hot" } as object
    const changing = Provider.make({ ...mock, stream: (request) => mock.stream({ ...request, ...wrong }) })
    const pool = yield* Pool.make({ hosts: [{ provider: changing }] })
    expect((yield* Effect.flip(pool.complete(request))).reason).toMatchObject({
      _tag: "InvalidRequest",
      field: "temperature"
    })
    expect(yield* mock.requests).toEqual([])
  })
)
