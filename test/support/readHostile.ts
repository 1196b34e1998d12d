/**
 * Reads an answer of the server at `url` in a process of its own, with a bound of 2 MiB, and prints the reason why it failed:
 * `node readHostile.ts <provider> <operation> <url>`. The operation is `stream` or `models`.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Provider from "../../src/Provider.ts"
import { servers } from "./setups.ts"

const [name = "", operation, baseUrl = ""] = process.argv.slice(2)
const server = Object.entries(servers).find(([key]) => key === name)?.[1]
if (server === undefined) throw new Error(`no server ${name}`)

const read = Effect.gen(function* () {
  const { listModels, stream } = yield* Provider.Provider
  return yield* operation === "models"
    ? Effect.asVoid(listModels)
    : Stream.runDrain(stream({ model: "m", messages: [{ role: "user", content: "Hi" }] }))
}).pipe(Effect.provide(server.layer({ baseUrl, maxLineBytes: 2 * 1024 * 1024 })))

const { reason } = await Effect.runPromise(Effect.flip(Effect.provide(read, NodeHttpClient.layerUndici)))
process.stdout.write(reason._tag)
