/** One rule for wrong options: whatever takes options, the error is `InvalidRequest` and names the option. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Discovery from "../../src/Discovery.ts"
import * as Accounting from "../../src/Accounting.ts"
import * as Cache from "../../src/Cache.ts"
import * as Fallback from "../../src/Fallback.ts"
import * as Hedge from "../../src/Hedge.ts"
import * as Limit from "../../src/Limit.ts"
import * as LlamaServer from "../../src/LlamaServer.ts"
import * as LmStudio from "../../src/LmStudio.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import * as Ollama from "../../src/Ollama.ts"
import * as OpenAiCompatible from "../../src/OpenAiCompatible.ts"
import * as Pool from "../../src/Pool.ts"
import * as Provider from "../../src/Provider.ts"
import type { ProviderError } from "../../src/ProviderError.ts"
import * as Race from "../../src/Race.ts"
import * as Retry from "../../src/Retry.ts"
import * as StreamResponse from "../../src/StreamResponse.ts"
import * as Telemetry from "../../src/Telemetry.ts"
import * as Thinking from "../../src/Thinking.ts"

type Failure = Effect.Effect<unknown, unknown, Scope.Scope | HttpClient.HttpClient>

/** A value that the compiler would reject, as programs without types and configurations have it. */
const untyped = (value: unknown): never => value as never

const mock = MockProvider.make(["Hi"])

const request = { model: "m", prompt: "x" } as const

/** Every operation fails. */
const use = (provider: Provider.Provider): ReadonlyArray<Effect.Effect<unknown, ProviderError>> => [
  Stream.runDrain(provider.stream(request)),
  provider.complete(request),
  provider.embed({ model: "m", input: "a" }),
  provider.listModels,
  provider.model("m"),
  provider.supportsModel("m")
]

const allOf = (provider: Provider.Provider): Failure =>
  Effect.flatMap(Effect.forEach(use(provider), Effect.flip), ([first]) => Effect.fail(first))

const built = <E, R>(layer: Layer.Layer<Provider.Provider, E, R>) => Layer.build(layer)

const policyLayer = (layer: Layer.Layer<Provider.Provider, unknown, Provider.Provider>): Failure =>
  Effect.flatMap(Layer.build(Layer.provide(layer, MockProvider.layer(["Hi"]))), (context) =>
    allOf(Context.get(context, Provider.Provider))
  )

const applied = (apply: (provider: Provider.Provider) => Provider.Provider): Failure =>
  Effect.flatMap(mock, (mock) => allOf(apply(mock)))

const host = Effect.map(mock, (provider) => ({ provider }))

type Row = readonly [options: unknown, field: string]

const keys: ReadonlyArray<Row> = [
  [{ misspelt: 1 }, "misspelt"],
  [{ misspelt: undefined }, "misspelt"],
  [null, "options"],
  ["text", "options"],
  [5, "options"],
  [[], "options"]
]

/** Effect reads all of these as zero. */
const noDurations: ReadonlyArray<unknown> = ["soon", NaN, -1, { secnds: 5 }, { seconds: NaN }, {}, [NaN, 0]]

const names: ReadonlyArray<Row> = [5, "", "  ", null, {}].map((name) => [{ name }, "name"])

const server: ReadonlyArray<Row> = [
  ...keys,
  ...names,
  [{ baseUrl: 5 }, "baseUrl"],
  [{ baseUrl: "" }, "baseUrl"],
  [{ token: "SECRET" }, "token"],
  [{ headers: 5 }, "headers"],
  [{ headers: new Map([["a", "b"]]) }, "headers"],
  [{ traceHeaders: "yes" }, "traceHeaders"],
  [{ maxLineBytes: 0 }, "maxLineBytes"],
  [{ maxLineBytes: "8" }, "maxLineBytes"],
  [{ maxLineBytes: 1.5 }, "maxLineBytes"],
  [{ deadlines: { idle: -1 } }, "deadlines.idle"],
  [{ deadlines: { idel: 1 } }, "deadlines.idel"],
  [{ defaults: { temperature: 3 } }, "defaults.temperature"],
  [{ defaults: { temprature: 1 } }, "defaults.temprature"]
]

