/** A gateway as a program: in front of the Ollamas whose addresses are its parameters. Writes its own address, and runs until it is killed. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Ollama from "../../src/Ollama.ts"
import * as Pool from "../../src/Pool.ts"
import { parseArgs } from "node:util"
import * as Gateway from "./gateway.ts"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { permits: { type: "string", default: "1000" } }
})

const program = Effect.gen(function* () {
  const pool = yield* Pool.make({
    hosts: positionals.map((baseUrl) => ({ provider: Ollama.make({ baseUrl }), permits: Number(values.permits) }))
  })
  process.stdout.write(`${yield* Gateway.serve(pool)}\n`)
  return yield* Effect.never
})

Effect.runFork(Effect.scoped(Effect.provide(program, Layer.orDie(NodeHttpClient.layerUndici))))
