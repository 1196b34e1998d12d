/** What a gateway does with requests that it should not serve, or that are unusual: hostile clients, pages, wrong keys, wrong paths. */
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as GatewayModule from "../../src/Gateway.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import * as Pool from "../../src/Pool.ts"
import * as Provider from "../../src/Provider.ts"
import * as Reasons from "../../src/ProviderError.ts"
import * as Gateway from "../support/gateway.ts"
import * as Stream from "effect/Stream"

const chat = { model: "m", messages: [{ role: "user", content: "Why?" }] }

const start = (options?: GatewayModule.Options) =>
  Effect.flatMap(MockProvider.make(["Sunlight"], { models: ["m", "llama3.2"] }), (provider) =>
    Effect.map(Gateway.serve(provider, options), (url) => ({ url, provider }))
  )

/** The message of a failure, in whichever form. */
const messageOf = (text: string): string => {
  const { error } = JSON.parse(text)
  return typeof error === "string" ? error : error.message
}

const forms: Readonly<Record<string, (body: string) => unknown>> = {
  "/api/chat": (text) => JSON.parse(text).error,
  "/v1/chat/completions": (text) => JSON.parse(text).error.message,
  "/v1/messages": (text) => JSON.parse(text).type === "error" && JSON.parse(text).error.message
}

describe.each(Object.keys(forms))("%s", (path) => {
  const readMessage = forms[path] ?? String
  const body = { ...chat, max_tokens: 10 }

  it.live("bodies that are not JSON objects", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const deep = `${'{"a":'.repeat(2000)}1${"}".repeat(2000)}`
      for (const sent of ["{", "[]", "null", '"text"', "\u0000", deep, '{"__proto__":{"polluted":true}}', "{}"]) {
        const { status, text } = yield* Gateway.ask(url + path, sent, { method: "POST" })
        expect([sent.slice(0, 20), status, readMessage(text)]).toEqual([sent.slice(0, 20), 400, expect.any(String)])
      }
      const invalid = yield* Gateway.exchange(url, (socket) => {
        socket.write(`POST ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 4\r\n\r\n`)
        socket.write(Buffer.from([0x22, 0xff, 0xfe, 0x22]))
      })
      expect(invalid).toMatch(/^HTTP\/1.1 400[^]*is not UTF-8/)
    })
  )

  it.live("a body that is too large", () =>
    Effect.gen(function* () {
      const { provider, url } = yield* start({ maxBodyBytes: 1000 })
      const large = { ...body, padding: "x".repeat(1000) }
      const { headers, status, text } = yield* Gateway.ask(url + path, large)
      expect([status, headers.connection, readMessage(text)]).toEqual([
        413,
        "close",
        "The body of the request is larger than 1000 bytes"
      ])
      // Without a length.
      const chunked = yield* Gateway.exchange(url, (socket) => {
        socket.write(`POST ${path} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n`)
        const timer = setInterval(() => socket.write(`64\r\n${"x".repeat(100)}\r\n`), 5)
        socket.once("close", () => clearInterval(timer))
      }).pipe(Effect.timeout("5 seconds"))
      expect(chunked).toMatch(/^HTTP\/1.1 413/)
      expect(yield* provider.requests).toEqual([])
      expect((yield* Gateway.ask(url + path, body)).status).toBe(200)
    })
  )

  it.live("a body that does not arrive", () =>
    Effect.gen(function* () {
      const { url } = yield* start({ bodyTimeout: "300 millis" })
      const slow = yield* Gateway.exchange(url, (socket) => {
        socket.write(`POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n`)
        const timer = setInterval(() => socket.write(" "), 20)
        socket.once("close", () => clearInterval(timer))
      }).pipe(Effect.timeout("5 seconds"))
      expect(slow).toMatch(/^HTTP\/1.1 408[^]*did not arrive in time/)
      expect(slow).toMatch(/connection: close/i)
    })
  )

  it.live("other methods", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      for (const method of ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
        const { headers, status, text } = yield* Gateway.ask(url + path, undefined, { method })
        expect([method, status, headers.allow, readMessage(text)]).toEqual([
          method,
          405,
          "POST",
          "The method has to be POST"
        ])
      }
      expect((yield* Gateway.ask(url + path, undefined, { method: "HEAD" })).status).toBe(405)
    })
  )

  it.live("keys", () =>
    Effect.gen(function* () {
      const seen: Array<string | undefined> = []
      const usage: Array<object> = []
      const access: GatewayModule.Access = {
        authorize: (key) => {
          const text = key === undefined ? undefined : Redacted.value(key)
          seen.push(text)
          if (text !== "good") return Effect.fail(new GatewayModule.Refusal({ status: 401, message: "Unknown key" }))
          const caller: GatewayModule.Caller = {
            name: "editor",
            caller: { name: "editor", priority: "batch" },
            allows: (model) => model === "m",
            mayPull: false,
            admit: Effect.void,
            onUsage: (tokens) => Effect.sync(() => usage.push(tokens))
          }
          return Effect.succeed(caller)
        }
      }
      const { url } = yield* start({ access, aliases: { other: "m" } })
      const headers: ReadonlyArray<Record<string, string>> = [
        {},
        { authorization: "Bearer" },
        { authorization: "Bearer  " },
        { "x-api-key": "" },
        { authorization: "Bearer bad" },
        { authorization: "Basic Z29vZA==" },
        { authorization: "Bearer bad", "x-api-key": "good" }
      ]
      for (const each of headers) {
        const refused = yield* Gateway.ask(url + path, body, { headers: each })
        expect([each, refused.status, refused.headers["www-authenticate"], readMessage(refused.text)]).toEqual([
          each,
          401,
          "Bearer",
          "Unknown key"
        ])
      }
      expect(seen).toEqual([undefined, undefined, undefined, undefined, "bad", undefined, "bad"])
      for (const each of [
        { authorization: "Bearer good" },
        { authorization: "bearer  good " },
        { authorization: "Bearer ", "x-api-key": "good" }
      ]) {
        expect((yield* Gateway.ask(url + path, { ...body, stream: true }, { headers: each })).status).toBe(200)
      }
      expect(usage.length).toBe(3)
      const headersOfKey = { "x-api-key": "good" }
      for (const model of ["llama3.2", "other", "none"]) {
        const forbidden = yield* Gateway.ask(url + path, { ...body, model }, { headers: headersOfKey })
        expect([model, forbidden.status, readMessage(forbidden.text)]).toEqual([model, 403, expect.any(String)])
      }
    })
  )

  it.live("a limit of the caller is a 429 with its time", () =>
    Effect.gen(function* () {
      const limited = new Reasons.RateLimited({ retryAfter: Duration.seconds(7) })
      const access: GatewayModule.Access = {
        authorize: () =>
          Effect.succeed({
            name: "editor",
            caller: { name: "editor" },
            allows: () => true,
            mayPull: false,
            admit: Effect.fail(limited),
            onUsage: () => Effect.void
          })
      }
      const { provider, url } = yield* start({ access })
      const { headers, status } = yield* Gateway.ask(url + path, body)
      expect([status, headers["retry-after"]]).toEqual([429, "7"])
      expect(yield* provider.requests).toEqual([])
    })
  )

  it.live("a defect is a 500 in the form of the protocol, without its message", () =>
    Effect.gen(function* () {
      const provider = Provider.make({
        name: "broken",
        stream: () => Stream.die(new Error("secret")),
        listModels: Effect.die(new Error("secret"))
      })
      const url = yield* Gateway.serve(provider)
      for (const stream of [true, false]) {
        const { status, text } = yield* Gateway.ask(url + path, { ...body, stream })
        expect([status, readMessage(text)]).toEqual([500, "The gateway failed"])
      }
    })
  )
})