const retry: ReadonlyArray<Row> = [
  ...keys,
  ...[0, -1, 1.5, NaN, "3", null].map((attempts): Row => [{ attempts }, "attempts"]),
  [{ schedule: "1 second" }, "schedule"],
  ...noDurations.map((maxRetryAfter): Row => [{ maxRetryAfter }, "maxRetryAfter"]),
  [{ budget: 3 }, "budget"],
  ...[NaN, -1, "1"].flatMap((value): ReadonlyArray<Row> => [
    [{ budget: { floor: value } }, "budget.floor"],
    [{ budget: { share: value } }, "budget.share"]
  ]),
  [{ budget: { flor: 1 } }, "budget.flor"]
]

const hedge: ReadonlyArray<Row> = [
  ...keys,
  ...noDurations.map((minDelay): Row => [{ minDelay }, "minDelay"]),
  ...[NaN, -1, "1"].map((share): Row => [{ share }, "share"]),
  [{ isLoaded: true }, "isLoaded"],
  [{ alternatives: {} }, "alternatives"],
  [{ alternatives: [undefined] }, "alternatives[0]"],
  [{ alternatives: [{}] }, "alternatives[0]"]
]

const thinking: ReadonlyArray<Row> = [
  ...keys,
  [{ open: 5 }, "open"],
  [{ open: "" }, "open"],
  [{ close: "" }, "close"],
  [{ startsInside: "no" }, "startsInside"]
]

const telemetry: ReadonlyArray<Row> = [
  ...keys,
  [{ providerName: 5 }, "providerName"],
  [{ providerName: "" }, "providerName"]
]

const candidates: ReadonlyArray<Row> = [
  [[], "candidates"],
  [undefined, "candidates"],
  [{}, "candidates"],
  [[{}], "candidates[0].provider"],
  [[null], "candidates[0]"]
]

const pool: ReadonlyArray<Row> = [
  ...keys,
  ...names,
  ...[0, 1.5, NaN, Infinity, "4"].map((permits): Row => [{ permits }, "permits"]),
  ...[-1, 1.5, NaN].map((maxWaiting): Row => [{ maxWaiting }, "maxWaiting"]),
  ...noDurations.map((abandonedFor): Row => [{ abandonedFor }, "abandonedFor"]),
  [{ defaults: { topP: 2 } }, "defaults.topP"]
]

const streamResponse: ReadonlyArray<Row> = [
  ...keys,
  ...noDurations.map((keepAlive): Row => [{ keepAlive }, "keepAlive"]),
  [{ encode: 5 }, "encode"]
]

const probe: ReadonlyArray<Row> = [
  ...keys,
  ...noDurations.map((timeLimit): Row => [{ timeLimit }, "timeLimit"]),
  [{ defaults: { topP: 2 } }, "defaults.topP"]
]

const address: ReadonlyArray<Row> = [5, "", " "].map((url) => [{ url }, "url"])

const urls: ReadonlyArray<Row> = [{ ollama: 5 }, { ollama: "" }, { olama: "gpu-1" }, { toString: "gpu-1" }, []].map(
  (urls) => [{ urls }, "urls"]
)

const kinds: ReadonlyArray<Row> = ["olama", "toString", ["ollama"], null, undefined].map((kind) => [kind, "kind"])

/** What is neither a `Config` nor an object of them. */
const unwrapped: ReadonlyArray<Row> = [
  ...[null, "text", "", [], 5, () => ({})].map((options): Row => [options, "options"]),
  ...["text", 5, null, []].flatMap((value): ReadonlyArray<Row> => [
    [{ name: value }, "name"],
    [{ defaults: value }, "defaults"],
    [{ defaults: { model: value } }, "defaults.model"],
    [{ defaults: { model: Config.succeed("m"), deadlines: { idle: value } } }, "defaults.deadlines.idle"]
  ])
]

const withHosts = (options: unknown) =>
  Effect.map(host, (host) =>
    untyped(
      typeof options === "object" && options !== null && !Array.isArray(options)
        ? { hosts: [host], ...options }
        : options
    )
  )

