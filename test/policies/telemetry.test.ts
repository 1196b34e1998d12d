/** Spans and metrics of requests. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Tracer from "effect/Tracer"
import type { CompletionRequest } from "../../src/CompletionRequest.ts"
import * as Fallback from "../../src/Fallback.ts"
import * as Hedge from "../../src/Hedge.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import * as Ollama from "../../src/Ollama.ts"
import * as Pool from "../../src/Pool.ts"
import * as Provider from "../../src/Provider.ts"
import * as Reasons from "../../src/ProviderError.ts"
import * as Retry from "../../src/Retry.ts"
import * as Telemetry from "../../src/Telemetry.ts"
import * as Thinking from "../../src/Thinking.ts"
import { FakeServer } from "../../src/testing/index.ts"
import { policies } from "../support/policies.ts"
import { request, serverNames, start } from "../support/setups.ts"

/** A tracer that keeps its spans. */
const makeTracer = () => {
  const spans: Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  const last = () => {
    const span = spans.at(-1)
    if (span === undefined) throw new Error("no span")
    const attributes: Readonly<Record<string, unknown>> = Object.fromEntries(span.attributes)
    return { name: span.name, kind: span.kind, status: span.status._tag, ...attributes }
  }
  return { spans, tracer, last }
}

/** Runs an effect with a tracer and metrics of its own. */
const observed = <A, E>(effect: Effect.Effect<A, E>) => {
  const tracer = makeTracer()
  return Effect.gen(function* () {
    const exit = yield* Effect.exit(effect)
    const metrics = yield* Metric.snapshot
    return { ...tracer, exit, metrics }
  }).pipe(Effect.provideService(Tracer.Tracer, tracer.tracer), Effect.provideService(Metric.MetricRegistry, new Map()))
}

const secret = "a-secret-text"

const script: MockProvider.Script = [
  MockProvider.wait("2 seconds"),
  "Sun",
  MockProvider.wait("1 second"),
  "light",
  MockProvider.wait("1 second"),
  {
    isFinal: true,
    model: "m:latest",
    responseId: "r1",
    usage: { promptTokens: 10, completionTokens: 5, totalTokens: 15, cachedTokens: 4, reasoningTokens: 2 },
    timings: { load: Duration.seconds(90) }
  }
]

const mock = (script: MockProvider.Script) => Effect.map(MockProvider.make(script), (mock) => Telemetry.apply(mock))

/** Runs with the test's clock, which passes by. */
const inTime = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(effect)
    yield* TestClock.adjust("10 seconds")
    return yield* Fiber.join(fiber)
  })

const histogramOf = (metrics: ReadonlyArray<Metric.Metric.Snapshot>, id: string, type?: string) => {
  const found = metrics.find(
    (metric) => metric.id === id && (type === undefined || metric.attributes?.["gen_ai.token.type"] === type)
  )
  if (found?.type !== "Histogram") throw new Error(`no histogram ${id}`)
  const { buckets, count, sum } = found.state
  return { bounds: buckets.map(([bound]) => bound), count, sum, attributes: found.attributes }
}

