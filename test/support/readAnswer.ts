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
import * as Stream from "effect/Stream"
import * as Provider from "../../src/Provider.ts"
import { servers } from "./setups.ts"

const [name = "", way, baseUrl = ""] = process.argv.slice(2)
const server = Object.entries(servers).find(([key]) => key === name)?.[1]
if (server === undefined) throw new Error(`no server ${name}`)
const { layer, promptPath } = server
const request = { model: "m", prompt: "Go on" }

const streamed = Effect.gen(function* () {
  const { stream } = yield* Provider.Provider
  return yield* Stream.runFold(
    stream(request),
    () => 0,
    (length, { content }) => length + content.length
  )
}).pipe(Effect.provide(layer({ baseUrl })))

const buffered = Effect.gen(function* () {
  const response = yield* HttpClient.execute(
    HttpClientRequest.post(baseUrl + promptPath).pipe(HttpClientRequest.bodyJsonUnsafe(request))
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
