/** Which servers run here, over sockets. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { describe, expect, it, vi } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import * as Discovery from "../../src/Discovery.ts"
import * as Provider from "../../src/Provider.ts"
import { FakeServer } from "../../src/testing/index.ts"
import { serverNames, servers } from "../support/setups.ts"

// This machine may be busy with something else.
vi.setConfig({ testTimeout: 60_000 })

/** The rows of the servers that are looked for, in the order of preference. */
const local = serverNames.flatMap((name) => {
  const { identity, kind } = servers[name]
  return identity === undefined ? [] : [{ name, kind, identity }]
})
const order = Discovery.kinds

const rowOf = (kind: Discovery.Kind) => {
  const row = local.find((row) => row.kind === kind)
  if (row === undefined) throw new Error(`${kind} has no row in the table of servers`)
  return row
}
const identityOf = (kind: Discovery.Kind) => rowOf(kind).identity
const nameOf = (kind: Discovery.Kind) => rowOf(kind).name

/** Nothing listens there. */
const closed = "http://127.0.0.1:1"
const nowhere: Discovery.Options["urls"] = Object.fromEntries(order.map((kind) => [kind, closed]))

/** For servers that answer. This machine may be busy with something else. */
const timeLimit = "10 seconds"

const discover = (
  urls: Discovery.Options["urls"],
  env: Readonly<Record<string, string>> = {},
  options: Pick<Discovery.Options, "timeLimit"> = { timeLimit }
) =>
  Discovery.discover({ urls: { ...nowhere, ...urls }, ...options }).pipe(
    Effect.provide(NodeHttpClient.layerUndici),
    Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env }))),
    Effect.map(({ failures, found }) => ({
      failures,
      found: found.map(({ isConfigured, kind, provider }) => ({ kind, name: provider.name, isConfigured }))
    }))
  )

const environment = (env: Readonly<Record<string, string>>) =>
  Layer.merge(NodeHttpClient.layerUndici, ConfigProvider.layer(ConfigProvider.fromEnv({ env })))

const url = (script: FakeServer.Script) => Effect.map(FakeServer.make(script), ({ url }) => url)

it.live("finds every server at its usual address, in the order of preference", () =>
  Effect.gen(function* () {
    expect(order).toEqual(local.map(({ kind }) => kind))
    const addresses = yield* Effect.forEach(order, (kind) => url(identityOf(kind)))
    const { failures, found } = yield* discover(Object.fromEntries(order.map((kind, i) => [kind, addresses[i]])))
    expect(found).toEqual(order.map((kind) => ({ kind, name: nameOf(kind), isConfigured: false })))
    expect(failures).toEqual([])
  })
)

it.live("recognises each server at the usual address of each other", () =>
  Effect.gen(function* () {
    for (const expected of order) {
      for (const kind of order) {
        const { found } = yield* discover({ [expected]: yield* url(identityOf(kind)) })
        expect(found).toEqual([{ kind, name: nameOf(kind), isConfigured: false }])
      }
    }
  })
)

it.live("nothing runs", () =>
  Effect.gen(function* () {
    expect(yield* discover({})).toEqual({ found: [], failures: [] })
  })
)

it.live("another program is no model server", () =>
  Effect.gen(function* () {
    const program = yield* url(() => ({ status: 200, body: { status: "ok" } }))
    const page = yield* url(() => ({ status: 200, headers: { "content-type": "text/html" }, body: "<html></html>" }))
    expect(yield* discover({ ollama: program, lmstudio: page })).toEqual({ found: [], failures: [] })
  })
)

it.live("a server that an environment variable names comes first, and its failure is reported", () =>
  Effect.gen(function* () {
    const ollama = yield* url(identityOf("ollama"))
    const lmstudio = yield* url(identityOf("lmstudio"))
    const env = { LMSTUDIO_BASE_URL: `${lmstudio}/v1`, LLAMA_SERVER_URL: closed, OLLAMA_HOST: " " }
    const { failures, found } = yield* discover({ ollama }, env)
    expect(found).toEqual([
      { kind: "lmstudio", name: "LM Studio", isConfigured: true },
      { kind: "ollama", name: "Ollama", isConfigured: false }
    ])
    expect(failures).toMatchObject([{ provider: "llama-server", reason: { _tag: "NetworkError" } }])
  })
)