it.effect("a span and metrics of an answer", () =>
  Effect.gen(function* () {
    // The attributes when the request is sent.
    let atStart: object = {}
    const provider = Telemetry.apply(
      Provider.make({
        ...(yield* MockProvider.make(script)),
        stream: (request) =>
          Stream.unwrap(
            Effect.gen(function* () {
              const mock = yield* MockProvider.make(script)
              const span = yield* Effect.orDie(Effect.currentSpan)
              atStart = Object.fromEntries(span.attributes)
              return mock.stream(request)
            })
          )
      })
    )
    const ask = { model: "m", prompt: "Once", temperature: 0.5, topP: 0.9, stop: ["X"], seed: 7, maxTokens: 9 } as const
    const { last, metrics, spans } = yield* observed(inTime(provider.complete(ask)))
    const atItsStart = {
      "gen_ai.operation.name": "text_completion",
      "gen_ai.provider.name": "Mock",
      "gen_ai.request.model": "m",
      "gen_ai.request.stream": true,
      "gen_ai.output.type": "text",
      "gen_ai.request.temperature": 0.5,
      "gen_ai.request.top_p": 0.9,
      "gen_ai.request.stop_sequences": ["X"],
      "gen_ai.request.seed": 7,
      "gen_ai.request.max_tokens": 9
    }
    expect(spans.length).toBe(1)
    expect(atStart).toEqual(atItsStart)
    expect(last()).toEqual({
      name: "text_completion m",
      kind: "client",
      status: "Ended",
      ...atItsStart,
      "gen_ai.response.model": "m:latest",
      "gen_ai.response.id": "r1",
      "gen_ai.response.finish_reasons": ["stop"],
      "gen_ai.response.time_to_first_chunk": 2,
      "gen_ai.usage.input_tokens": 10,
      "gen_ai.usage.output_tokens": 5,
      "gen_ai.usage.cache_read.input_tokens": 4,
      "gen_ai.usage.reasoning.output_tokens": 2
    })

    const seconds = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, Infinity]
    const duration = histogramOf(metrics, "gen_ai.client.operation.duration")
    expect(duration).toEqual({
      bounds: seconds,
      count: 1,
      sum: 4,
      attributes: {
        "gen_ai.operation.name": "text_completion",
        "gen_ai.provider.name": "Mock",
        "gen_ai.request.model": "m",
        "gen_ai.response.model": "m:latest",
        unit: "s"
      }
    })
    expect(histogramOf(metrics, "gen_ai.client.operation.time_to_first_chunk")).toMatchObject({
      bounds: seconds,
      sum: 2
    })
    // Two seconds between the first chunk and the last of three.
    const perChunk = histogramOf(metrics, "gen_ai.client.operation.time_per_output_chunk")
    expect(perChunk).toMatchObject({ bounds: seconds, count: 1, sum: 1 })
    const powers = [
      1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864
    ]
    expect(histogramOf(metrics, "gen_ai.client.token.usage", "input")).toMatchObject({
      bounds: [...powers, Infinity],
      sum: 10,
      attributes: { unit: "{token}" }
    })
    expect(histogramOf(metrics, "gen_ai.client.token.usage", "output")).toMatchObject({ sum: 5 })
    expect(histogramOf(metrics, "effect_local_llm.client.load.duration")).toMatchObject({ count: 1, sum: 90 })
  })
)

it.effect("a failure after text, a failure before it, an interruption, and a part that is taken", () =>
  Effect.gen(function* () {
    const chat: CompletionRequest = { model: "m", messages: [{ role: "user", content: "Why?" }], format: "json" }
    const fail = MockProvider.fail(new Reasons.StreamTruncated())
    const after = yield* observed((yield* mock(["Sun", fail])).complete(chat))
    expect(after.last()).toMatchObject({
      name: "chat m",
      "error.type": "StreamTruncated",
      "gen_ai.output.type": "json",
      "gen_ai.response.time_to_first_chunk": 0
    })
    expect(histogramOf(after.metrics, "gen_ai.client.operation.duration").attributes).toMatchObject({
      "error.type": "StreamTruncated"
    })

    const before = yield* observed((yield* mock([fail])).complete(chat))
    expect(before.last()).not.toHaveProperty("gen_ai.response.time_to_first_chunk")
    expect(before.metrics.map(({ id }) => id)).toEqual(["gen_ai.client.operation.duration"])

    const hanging = yield* mock([MockProvider.hang])
    const interrupted = yield* observed(
      Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(hanging.complete(chat), { startImmediately: true })
        yield* TestClock.adjust("1 second")
        yield* Fiber.interrupt(fiber)
      })
    )
    expect(interrupted.last()).toMatchObject({ status: "Ended", "error.type": "interrupted" })

    const taken = yield* observed(Stream.runDrain(Stream.take((yield* mock(["a", "b", "c"])).stream(chat), 1)))
    expect(taken.last()).toMatchObject({ status: "Ended" })
    expect(taken.last()).not.toHaveProperty("error.type")
    expect(histogramOf(taken.metrics, "gen_ai.client.operation.duration").count).toBe(1)
  })
)

