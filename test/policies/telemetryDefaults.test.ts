/** Spans and metrics have the options with which a request is sent, also if they come from the defaults of a layer. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Tracer from "effect/Tracer"
import * as Fallback from "../../src/Fallback.ts"
import * as Hedge from "../../src/Hedge.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import * as Pool from "../../src/Pool.ts"
import * as Provider from "../../src/Provider.ts"
import type { ProviderError } from "../../src/ProviderError.ts"
import * as Retry from "../../src/Retry.ts"
import * as Telemetry from "../../src/Telemetry.ts"
import { FakeServer } from "../../src/testing/index.ts"
import * as Thinking from "../../src/Thinking.ts"
import { serverNames, servers } from "../support/setups.ts"

type AnyProvider = Layer.Layer<Provider.Provider, ProviderError>

/** The spans and the metrics of what runs with the provider of a layer, below a layer of telemetry. */
const observe = (
  provider: AnyProvider,
  run: (provider: Provider.Provider) => Effect.Effect<unknown, ProviderError>
) => {
  const spans: Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  return Effect.gen(function* () {
    yield* Effect.exit(Effect.flatMap(Provider.Provider, run))
    const attributes = spans.map((span) => Object.fromEntries([["name", span.name], ...span.attributes]))
    return { attributes, metrics: yield* Metric.snapshot }
  }).pipe(
    Effect.provide(Telemetry.layer().pipe(Layer.provide(provider))),
    Effect.provideService(Tracer.Tracer, tracer),
    Effect.provideService(Metric.MetricRegistry, new Map())
  )
}

const defaults = { model: "of-the-layer", temperature: 0.5, maxTokens: 7, stop: ["END"] }
const mock = (options: MockProvider.Options = {}): AnyProvider => MockProvider.layer(["Hi"], { defaults, ...options })
const messages = [{ role: "user", content: "Why?" }] as const

const sent = {
  name: "chat of-the-layer",
  "gen_ai.request.model": "of-the-layer",
  "gen_ai.request.temperature": 0.5,
  "gen_ai.request.max_tokens": 7,
  "gen_ai.request.stop_sequences": ["END"]
}

const poolOf = (options: Omit<Pool.Options, "hosts">, ...hosts: ReadonlyArray<MockProvider.Options>): AnyProvider =>
  Pool.layer({
    ...options,
    hosts: hosts.map((host, i) => ({ name: `host-${i}`, provider: MockProvider.make(["Hi"], host) }))
  })

const around: { readonly [name: string]: AnyProvider } = {
  "a provider": mock(),
  Retry: Retry.layer().pipe(Layer.provide(mock())),
  Thinking: Thinking.layer().pipe(Layer.provide(mock())),
  Hedge: Hedge.layer().pipe(Layer.provide(mock())),
  Fallback: Fallback.layer([{ provider: mock() }, { provider: mock({ defaults: { model: "other" } }) }]),
  "Fallback with a name of the model": Fallback.layer([
    { provider: mock({ defaults: { ...defaults, model: "other" } }), model: "of-the-layer" }
  ]),
  "a pool with defaults": poolOf({ defaults }, {}, { defaults: { model: "other" } }),
  "a pool of hosts with the same defaults": poolOf({}, { defaults }, { defaults }),
  "all of them": Fallback.layer([
    { provider: Retry.layer().pipe(Layer.provide(Hedge.layer()), Layer.provide(poolOf({ defaults }, {}))) }
  ])
}

it.effect.each(Object.entries(around))("%s", ([, provider]) =>
  Effect.gen(function* () {
    const chat = yield* observe(provider, ({ complete }) => complete({ messages }))
    expect(chat.attributes).toMatchObject([sent])
    for (const metric of chat.metrics.filter(({ id }) => id.startsWith("gen_ai."))) {
      expect(metric.attributes).toMatchObject({ "gen_ai.request.model": "of-the-layer" })
    }
    expect(chat.metrics.some(({ id }) => id === "gen_ai.client.operation.duration")).toBe(true)
    const own = yield* observe(provider, ({ complete }) => complete({ messages, temperature: 1 }))
    expect(own.attributes).toMatchObject([{ ...sent, "gen_ai.request.temperature": 1 }])
    const embedding = yield* observe(provider, ({ embed }) => embed({ input: "x" }))
    expect(embedding.attributes).toMatchObject([{ name: "embeddings of-the-layer" }])
    expect(embedding.attributes[0]).not.toHaveProperty(["gen_ai.request.temperature"])
  })
)

it.effect("hosts with different defaults have only the others", () =>
  Effect.gen(function* () {
    const pool = poolOf({}, { defaults }, { defaults: { ...defaults, model: "other" } })
    const { attributes } = yield* observe(pool, ({ complete }) => complete({ messages }))
    expect(attributes).toMatchObject([{ name: "chat", "gen_ai.request.temperature": 0.5 }])
    expect(attributes[0]).not.toHaveProperty(["gen_ai.request.model"])
    const named = yield* observe(pool, ({ complete }) => complete({ model: "own", messages }))
    expect(named.attributes).toMatchObject([{ name: "chat own", "gen_ai.request.model": "own" }])
  })
)

it.effect("what is not a request is no defect", () =>
  Effect.gen(function* () {
    for (const input of [undefined, null, 1, "x", [], { model: 3 }]) {
      // @ts-expect-error not a request
      const { attributes } = yield* observe(mock(), ({ complete }) => complete(input))
      expect(attributes).toMatchObject([{ "error.type": "InvalidRequest" }])
    }
  })
)

describe.each(serverNames)("%s", (name) => {
  it.live("the model of the attributes is that of the request that arrives", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ text: "Hi" })
      const live = servers[name]
        .layer({ baseUrl: server.url, defaults })
        .pipe(Layer.provide(NodeHttpClient.layerUndici))
      const { attributes } = yield* observe(live, ({ complete }) => complete({ messages }))
      const { requests } = yield* server.state
      expect(requests.at(-1)?.body).toMatchObject({ model: "of-the-layer" })
      expect(attributes).toMatchObject([sent])
    })
  )
})