it.live("a key uses its own models only, also in memory, and its embeddings count", () =>
  Effect.gen(function* () {
    const unloaded: Array<string> = []
    const usage: Array<object> = []
    const provider = Provider.make({
      ...(yield* MockProvider.make(["Hi"], { models: ["m", "secret"] })),
      embed: ({ model = "" }) => Effect.succeed({ model, vectors: [[1]], promptTokens: 7 }),
      unload: (model) => Effect.sync(() => void unloaded.push(model))
    })
    const access: GatewayModule.Access = {
      authorize: () =>
        Effect.succeed({
          name: "editor",
          caller: { name: "editor" },
          allows: (model) => model === "m",
          mayPull: false,
          admit: Effect.void,
          onUsage: (tokens) => Effect.sync(() => void usage.push(tokens))
        })
    }
    const url = yield* Gateway.serve(provider, { access })
    const statusOf = (path: string, body: object) => Effect.map(Gateway.ask(url + path, body), ({ status }) => status)
    for (const [model, status] of [
      ["m", 200],
      ["secret", 403]
    ] as const) {
      expect(yield* statusOf("/api/generate", { model, prompt: "", keep_alive: 0 })).toBe(status)
      expect(yield* statusOf("/api/embed", { model, input: "x" })).toBe(status)
      expect(yield* statusOf("/v1/embeddings", { model, input: "x" })).toBe(status)
    }
    expect(unloaded).toEqual(["m"])
    expect(usage).toEqual([{ promptTokens: 7 }, { promptTokens: 7 }])
  })
)