const chunks = Stream.die("nothing of it is run")

const tables: { readonly [name: string]: readonly [(options: never) => Failure, ReadonlyArray<Row>] } = {
  "Ollama.make": [Ollama.make, server],
  "Ollama.layer": [(options) => built(Ollama.layer(options)), server],
  "LmStudio.make": [LmStudio.make, server],
  "LlamaServer.make": [LlamaServer.make, server],
  "OpenAiCompatible.make": [
    OpenAiCompatible.make,
    [
      ...server,
      [{ dialect: 5 }, "dialect"],
      [{ dialect: { think: "maybe" } }, "dialect.think"],
      [{ dialect: { jsonFromat: "json_object" } }, "dialect.jsonFromat"]
    ]
  ],
  "OpenAiCompatible.layer": [(options) => built(OpenAiCompatible.layer(options)), server],
  "MockProvider.make": [
    (options) => MockProvider.make(["Hi"], options),
    [
      ...keys,
      ...names,
      [{ models: "m" }, "models"],
      [{ models: [5] }, "models[0]"],
      [{ embed: [1] }, "embed"],
      [{ deadlines: { total: 0 } }, "deadlines.total"],
      [{ defaults: { topP: 2 } }, "defaults.topP"]
    ]
  ],
  "Retry.apply": [(options) => applied((mock) => Retry.apply(mock, options)), retry],
  "Retry.layer": [(options) => policyLayer(Retry.layer(options)), retry],
  "Hedge.make": [(options) => Effect.flatMap(mock, (mock) => Hedge.make(mock, options)), hedge],
  "Hedge.layer": [(options) => policyLayer(Hedge.layer(options)), hedge],
  "Race.make": [
    (options) => Effect.flatMap(mock, (provider) => Race.make([{ provider }], options)),
    [...keys, ...names]
  ],
  "Race.make, candidates": [(candidates) => Race.make(candidates), candidates],
  "Limit.make": [
    (options) => Effect.flatMap(mock, (mock) => Limit.make(mock, options)),
    [
      ...keys.filter(([options]) => options === null || typeof options !== "object" || Array.isArray(options)),
      [{ limits: { requestsAtOnce: 0 } }, "limits.requestsAtOnce"],
      [{ limits: 5 }, "limits"],
      [{ limits: {}, key: "a" }, "key"],
      [{ limits: {}, onExceeded: "drop" }, "onExceeded"],
      [{ limits: {}, limiter: {} }, "limiter"],
      [{ limits: {}, limitz: {} }, "limitz"]
    ]
  ],
  "Limit.layer": [(options) => policyLayer(Limit.layer(options)), [[{ limits: 5 }, "limits"]]],
  "Accounting.make": [
    (options) => Effect.flatMap(mock, (mock) => Accounting.make(mock, options)),
    [...keys, [{ key: "a" }, "key"], [{ onUsage: 1 }, "onUsage"], [{ maxSeries: 0 }, "maxSeries"]]
  ],
  "Accounting.layer": [(options) => policyLayer(Accounting.layer(options)), keys],
  "Cache.make": [
    (options) => Effect.flatMap(mock, (mock) => Cache.make(mock, options)),
    [
      ...keys,
      [{ store: {} }, "store"],
      [{ maxEntries: 0 }, "maxEntries"],
      [{ maxBytes: -1 }, "maxBytes"],
      [{ maxEntryBytes: 1.5 }, "maxEntryBytes"],
      ...noDurations.map((timeToLive): Row => [{ timeToLive }, "timeToLive"]),
      [{ defaults: { seed: 0.5 } }, "defaults.seed"]
    ]
  ],
  "Cache.layer": [(options) => policyLayer(Cache.layer(options)), keys],
  "Thinking.apply": [(options) => applied((mock) => Thinking.apply(mock, options)), thinking],
  "Thinking.layer": [(options) => policyLayer(Thinking.layer(options)), thinking],
  "Thinking.split": [(options) => Stream.runDrain(Thinking.split(chunks, options)), thinking],
  "Telemetry.apply": [(options) => applied((mock) => Telemetry.apply(mock, options)), telemetry],
  "Telemetry.layer": [(options) => policyLayer(Telemetry.layer(options)), telemetry],
  "Fallback.make": [
    (options) => Effect.flatMap(mock, (provider) => Fallback.make([{ provider }], options)),
    [...keys, ...names]
  ],
  "Fallback.layer": [
    (options) => policyLayer(Fallback.layer([{ provider: MockProvider.layer([]) }], options)),
    [...keys, ...names]
  ],
  "Fallback.make, candidates": [
    (candidates) => Fallback.make(candidates),
    [...candidates, [[{ provider: MockProvider, model: 5 }], "candidates[0].provider"]]
  ],
  "Fallback.layer, candidates": [(candidates) => policyLayer(Fallback.layer(candidates)), candidates],
  "Pool.make": [
    (options) => Effect.flatMap(withHosts(options), (options) => Pool.make(options)),
    [
      ...pool,
      [{ hosts: undefined }, "hosts"],
      [{ hosts: {} }, "hosts"],
      [{ hosts: [{}] }, "hosts[0].provider"],
      [{ hosts: [{ provider: Effect.succeed({}) }] }, "provider"]
    ]
  ],
  "Pool.layer": [(options) => Effect.flatMap(withHosts(options), (options) => built(Pool.layer(options))), pool],
  "Pool.make, a host": [
    (options: unknown) =>
      Effect.flatMap(host, (host) => Pool.make({ hosts: [host, untyped(Object.assign({ ...host }, options))] })),
    [
      [{ name: "" }, "hosts[1].name"],
      [{ permits: 0 }, "hosts[1].permits"],
      [{ oneModelAtATime: 1 }, "hosts[1].oneModelAtATime"],
      [{ permitz: 1 }, "hosts[1].permitz"],
      [{ provider: 5 }, "hosts[1].provider"]
    ]
  ],
  "Pool.add": [
    (options: unknown) =>
      Effect.flatMap(Effect.all([host, Pool.make({ hosts: [] })]), ([host, pool]) =>
        pool.add(untyped(Object.assign({ ...host }, options)))
      ),
    [
      [{ name: "" }, "name"],
      [{ permits: 0 }, "permits"],
      [{ permitz: 1 }, "permitz"]
    ]
  ],
  "Pool.layerConfig": [
    (options: object) => built(Pool.layerConfig(untyped(Config.succeed(options)))),
    [...pool, [{ urls: "gpu-1" }, "urls"], [{ token: "SECRET" }, "token"], [{ hosts: [] }, "hosts"]]
  ],
  "Pool.layerConfig, each option": [
    (options) => built(Pool.layerConfig(options)),
    [
      ...unwrapped,
      [{ url: Config.succeed(["gpu-1"]) }, "url"],
      ...["user:SECRET@gpu-1", "http://user:SECRET@gpu-1", "gpu-1/?key=SECRET", "ftp://SECRET"].map((url): Row => [
        { urls: Config.succeed(["gpu-1", url]) },
        "urls[1]"
      ])
    ]
  ],
  ...Object.fromEntries(
    Object.entries({ Ollama, LmStudio, LlamaServer, OpenAiCompatible }).map(([name, { layerConfig }]) => [
      `${name}.layerConfig`,
      [(options: never) => built<unknown, HttpClient.HttpClient>(layerConfig(options)), unwrapped] as const
    ])
  ),
  "StreamResponse.sse": [(options) => StreamResponse.sse(chunks, options), streamResponse],
  "StreamResponse.ndjson": [(options) => StreamResponse.ndjson(chunks, options), streamResponse],
  "StreamResponse.make": [
    (options: object) => StreamResponse.make(chunks, untyped({ ...makeOptions, ...options })),
    [
      [{ misspelt: 1 }, "misspelt"],
      [{ format: "xml" }, "format"],
      [{ format: undefined }, "format"],
      [{ encode: undefined }, "encode"],
      [{ onFailure: 5 }, "onFailure"],
      [{ keepAlive: "soon" }, "keepAlive"]
    ]
  ],
  "Discovery.discover": [
    (options) => Effect.flatMap(Discovery.discover(options), ({ failures: [first] }) => Effect.fail(first)),
    [...probe, ...urls]
  ],
  "Discovery.layer": [(options) => built(Discovery.layer(options)), [...probe, ...urls]],
  "Discovery.probe": [(options) => Discovery.probe("ollama", options), [...probe, ...address]],
  "Discovery.probe, a kind": [(kind) => Discovery.probe(kind), kinds],
  "Discovery.connect": [(options) => Discovery.connect("ollama", options), [...keys, ...address]],
  "Discovery.connect, a kind": [(kind) => Discovery.connect(kind), kinds]
}