it.live("an invalid address is reported without quoting it", () =>
  Effect.gen(function* () {
    const { failures, found } = yield* discover({}, { OLLAMA_HOST: "http://user:secret@127.0.0.1:11434" })
    expect(found).toEqual([])
    expect(failures).toMatchObject([{ reason: { _tag: "InvalidRequest", field: "baseUrl" } }])
    expect(JSON.stringify(failures) + failures.map(({ message }) => message).join("")).not.toContain("secret")
  })
)

it.live(
  "a configured server that speaks the protocol without a name of its own is taken for what it is configured as",
  () =>
    Effect.gen(function* () {
      const proxy = yield* url(({ path }) =>
        path === "/v1/models" ? { status: 200, body: { data: [{ id: "m" }] } } : { status: 404, body: "" }
      )
      const { failures, found } = yield* discover({}, { LMSTUDIO_BASE_URL: proxy })
      expect(found).toEqual([{ kind: "lmstudio", name: "LM Studio", isConfigured: true }])
      expect(failures).toEqual([])
    })
)

it.effect("a server that is silent neither hides the others nor makes the search longer than its limit", () =>
  Effect.gen(function* () {
    const silent = yield* FakeServer.make(FakeServer.silence)
    const ollama = yield* FakeServer.make(identityOf("ollama"))
    const urls = { ollama: ollama.url, lmstudio: silent.url }
    const fiber = yield* Effect.forkChild(discover(urls, { LLAMA_SERVER_URL: silent.url }, {}))
    yield* silent.until(({ requests }) => requests.length >= 6)
    // The search for Ollama needs no clock, only some turns of the event loop after its answers.
    yield* ollama.until(
      ({ requests }) => requests.length > 0 && requests.every(({ outcome }) => outcome !== "answering")
    )
    yield* Effect.repeat(
      Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 5))),
      { times: 10 }
    )
    yield* TestClock.adjust("250 millis")
    yield* silent.until(({ requests }) => requests.some(({ path }) => path === "/v1/models"))
    yield* TestClock.adjust("250 millis")
    const { failures, found } = yield* Fiber.join(fiber)
    expect(found.map(({ kind }) => kind)).toEqual(["ollama"])
    expect(failures).toMatchObject([{ provider: "llama-server", reason: { _tag: "Timeout" } }])
    yield* silent.until(({ requests }) => requests.every(({ outcome }) => outcome === "cut-by-client"))
  })
)

it.live("as a layer: the first server, or an error that says what to do", () =>
  Effect.gen(function* () {
    const build = (urls: Discovery.Options["urls"]) =>
      Layer.build(Discovery.layer({ urls: { ...nowhere, ...urls }, timeLimit })).pipe(
        Effect.provide(NodeHttpClient.layerUndici),
        Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: { LLAMA_SERVER_URL: closed } })))
      )
    const context = yield* build({ lmstudio: yield* url(identityOf("lmstudio")) })
    expect(Context.get(context, Provider.Provider).name).toBe("LM Studio")
    const error = yield* Effect.flip(build({}))
    expect(error.message).toMatch(/OLLAMA_HOST/)
    expect(error.message).toContain("llama-server (http://127.0.0.1:1): the connection failed")
  })
)

it.live("its providers have the defaults", () =>
  Effect.gen(function* () {
    const server = yield* FakeServer.make(({ path }) =>
      path === "/api/chat" ? { text: "Hello." } : { status: 200, body: { version: "0.33.0" } }
    )
    const urls = { ...nowhere, ollama: server.url }
    const layer = Discovery.layer({ urls, timeLimit, defaults: { model: "m", temperature: 0.5 } }).pipe(
      Layer.provide(NodeHttpClient.layerUndici)
    )
    const ask = Provider.Provider.use(({ complete }) => complete({ messages: [{ role: "user", content: "Hi" }] }))
    yield* Effect.provide(ask, layer)
    const { requests } = yield* server.state
    expect(requests.at(-1)?.body).toMatchObject({ model: "m", options: { temperature: 0.5 } })
  })
)