it.live("the caller of the pool is that of the key", () =>
  Effect.gen(function* () {
    const callers: Array<unknown> = []
    const mock = yield* MockProvider.make(["Hi"])
    const provider = Provider.make({
      ...mock,
      stream: (request) =>
        Stream.unwrap(
          Effect.map(Pool.caller, (caller) => {
            callers.push(caller)
            return mock.stream(request)
          })
        )
    })
    const access: GatewayModule.Access = {
      authorize: () =>
        Effect.succeed({
          name: "editor",
          caller: { name: "editor", weight: 3 },
          allows: () => true,
          mayPull: false,
          admit: Effect.void,
          onUsage: () => Effect.void
        })
    }
    const url = yield* Gateway.serve(provider, { access })
    for (const stream of [true, false]) yield* Gateway.ask(`${url}/api/chat`, { ...chat, stream })
    expect(callers).toEqual([
      { name: "editor", weight: 3 },
      { name: "editor", weight: 3 }
    ])
  })
)

it.live("paths that no protocol has", () =>
  Effect.gen(function* () {
    const { url } = yield* start()
    const ask = (path: string, headers = {}) => Gateway.ask(url + path, undefined, { headers })
    expect(yield* ask("/api/nothing")).toMatchObject({
      status: 404,
      text: expect.stringMatching(/^\{"error":"[^"]+"\}$/)
    })
    const openAi = yield* ask("/v1/nothing")
    expect([openAi.status, JSON.parse(openAi.text)]).toEqual([404, { error: expect.objectContaining({ code: null }) }])
    const messages = yield* ask("/v1/messages/nothing")
    expect([messages.status, JSON.parse(messages.text)]).toEqual([
      404,
      { type: "error", error: { type: "not_found_error", message: expect.any(String) } }
    ])
    const anthropic = yield* ask("/v1/nothing", { "anthropic-version": "2023-06-01" })
    expect(JSON.parse(anthropic.text)).toEqual(JSON.parse(messages.text))
    for (const path of [
      "/",
      "/nothing",
      "/v1",
      "/api",
      "/v1/models/%zz",
      "/api/tags?%zz=%",
      "//api//tags",
      "/v1/models/"
    ]) {
      const { status } = yield* ask(path)
      expect([path, status < 500]).toEqual([path, true])
    }
  })
)

it.live("what real clients send: HEAD, query strings, slashes in names, unknown fields", () =>
  Effect.gen(function* () {
    const { url } = yield* start({ aliases: { "qwen/qwen3": "llama3.2" } })
    expect(yield* Gateway.ask(`${url}/`, undefined, { method: "HEAD" })).toMatchObject({ status: 200, text: "" })
    expect(yield* Gateway.ask(`${url}/`, undefined)).toMatchObject({ status: 200, text: "Ollama is running" })
    const messages = { ...chat, max_tokens: 5, unknown: { field: 1 } }
    expect((yield* Gateway.ask(`${url}/v1/messages?beta=true`, messages)).status).toBe(200)
    expect((yield* Gateway.ask(`${url}/v1/chat/completions?api-version=1`, messages)).status).toBe(200)
    for (const name of ["qwen/qwen3", "qwen%2Fqwen3"]) {
      const { status, text } = yield* Gateway.ask(`${url}/v1/models/${name}`, undefined)
      expect([name, status, JSON.parse(text).id]).toEqual([name, 200, "qwen/qwen3"])
    }
    const headers = { "anthropic-version": "2023-06-01" }
    const anthropic = yield* Gateway.ask(`${url}/v1/models`, undefined, { headers })
    expect(JSON.parse(anthropic.text).data.map(({ type }: { type: string }) => type)).toEqual([
      "model",
      "model",
      "model"
    ])
    const models = yield* Gateway.ask(`${url}/v1/models`, undefined)
    expect(JSON.parse(models.text).data.map(({ object }: { object: string }) => object)).toEqual([
      "model",
      "model",
      "model"
    ])
  })
)

it.live("aliases are models, and may change", () =>
  Effect.gen(function* () {
    let aliases: Record<string, string> = { "gpt-4o-mini": "llama3.2", gone: "none" }
    const { provider, url } = yield* start({ aliases: () => aliases })
    const ids = Effect.map(Gateway.ask(`${url}/v1/models`, undefined), ({ text }) =>
      JSON.parse(text).data.map(({ id }: { id: string }) => id)
    )
    expect(yield* ids).toEqual(["m", "llama3.2", "gpt-4o-mini"])
    const ask = (model: string) => Gateway.ask(`${url}/v1/chat/completions`, { ...chat, model })
    const { text } = yield* ask("gpt-4o-mini")
    expect(JSON.parse(text).model).toBe("gpt-4o-mini")
    yield* ask("gpt-4o-mini:latest")
    yield* ask("toString")
    aliases = { "gpt-4o-mini": "m" }
    yield* ask("gpt-4o-mini")
    expect((yield* provider.requests).map(({ model }) => model)).toEqual(["llama3.2", "llama3.2", "toString", "m"])
  })
)

describe("pages in browsers", () => {
  const names = { hosts: ["gateway.lan"], origins: ["https://chat.example.com", "vscode-webview://*"] }

  it.live.each([
    ["127.0.0.1:11434", 200],
    ["[::1]:11434", 200],
    ["localhost", 200],
    ["my.localhost:80", 200],
    ["Gateway.LAN:11434", 200],
    ["192.168.1.5", 200],
    ["evil.example.com", 403],
    ["127.0.0.1.evil.example.com", 403],
    ["localhost.evil.example.com:11434", 403],
    ["gateway.lan.evil.example.com", 403]
  ] as const)("the header Host may be a name that no one else can take over", ([host, status]) =>
    Effect.gen(function* () {
      const { url } = yield* start(names)
      for (const path of ["/", "/api/tags", "/v1/models", "/v1/nothing"]) {
        const response = yield* Gateway.ask(url + path, undefined, { headers: { host } })
        expect([path, response.status]).toEqual([path, status === 200 && path === "/v1/nothing" ? 404 : status])
      }
      expect((yield* Gateway.ask(`${url}/api/chat`, chat, { headers: { host } })).status).toBe(status)
    })
  )

  it.live.each([
    ["https://chat.example.com", true],
    ["vscode-webview://abc", true],
    ["https://evil.example.com", false],
    ["https://chat.example.com.evil.org", false],
    ["null", false],
    ["http://localhost:3000", false]
  ] as const)("an origin has to be named", ([origin, isAllowed]) =>
    Effect.gen(function* () {
      const { provider, url } = yield* start(names)
      // A page may send this without a preflight.
      const headers = { origin, "content-type": "text/plain" }
      const { headers: received, status } = yield* Gateway.ask(`${url}/api/chat`, JSON.stringify(chat), {
        method: "POST",
        headers
      })
      expect([status, received["access-control-allow-origin"]]).toEqual(isAllowed ? [200, origin] : [403, undefined])
      expect((yield* provider.requests).length).toBe(isAllowed ? 1 : 0)
      const preflight = yield* Gateway.ask(`${url}/v1/messages`, undefined, {
        method: "OPTIONS",
        headers: {
          origin,
          "access-control-request-method": "POST",
          "access-control-request-headers": "x-api-key,content-type"
        }
      })
      expect([preflight.status, preflight.headers["access-control-allow-headers"]]).toEqual(
        isAllowed ? [204, "x-api-key,content-type"] : [403, undefined]
      )
      // Failures have the headers too, so that the page can read them.
      const failed = yield* Gateway.ask(`${url}/api/chat`, {}, { headers: { origin } })
      expect([failed.status, failed.headers["access-control-allow-origin"]]).toEqual(
        isAllowed ? [400, origin] : [403, undefined]
      )
    })
  )

  it.live("the gateway's own pages may use it", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      expect((yield* Gateway.ask(`${url}/api/tags`, undefined, { headers: { origin: url } })).status).toBe(200)
    })
  )
})