it.effect("inside of another policy, each attempt has a span that ends as the attempt does", () =>
  Effect.gen(function* () {
    const broken = yield* mock([MockProvider.fail(new Reasons.NetworkError({}))])
    const other = yield* mock(["Yes"])
    const { metrics, spans } = yield* observed(
      (yield* Fallback.make([{ provider: broken }, { provider: other }])).complete(request)
    )
    expect(spans.map(({ status }) => status._tag === "Ended" && status.exit._tag)).toEqual(["Failure", "Success"])
    expect(spans.map(({ attributes }) => attributes.get("error.type"))).toEqual(["NetworkError", undefined])
    expect(metrics.filter(({ id }) => id === "gen_ai.client.operation.duration").length).toBe(2)
  })
)

it.effect("the error of a consumer, which may quote the answer, is not in the span", () =>
  Effect.gen(function* () {
    const provider = yield* mock([secret, "b"])
    for (const end of [Effect.fail, Effect.die]) {
      const { exit, last, spans } = yield* observed(
        Stream.runForEach(provider.stream(request), ({ content }) => end(new Error(content)))
      )
      expect(String(exit._tag === "Failure" && Cause.pretty(exit.cause))).toContain(secret)
      expect(last()).toMatchObject({ status: "Ended", "error.type": "interrupted" })
      const status = spans[0]?.status
      const cause = status?._tag === "Ended" && status.exit._tag === "Failure" ? status.exit.cause : Cause.empty
      expect(cause.reasons.map(({ _tag }) => _tag)).toEqual(["Interrupt"])
    }
  })
)

it.effect("a provider of a program may have any text as its server", () =>
  Effect.gen(function* () {
    const provider = Telemetry.apply(Provider.make({ ...(yield* MockProvider.make(["Yes"])), server: "in process" }))
    const { last } = yield* observed(provider.complete(request))
    expect(last()).not.toHaveProperty("server.address")
  })
)

it.effect("an embedding, and a request that is invalid", () =>
  Effect.gen(function* () {
    const provider = yield* mock([])
    const embedding = yield* observed(provider.embed({ model: "m", input: ["a"] }))
    expect(embedding.last()).toMatchObject({ name: "embeddings m", "gen_ai.response.model": "m" })
    for (const invalid of [null, undefined, "Why?", { model: 5, messages: {} }]) {
      const { exit, last } = yield* observed(provider.complete(invalid as unknown as CompletionRequest))
      expect(exit._tag).toBe("Failure")
      expect(last()).toMatchObject({ name: "chat", "error.type": "InvalidRequest" })
    }
  })
)

const Place = Schema.Literals(["prompt", "system", "answer", "thinking", "error", "tool", "extra"])

it.effect.prop("no text of a prompt, an answer or an error is in a span or a metric", { place: Place }, ({ place }) =>
  Effect.gen(function* () {
    const at = (here: typeof place) => (here === place ? secret : "other")
    const provider = yield* mock([
      { content: at("answer"), thinking: at("thinking") },
      { toolCalls: [{ id: "c", name: "f", arguments: { a: at("tool") } }] },
      ...(place === "error" ? [MockProvider.fail(new Reasons.StreamError({ description: secret }))] : [])
    ])
    const { metrics, spans } = yield* observed(
      provider.complete({
        model: "m",
        messages: [
          { role: "system", content: at("system") },
          { role: "user", content: at("prompt") }
        ],
        tools: [{ name: "f", description: at("tool") }],
        extra: { a: at("extra") }
      })
    )
    expect(spans.length).toBe(1)
    const span = spans[0]
    expect(JSON.stringify([span?.name, [...(span?.attributes ?? [])], span?.events, metrics])).not.toContain(secret)
  })
)

it.effect("an answer of one chunk has no time between chunks", () =>
  Effect.gen(function* () {
    const provider = yield* mock([MockProvider.wait("1 second"), { content: "Yes", isFinal: true }])
    const { metrics } = yield* observed(inTime(provider.complete(request)))
    expect(histogramOf(metrics, "gen_ai.client.operation.time_to_first_chunk")).toMatchObject({ count: 1, sum: 1 })
    expect(metrics.map(({ id }) => id)).not.toContain("gen_ai.client.operation.time_per_output_chunk")
  })
)