it.live("a server that is found at two addresses of the search occurs once", () =>
  Effect.gen(function* () {
    const server = yield* url(identityOf("lmstudio"))
    const { found } = yield* discover({ lmstudio: server }, { OLLAMA_HOST: server })
    expect(found).toEqual([{ kind: "lmstudio", name: "LM Studio", isConfigured: true }])
  })
)

it.live("a token alone means that its server is expected at the usual address", () =>
  Effect.gen(function* () {
    const env = { LM_API_TOKEN: "token" }
    const { isConfigured, provider } = yield* Discovery.connect("lmstudio").pipe(Effect.provide(environment(env)))
    expect({ isConfigured, server: provider.server }).toEqual({ isConfigured: true, server: "http://127.0.0.1:1234" })
  })
)

it.effect("options that are invalid are a failure", () =>
  Effect.gen(function* () {
    const wrong: ReadonlyArray<readonly [Discovery.Options, field: string]> = [
      // @ts-expect-error no duration
      [{ timeLimit: "zzz" }, "timeLimit"],
      [{ timeLimit: Number.NaN }, "timeLimit"],
      // @ts-expect-error no address
      [{ urls: { ollama: 11434 } }, "urls"],
      // @ts-expect-error no object
      [{ urls: "http://127.0.0.1" }, "urls"],
      // @ts-expect-error no options
      [null, "options"]
    ]
    for (const [options, field] of wrong) {
      const { failures, found } = yield* Discovery.discover(options)
      expect(found).toEqual([])
      expect(failures).toMatchObject([{ provider: "Discovery", reason: { _tag: "InvalidRequest", field } }])
      const error = yield* Effect.flip(Layer.build(Discovery.layer(options)))
      expect(error.message).toContain(`invalid ${field}`)
    }
    // @ts-expect-error no duration
    expect(yield* Effect.flip(Discovery.probe("ollama", { timeLimit: "zzz" }))).toMatchObject({
      reason: { field: "timeLimit" }
    })
    // @ts-expect-error no address
    expect(yield* Effect.flip(Discovery.connect("ollama", { url: 1 }))).toMatchObject({ reason: { field: "url" } })
  }).pipe(Effect.provide(environment({})), Effect.scoped)
)

it.effect("reads no more of an answer than it needs to recognise a server", () =>
  Effect.gen(function* () {
    // The clock stands still, so the time limit does not end it.
    const flood = yield* FakeServer.make(() => ({
      status: 200,
      headers: { "content-type": "application/json" },
      body: new Uint8Array(50_000_000).fill(32)
    }))
    expect(yield* discover({ ollama: flood.url })).toEqual({ found: [], failures: [] })
    const { requests } = yield* flood.until(({ requests }) => requests.every(({ outcome }) => outcome !== "answering"))
    expect(requests.map(({ outcome }) => outcome)).toEqual(order.map(() => "cut-by-client"))
  })
)

it.live("follows no redirect, with fetch as with other clients", () =>
  Effect.gen(function* () {
    const other = yield* FakeServer.make()
    const address = yield* url(({ path }) => ({ status: 302, headers: { location: `${other.url}${path}` } }))
    const { failures, found } = yield* Discovery.discover({ urls: { ...nowhere, ollama: address } }).pipe(
      Effect.provide(FetchHttpClient.layer),
      // Not even if the program asks `fetch` to follow them.
      Effect.provideService(FetchHttpClient.RequestInit, { redirect: "follow" }),
      Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: {} })))
    )
    expect([found, failures, (yield* other.state).requests]).toEqual([[], [], []])
  })
)

