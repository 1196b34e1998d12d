/** A gateway as a program: in front of the Ollama whose address is its parameter. Writes its own address, and runs until it is killed. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Ollama from "../../src/Ollama.ts"
import * as Pool from "../../src/Pool.ts"
import * as Gateway from "./gateway.ts"

const [, , baseUrl = ""] = process.argv

const program = Effect.gen(function* () {
  const pool = yield* Pool.make({ hosts: [{ provider: Ollama.make({ baseUrl }), permits: 1000 }] })
  process.stdout.write(`${yield* Gateway.serve(pool)}\n`)
  return yield* Effect.never
})

Effect.runFork(Effect.scoped(Effect.provide(program, Layer.orDie(NodeHttpClient.layerUndici))))