it.effect("a name that is configured, and the port where the address has none", () =>
  Effect.gen(function* () {
    const mocked = yield* MockProvider.make([])
    for (const [server, port] of [
      ["http://gpu-1", 80],
      ["https://gpu-1/v1", 443],
      ["http://gpu-1:8080", 8080]
    ] as const) {
      const provider = Provider.make({
        ...mocked,
        server,
        embed: () => Effect.succeed({ model: "m", vectors: [[1]], promptTokens: 7 })
      })
      const traced = Telemetry.apply(provider, { providerName: "ours" })
      const { last, metrics } = yield* observed(traced.embed({ model: "m", input: "a" }))
      const common = { "gen_ai.provider.name": "ours", "server.address": "gpu-1" }
      expect(last()).toMatchObject({ ...common, "server.port": port, "gen_ai.usage.input_tokens": 7 })
      const tokens = histogramOf(metrics, "gen_ai.client.token.usage", "input")
      expect(tokens).toMatchObject({ sum: 7, attributes: { ...common, "server.port": String(port) } })
    }
  })
)

it.effect("a defect is told apart from an interruption, and a truncated prompt is reported", () =>
  Effect.gen(function* () {
    const mocked = yield* MockProvider.make([])
    const broken = Telemetry.apply(Provider.make({ ...mocked, stream: () => Stream.die(new Error(secret)) }))
    expect((yield* observed(broken.complete(request))).last()).toMatchObject({ "error.type": "defect" })
    const truncated = yield* mock([{ isFinal: true, promptTruncated: true }])
    expect((yield* observed(truncated.complete(request))).last()).toMatchObject({
      "effect_local_llm.prompt_truncated": true
    })
  })
)

it.effect("a span that a provider makes for an embedding is below the one of the policy", () =>
  Effect.gen(function* () {
    const mocked = yield* MockProvider.make([])
    const provider = Provider.make({
      ...mocked,
      embed: (input) => Effect.withSpan(mocked.embed(input), "inner")
    })
    const { spans } = yield* observed(Telemetry.apply(provider).embed({ model: "m", input: "a" }))
    const [outer, inner] = spans
    expect([outer?.name, inner?.name]).toEqual(["embeddings m", "inner"])
    expect(inner?.parent?._tag === "Some" && inner.parent.value.spanId).toBe(outer?.spanId)
  })
)

it.effect("a policy inside adds who answered", () =>
  Effect.gen(function* () {
    const broken = yield* MockProvider.make([MockProvider.fail(new Reasons.NetworkError({}))], { name: "A" })
    const other = yield* MockProvider.make(["Yes"], { name: "B" })
    const provider = Telemetry.apply(yield* Fallback.make([{ provider: broken }, { provider: other }]))
    const { last, spans } = yield* observed(provider.complete(request))
    expect(spans.length).toBe(1)
    expect(last()).toMatchObject({ "gen_ai.provider.name": "Fallback", "effect_local_llm.provider": "B" })
  })
)