it.live("protocols that are switched off have no routes", () =>
  Effect.gen(function* () {
    const { url } = yield* start({ protocols: { ollama: false, anthropic: false } })
    const status = (path: string) => Effect.map(Gateway.ask(url + path, undefined), ({ status }) => status)
    expect(yield* Effect.forEach(["/", "/api/tags", "/v1/models", "/api/v0/models"], status)).toEqual([
      404, 404, 200, 200
    ])
    expect(messageOf((yield* Gateway.ask(`${url}/v1/messages`, chat)).text)).toBe(
      "The gateway does not have this route"
    )
  })
)

it.effect("options that are invalid", () =>
  Effect.gen(function* () {
    const mock = yield* MockProvider.make(["Hi"])
    const failure = (options: object) => Effect.map(Effect.flip(Gateway.serve(mock, options)), ({ message }) => message)
    expect(yield* failure({ maxBodyBytes: 0 })).toBe(
      "Gateway: invalid maxBodyBytes: Expected a whole number, 1 or more"
    )
    expect(yield* failure({ protocols: { olama: true } })).toContain("protocols.olama")
    expect(yield* failure({ alias: {} })).toContain("alias")
    expect(yield* failure({ aliases: { a: 1 } })).toContain("aliases")
    expect(yield* failure({ access: {} })).toContain("access")
  })
)