const makeOptions = { format: "sse", encode: () => 1, onFailure: () => ({ status: 500, error: 1 }) }

describe.each(Object.entries(tables))("%s", (_, [run, rows]) => {
  it.effect.each(rows.map(([options, field]) => [JSON.stringify(options) ?? "undefined", field, options] as const))(
    "%s: %s",
    ([, field, options]) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(run(untyped(options)))
        expect(error).toMatchObject({ _tag: "ProviderError", reason: { _tag: "InvalidRequest", field } })
        expect(String(error)).toContain(field)
        expect(String(error)).not.toContain("SECRET")
      }).pipe(Effect.provide(NodeHttpClient.layerUndici), Effect.scoped)
  )
})

it.effect("a key that is unknown: the error lists those that are known", () =>
  Effect.gen(function* () {
    const provider = Retry.apply(yield* mock, untyped({ attempt: 2 }))
    expect((yield* Effect.flip(provider.listModels)).message).toMatch(
      /unknown option; the options are attempts, schedule, maxRetryAfter, budget/
    )
    const error = yield* Effect.flip(Pool.make(untyped({ hosts: [{ ...(yield* host), permit: 1 }] })))
    expect(error.message).toContain("the options are provider, name, permits, oneModelAtATime")
    const nested = Retry.apply(yield* mock, untyped({ budget: { flor: 2 } }))
    expect((yield* Effect.flip(nested.listModels)).message).toContain("the options are share, floor")
  }).pipe(Effect.scoped)
)