describe("who answered", () => {
  const fallback = (provider: Provider.Provider) => Fallback.make([{ provider }])
  const around: {
    readonly [name: string]: (pool: Provider.Provider) => Effect.Effect<Provider.Provider, Reasons.ProviderError>
  } = {
    "a pool": Effect.succeed,
    "Retry around a pool": (pool) => Effect.succeed(Retry.apply(pool)),
    "Thinking around a pool": (pool) => Effect.succeed(Thinking.apply(pool)),
    "Fallback around a pool": fallback,
    "Hedge around a pool": (pool) => Hedge.make(pool),
    "all around a pool": (pool) => Effect.flatMap(Hedge.make(pool), (hedge) => fallback(Retry.apply(hedge)))
  }

  /** The first request fails on the first host. */
  const makePool = (script: MockProvider.Script) =>
    Effect.gen(function* () {
      const broken = yield* MockProvider.make([MockProvider.fail(new Reasons.NetworkError({}))], { name: "gpu-1" })
      const other = yield* MockProvider.make(script, { name: "mock" })
      const refuse = () =>
        Effect.fail(new Reasons.ProviderError({ provider: "", reason: new Reasons.NetworkError({}) }))
      return yield* Pool.make({
        hosts: [
          { provider: { ...broken, embed: refuse }, name: "gpu-1" },
          { provider: other, name: "gpu-2" }
        ]
      })
    })

  it.effect.each(Object.entries(around))("%s: it is the host, in the span and in the answer", ([, wrap]) =>
    Effect.gen(function* () {
      for (let i = 0; i < 4; i++) {
        const provider = Telemetry.apply(yield* wrap(yield* makePool(["Yes"])))
        const { exit, last } = yield* observed(provider.complete(request))
        expect(exit).toMatchObject({ value: { provider: "gpu-2" } })
        expect(last()).toMatchObject({ "effect_local_llm.provider": "gpu-2" })
        const embedding = yield* observed(provider.embed({ model: "m", input: "a" }))
        expect(embedding.exit).toMatchObject({ value: { provider: "gpu-2" } })
        expect(embedding.last()).toMatchObject({ "effect_local_llm.provider": "gpu-2" })
      }
    }).pipe(Effect.scoped)
  )

  it.effect.each(Object.entries(around))(
    "%s: it is the host of an answer that fails later, or is given up",
    ([, wrap]) =>
      Effect.gen(function* () {
        const failing = Telemetry.apply(
          yield* wrap(yield* makePool(["Yes", MockProvider.fail(new Reasons.StreamError({}))]))
        )
        expect((yield* observed(failing.complete(request))).last()).toMatchObject({
          "error.type": "StreamError",
          "effect_local_llm.provider": "gpu-2"
        })
        const hanging = Telemetry.apply(yield* wrap(yield* makePool(["Yes", MockProvider.hang])))
        const { last } = yield* observed(Stream.runDrain(Stream.take(hanging.stream(request), 1)))
        expect(last()).toMatchObject({ "effect_local_llm.provider": "gpu-2" })
      }).pipe(Effect.scoped)
  )

  it.effect("nobody, if nobody answered", () =>
    Effect.gen(function* () {
      const pool = yield* makePool([MockProvider.fail(new Reasons.NetworkError({}))])
      const { last } = yield* observed(Telemetry.apply(yield* fallback(pool)).complete(request))
      expect(last()).not.toHaveProperty(["effect_local_llm.provider"])
    }).pipe(Effect.scoped)
  )
})

describe("the kind of server", () => {
  const kinds = {
    Ollama: "ollama",
    "LM Studio": "lmstudio",
    "llama-server": "llama-server",
    "OpenAI-compatible server": "OpenAI-compatible server"
  } as const

  const wraps: { readonly [name: string]: (p: Provider.Provider) => ReturnType<(typeof policies)[string]> } = {
    none: (provider) => Effect.succeed(provider),
    ...policies
  }

  it.live.each(
    Object.entries(wraps).flatMap(([policy, wrap]) => serverNames.map((server) => [policy, server, wrap] as const))
  )("policy %s, %s: whatever the name", ([, server, wrap]) =>
    Effect.gen(function* () {
      const running = yield* start({ provider: server, client: "undici" }, { text: "Yes" }, { name: "gpu-1" })
      const provider = Telemetry.apply(yield* wrap(running.provider))
      const { last, metrics } = yield* observed(provider.complete(request))
      expect(last()).toMatchObject({ "gen_ai.provider.name": kinds[server] })
      for (const { attributes, id } of metrics) {
        if (id.startsWith("gen_ai")) expect(attributes).toMatchObject({ "gen_ai.provider.name": kinds[server] })
      }
    }).pipe(Effect.scoped)
  )

  it.effect("several kinds have none in common, and `providerName` replaces it", () =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make(["Hi"])
      const one = { ...mock, kind: "ollama" }
      const two = { ...mock, kind: "lmstudio" }
      for (const [provider, options, name] of [
        [yield* Fallback.make([{ provider: one }, { provider: one }]), {}, "ollama"],
        [yield* Fallback.make([{ provider: one }, { provider: two }]), {}, "Fallback"],
        [yield* Fallback.make([{ provider: one }, { provider: mock }]), {}, "Fallback"],
        [one, { providerName: "mine" }, "mine"]
      ] as const) {
        const { last } = yield* observed(Telemetry.apply(provider, options).complete(request))
        expect(last()).toMatchObject({ "gen_ai.provider.name": name })
      }
    })
  )
})