describe("the token of the environment", () => {
  type Case = {
    readonly title: string
    readonly token: string
    /** The address of an Ollama. */
    readonly env?: (url: string) => Readonly<Record<string, string>>
    readonly urls?: (url: string) => Discovery.Options["urls"]
  }
  const cases: ReadonlyArray<Case> = [
    { title: "goes to the address in its variable", token: "Bearer o", env: (url) => ({ OLLAMA_HOST: url }) },
    { title: "goes to the usual address if no variable is set", token: "Bearer o", urls: (ollama) => ({ ollama }) },
    {
      title: "does not go to the address of another server, whatever answers there",
      token: "Bearer m",
      env: (url) => ({ LMSTUDIO_BASE_URL: url })
    },
    {
      title: "is that of its own variable where two have the same address",
      token: "Bearer o",
      env: (url) => ({ LMSTUDIO_BASE_URL: url, OLLAMA_HOST: url })
    }
  ]
  const tokens = { OLLAMA_API_KEY: "o", LM_API_TOKEN: "m", LLAMA_API_KEY: "l" }

  /** The token that the server which is found gets. The search sends none. */
  const tokenOf = Effect.fnUntraced(function* (
    server: FakeServer.FakeServer["Service"],
    { kind, provider }: Discovery.Service
  ) {
    expect(kind).toBe("ollama")
    const before = (yield* server.state).requests
    expect(before.filter(({ headers }) => headers["authorization"] !== undefined)).toEqual([])
    yield* Effect.exit(provider.listModels)
    return (yield* server.state).requests[before.length]?.headers["authorization"]
  })

  it.live.each(cases)("$title", ({ env, token, urls }) =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(identityOf("ollama"))
      const options = { urls: { ...nowhere, ...urls?.(server.url) }, timeLimit } as const
      const search = Effect.gen(function* () {
        const { found } = yield* Discovery.discover(options)
        return yield* Effect.forEach(found, (each) => tokenOf(server, each))
      })
      expect(yield* Effect.provide(search, environment({ ...tokens, ...env?.(server.url) }))).toEqual([token])
    })
  )

  it.live("is that of the server which answers at an address that the program gives", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(identityOf("ollama"))
      const probe = Effect.flatMap(Discovery.probe("lmstudio", { url: server.url, timeLimit }), (found) =>
        tokenOf(server, found)
      )
      expect(yield* Effect.provide(probe, environment(tokens))).toBe("Bearer o")
    })
  )
})

describe("a probe of one address", () => {
  const probe = (kind: Discovery.Kind, address: string, options: Discovery.ProbeOptions = { timeLimit }) =>
    Discovery.probe(kind, { url: address, ...options }).pipe(
      Effect.provide(environment({})),
      Effect.map(({ kind, state }) => ({ kind, state }))
    )

  it.live("recognises the server there, or reports that nothing listens or that something unknown does", () =>
    Effect.gen(function* () {
      expect(yield* probe("ollama", yield* url(identityOf("llama-server")))).toEqual({
        kind: "llama-server",
        state: "recognised"
      })
      expect(yield* probe("ollama", closed)).toEqual({ kind: "ollama", state: "closed" })
      expect(yield* probe("ollama", yield* url(FakeServer.silence), {})).toEqual({ kind: "ollama", state: "unknown" })
      const cut = yield* url({ status: 200, cut: { how: "reset", afterBytes: 0 } })
      expect(yield* probe("ollama", cut)).toEqual({ kind: "ollama", state: "unknown" })
      const page = { status: 200, headers: { "content-type": "text/html" }, body: "<html></html>" }
      expect(yield* probe("lmstudio", yield* url(page))).toEqual({ kind: "lmstudio", state: "unknown" })
    })
  )

  it.live("returns the service of the server that is there", () =>
    Effect.gen(function* () {
      const address = yield* url(identityOf("ollama"))
      const version = Effect.gen(function* () {
        const found = yield* Discovery.probe("lmstudio", { url: address, timeLimit })
        return found.kind === "ollama" ? yield* found.provider.version : undefined
      })
      expect(yield* Effect.provide(version, environment({}))).toBe("0.33.0")
    })
  )

  it.live("prefers the kind that is expected if a server answers like several kinds", () =>
    Effect.gen(function* () {
      const address = yield* url({ text: "" })
      for (const kind of order) expect(yield* probe(kind, address)).toEqual({ kind, state: "recognised" })
    })
  )

  it.live("fails if the address is invalid", () =>
    Effect.gen(function* () {
      expect(yield* Effect.flip(probe("ollama", "ftp://x"))).toMatchObject({ reason: { _tag: "InvalidRequest" } })
    })
  )
})