it.effect("the error has the name in the options, if that is a text", () =>
  Effect.gen(function* () {
    for (const [name, expected] of [
      ["gpu-1", "gpu-1"],
      [undefined, "LM Studio"],
      [" ", "LM Studio"],
      [5, "LM Studio"]
    ]) {
      const error = yield* Effect.flip(LmStudio.make(untyped({ name, maxLineBytes: 0 })))
      expect(error.provider).toBe(expected)
    }
  }).pipe(Effect.provide(NodeHttpClient.layerUndici))
)

it.effect("options without a value have their defaults, and numbers without a limit are allowed", () =>
  Effect.gen(function* () {
    const provider = yield* MockProvider.make(["Hi"], { name: undefined, models: undefined })
    for (const valid of [
      Retry.apply(provider, {
        attempts: Infinity,
        maxRetryAfter: Infinity,
        budget: { floor: Infinity, share: undefined }
      }),
      yield* Hedge.make(provider, { minDelay: Infinity, share: Infinity, alternatives: [] }),
      Thinking.apply(provider, { open: undefined }),
      Telemetry.apply(provider, { providerName: undefined }),
      yield* Fallback.make([{ provider, model: undefined }], { name: undefined })
    ]) {
      expect((yield* valid.complete(request)).content).toBe("Hi")
    }
    const names = { name: undefined, defaults: { model: undefined } }
    yield* Layer.build(Ollama.layerConfig(untyped(names)))
    const hosts = { urls: Config.succeed(["gpu-1", " "]), permits: Config.succeed(1) }
    yield* Layer.build(Pool.layerConfig(untyped({ ...names, ...hosts })))
    for (const abandonedFor of [0, 1.5, 5n, "1 second", { seconds: 1, minutes: undefined }, [1, 0]] as const) {
      yield* Pool.make({ hosts: [], abandonedFor })
    }
    yield* Pool.make({ hosts: [], permits: undefined, maxWaiting: 0, abandonedFor: "0 millis" })
  }).pipe(Effect.provide(NodeHttpClient.layerUndici), Effect.scoped)
)
