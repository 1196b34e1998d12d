/** What an encoded error carries to other processes: no addresses of servers, unless they are asked for. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { networkError } from "../../src/http/networkError.ts"
import * as Errors from "../../src/ProviderError.ts"

const server = "http://gpu-1.corp:11434"
const address = { address: "10.1.2.3", port: 11434 }

const reasons: ReadonlyArray<Errors.Reason> = [
  networkError({ code: "ECONNREFUSED", ...address }),
  networkError({ code: "ECONNREFUSED", address: "fd00::12", port: 11434 }),
  networkError({ code: "ENOTFOUND", hostname: "gpu-1.corp" }),
  networkError({ code: "EWHATEVER", ...address }),
  networkError({ code: "EWHATEVER", hostname: "gpu-1.corp" }),
  networkError({ code: "ConnectionRefused", ...address }),
  networkError({ code: "UND_ERR_CONNECT_TIMEOUT", hostname: "gpu-1" }),
  new Errors.ApiError({
    status: 302,
    description: `it redirects to ${server}; set baseUrl to the address of the server`
  }),
  new Errors.StreamTruncated()
]
const place = /gpu-1|corp|11434|10\.1\.2\.3|fd00/

const at = (reason: Errors.ProviderErrorReason, provider = "gpu") =>
  new Errors.ProviderError({ provider, server, reason })
const nested = at(new Errors.AllProvidersFailed({ errors: reasons.map((reason) => at(reason, server)) }), server)
const errors = [...reasons.map((reason) => at(reason)), nested, at(new Errors.AllProvidersFailed({ errors: [nested] }))]

/** To JSON text and back, as another process reads it. */
const send = <A>(schema: Schema.Codec<A, unknown>, value: A) => {
  const codec = Schema.toCodecJson(schema)
  const text = JSON.stringify(Schema.encodeSync(codec)(value))
  return { text, back: Schema.decodeUnknownSync(codec)(JSON.parse(text)) }
}

describe("an encoded error", () => {
  it.each(errors)("has no address, nor have those inside it: $message", (error) => {
    const { back, text } = send(Errors.ProviderError, error)
    expect(text).not.toMatch(place)
    expect(JSON.stringify(Schema.encodeSync(Errors.ProviderError)(error))).not.toMatch(place)
    expect(back).toBeInstanceOf(Errors.ProviderError)
    expect(back.server).toBeUndefined()
    expect(back.message).not.toMatch(place)
    expect([back.reason._tag, back.isRetryable]).toEqual([error.reason._tag, error.isRetryable])
  })

  it.each(errors)("has them if that is asked for: $message", (error) => {
    const { back } = send(Errors.WithServer, error)
    expect(back).toBeInstanceOf(Errors.ProviderError)
    expect([back.provider, back.server, back.isRetryable]).toEqual([error.provider, server, error.isRetryable])
    if (back.reason._tag !== "AllProvidersFailed") return
    expect(back.reason).toBeInstanceOf(Errors.AllProvidersFailed)
    expect(new Set(back.reason.errors.map((error) => error.server))).toEqual(new Set([server]))
  })

  it("has everything else", () => {
    const models = ["qwen:14b", "llama3.2:1b", "hf.co/unsloth/x:Q4_K_M"]
    const texts = [
      "it requires 9 GiB of memory, and 8 GiB are available",
      "ECONNRESET (the connection was closed)",
      "run `ollama pull qwen:14`; input[12] has 0.33.4",
      "UND_ERR_SOCKET (the connection was closed)",
      "Expected 0 (or more)",
      "The model (8 GiB) does not fit",
      "HTTP 502",
      "JSON schema",
      "API error"
    ]
    for (const description of texts) {
      const { back } = send(
        Errors.ProviderError,
        at(new Errors.ModelNotAvailable({ model: models.join(), description }))
      )
      expect(back.reason).toMatchObject({ model: models.join(), description })
    }
  })

  it("is found in bounded time in a text of any length", () => {
    for (const part of ["[", "[:", "1.", "http://", "E", "ECONN ", ":"]) {
      send(Errors.ProviderError, at(new Errors.NetworkError({ description: part.repeat(50_000) })))
    }
  })

  it.live("has no address in the response of an HttpApi, nor in the result of a job", () =>
    Effect.gen(function* () {
      const ask = HttpApiEndpoint.get("ask", "/ask", { success: Schema.String, error: Errors.ProviderError })
      const api = HttpApi.make("api").add(HttpApiGroup.make("chat").add(ask))
      const handlers = HttpApiBuilder.group(api, "chat", (group) => group.handle("ask", () => Effect.fail(nested)))
      const routes = HttpApiBuilder.layer(api).pipe(Layer.provide(handlers), Layer.provide(HttpServer.layerServices))
      const { dispose, handler } = HttpRouter.toWebHandler(routes, { disableLogger: true })
      const response = yield* Effect.promise(() => handler(new Request("http://localhost/ask")))
      const text = yield* Effect.promise(() => response.text())
      yield* Effect.promise(dispose)
      expect(text).toContain('"_tag":"AllProvidersFailed"')
      expect(text).not.toMatch(place)

      const result = Schema.Exit(Schema.String, Errors.ProviderError, Schema.Defect())
      expect(send(result, Exit.fail(nested)).text).not.toMatch(place)
      expect(send(Schema.Exit(Schema.String, Errors.WithServer, Schema.Defect()), Exit.fail(nested)).text).toMatch(
        place
      )
    })
  )
})
