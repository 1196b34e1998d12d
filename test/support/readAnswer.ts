/**
 * Reads an answer of the server at `url` in a process of its own, and prints how many characters it has, and how much memory
 * the process took: `node readAnswer.ts <provider> <way> <url>`.
 *
 * The way is `stream`, as this package reads, or `buffered`: all of the body, then its lines, then their records.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as LmStudio from "../../src/LmStudio.ts"
import * as Ollama from "../../src/Ollama.ts"
import * as Provider from "../../src/Provider.ts"
import type { ProviderError } from "../../src/ProviderError.ts"

const [provider, way, baseUrl = ""] = process.argv.slice(2)
const isOllama = provider === "Ollama"
const request = { model: "m", prompt: "Go on" }

const live: Layer.Layer<Provider.Provider, ProviderError, HttpClient.HttpClient> = isOllama
  ? Ollama.layer({ baseUrl })
  : LmStudio.layer({ baseUrl })

const streamed = Effect.gen(function* () {
  const { stream } = yield* Provider.Provider
  return yield* Stream.runFold(
    stream(request),
    () => 0,
    (length, { content }) => length + content.length
  )
}).pipe(Effect.provide(live))

const buffered = Effect.gen(function* () {
  const path = isOllama ? "/api/generate" : "/v1/completions"
  const response = yield* HttpClient.execute(
    HttpClientRequest.post(baseUrl + path).pipe(HttpClientRequest.bodyJsonUnsafe(request))
  )
  const body = yield* response.text
  const records = body
    .split("\n")
    .map((line) => line.replace(/^data: /, ""))
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line))
  return records.reduce((length, { choices, response }) => length + (response ?? choices[0]?.text ?? "").length, 0)
})

const read: Effect.Effect<number, unknown, HttpClient.HttpClient> = way === "stream" ? streamed : buffered
const length = await Effect.runPromise(Effect.provide(read, NodeHttpClient.layerUndici))
process.stdout.write(JSON.stringify({ length, residentBytes: process.resourceUsage().maxRSS * 1024 }))