describe("names that servers and callers choose", () => {
  const long = "x".repeat(1_000_000)

  it.effect("are bounded in length, in spans and in metrics", () =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make([{ isFinal: true, model: long, responseId: long }], { name: long })
      const provider = Telemetry.apply(yield* Fallback.make([{ provider: mock }], { name: long }), {
        providerName: long
      })
      const { exit, metrics, spans } = yield* observed(
        provider.complete({ ...request, model: long, stop: Array.from({ length: 1000 }, () => long) })
      )
      expect(exit).toMatchObject({ value: { model: long } })
      expect(spans[0]?.name.length).toBeLessThan(300)
      expect(JSON.stringify([...(spans[0]?.attributes ?? [])]).length).toBeLessThan(10_000)
      expect(JSON.stringify(metrics.map(({ attributes }) => attributes)).length).toBeLessThan(10_000)
    })
  )

  it.effect("are not cut inside of a character", () =>
    Effect.gen(function* () {
      for (const prefix of ["", "a"]) {
        const mock = yield* MockProvider.make([{ isFinal: true, model: prefix + "😀".repeat(500) }])
        const { last } = yield* observed(Telemetry.apply(mock).complete(request))
        expect(last()).toMatchObject({ "gen_ai.response.model": expect.stringMatching(/^a?(😀)+…$/u) })
      }
    })
  )

  it.effect.each<readonly [string, (i: number) => readonly [request: string, answer: string]]>([
    ["of requests", (i: number) => [`model ${i}`, "m"]],
    ["of answers", (i: number) => ["m", `model ${i}`]],
    ["of both", (i: number) => [`model ${i}`, `model ${i}`]],
    ["of all pairs", (i: number) => [`model ${i % 150}`, `model ${Math.floor(i / 150)}`]]
  ])("are bounded in number, the first ones are kept: %s", ([, names]) =>
    Effect.gen(function* () {
      let i = 0
      const mock = yield* MockProvider.make(() => [{ isFinal: true, model: names(i)[1] }])
      const provider = Telemetry.apply(mock)
      const { metrics } = yield* observed(
        Effect.gen(function* () {
          for (; i < 1000; i++) yield* provider.complete({ ...request, model: names(i)[0] })
        })
      )
      const durations = metrics.filter(({ id }) => id === "gen_ai.client.operation.duration")
      expect(durations.length).toBeLessThan(950)
      expect(JSON.stringify(durations)).toContain("_OTHER")
      const first = durations.find(({ attributes }) => attributes?.["gen_ai.request.model"] === names(0)[0])
      expect(first?.attributes).toMatchObject({ "gen_ai.response.model": names(0)[1] })
    })
  )
})

describe.each(serverNames)("%s", (server) => {
  it.live("has the address of the server, and no span below", () =>
    Effect.gen(function* () {
      const running = yield* start({ provider: server, client: "undici" }, { text: "Yes" })
      const { last, spans } = yield* observed(Telemetry.apply(running.provider).complete(request))
      expect(spans.length).toBe(1)
      expect(last()).toMatchObject({
        "server.address": "127.0.0.1",
        "server.port": Number(new URL(running.server.url).port)
      })
      const name = expect.stringMatching(/^(ollama|lmstudio|llama-server|OpenAI-compatible server)$/)
      expect(last()).toMatchObject({ "gen_ai.provider.name": name })
      const { requests } = yield* running.server.state
      for (const { headers } of requests) expect(Object.keys(headers)).not.toContain("traceparent")
    })
  )
})

it.live("the trace is sent if that is requested", () =>
  Effect.gen(function* () {
    const server = yield* FakeServer.make({ text: "Yes" })
    const layer = Telemetry.layer().pipe(
      Layer.provide(Ollama.layer({ baseUrl: server.url, traceHeaders: true })),
      Layer.provide(NodeHttpClient.layerUndici)
    )
    const ask = Effect.provide(
      Provider.Provider.use(({ complete }) => complete(request)),
      layer
    )
    const { spans } = yield* observed(ask)
    const { requests } = yield* server.state
    expect(requests.at(-1)?.headers["traceparent"]).toBe(`00-${spans[0]?.traceId}-${spans[0]?.spanId}-01`)
  })
)
