/** Typed answers while they are generated, for every server over sockets. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as MockProvider from "../../src/MockProvider.ts"
import * as Pool from "../../src/Pool.ts"
import * as Provider from "../../src/Provider.ts"
import { NetworkError } from "../../src/ProviderError.ts"
import { firstOutcome, serverNames, start } from "../support/setups.ts"

const request = { model: "m", messages: [{ role: "user", content: "A recipe as JSON." }] } as const
const Recipe = Schema.Struct({ title: Schema.String, minutes: Schema.Int, steps: Schema.Array(Schema.String) })
const recipe = { title: "Pancakes", minutes: 20, steps: ["Mix.", "Fry."] }
const pieces = ['{"title":"Pan', 'cakes","minutes":2', '0,"steps":["Mi', 'x.","Fry."]}']

const run = (provider: Provider.Provider, schema = Recipe) =>
  Provider.streamObject(request, schema).pipe(Stream.provideService(Provider.Provider, provider))

describe.each(serverNames)("%s", (server) => {
  const connect = (script: Parameters<typeof start>[1]) => start({ provider: server, client: "undici" }, script)

  it.live("emits parts, and then the value", () =>
    Effect.gen(function* () {
      const delay = { between: 20 }
      const { provider, server: fake } = yield* connect({ pieces, delay })
      const elements = yield* Stream.runCollect(run(provider))
      expect(elements.at(-1)).toEqual({ isFinal: true, value: recipe })
      expect(elements.slice(0, -1)).toEqual([
        { isFinal: false, value: { title: "Pan" } },
        { isFinal: false, value: { title: "Pancakes" } },
        { isFinal: false, value: { title: "Pancakes", minutes: 20, steps: ["Mi"] } },
        { isFinal: false, value: recipe }
      ])
      const sent = JSON.stringify((yield* fake.state).requests[0]?.body)
      expect(sent).toContain('"steps":{')
    })
  )

  it.live("stops generating when the consumer has seen enough", () =>
    Effect.gen(function* () {
      const { provider, server: fake } = yield* connect({ pieces, delay: { between: "1 minute" } })
      expect(yield* Stream.runCollect(Stream.take(run(provider), 1))).toEqual([
        { isFinal: false, value: { title: "Pan" } }
      ])
      expect(yield* firstOutcome(fake)).toBe("cut-by-client")
    })
  )

  it.live("that is cut fails after its parts", () =>
    Effect.gen(function* () {
      const { provider } = yield* connect({ pieces: pieces.slice(0, 2), cut: { how: "close" } })
      const values: Array<unknown> = []
      const error = yield* run(provider).pipe(
        Stream.runForEach(({ isFinal, value }) => Effect.sync(() => values.push([isFinal, value]))),
        Effect.flip
      )
      expect(error.reason._tag).toBe("NetworkError")
      expect(values.at(-1)).toEqual([false, { title: "Pancakes" }])
    })
  )
})

it.effect("an answer at its limit is truncated, and names who answered", () =>
  Effect.gen(function* () {
    const mock = yield* MockProvider.make(['{"title":"Pan', { isFinal: true, finishReason: "length" }])
    const pool = yield* Pool.make({ name: "pool", hosts: [{ provider: mock, name: "gpu-1" }] })
    const error = yield* Effect.flip(Stream.runDrain(run(pool)))
    expect(error).toMatchObject({ provider: "gpu-1", reason: { _tag: "InvalidAnswer", isTruncated: true } })
    expect(JSON.stringify(error)).not.toContain("Pan")
  })
)

it.effect("each run is a new request, and a failure is passed on", () =>
  Effect.gen(function* () {
    const mock = yield* MockProvider.make(() => [...pieces.slice(0, 1), MockProvider.fail(new NetworkError({}))])
    const stream = run(mock)
    for (let i = 0; i < 2; i++) expect((yield* Effect.flip(Stream.runDrain(stream))).reason._tag).toBe("NetworkError")
    expect((yield* mock.requests).length).toBe(2)
  })
)

it.effect("what the compiler would reject is an error", () =>
  Effect.gen(function* () {
    const mock = yield* MockProvider.make(pieces)
    const wrong: { readonly schema: typeof Recipe } = JSON.parse('{"schema":{"type":"object"}}')
    const error = yield* Effect.flip(Stream.runDrain(run(mock, wrong.schema)))
    expect(error.reason).toMatchObject({ _tag: "InvalidRequest", field: "schema" })
    expect(yield* mock.requests).toEqual([])
  })
)
