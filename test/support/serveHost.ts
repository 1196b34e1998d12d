/**
 * A model server as a program. Its parameter says what a completion is: `silent`, one that does not begin; `endless`; otherwise 20 words.
 * Writes its address, and runs until it is killed.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { FakeServer } from "../../src/testing/index.ts"

const completions: Readonly<Record<string, FakeServer.Completion>> = {
  silent: { delay: { headers: Duration.infinity } },
  endless: { pieces: FakeServer.endless("again "), delay: { between: "20 millis" } }
}

const words: FakeServer.Completion = { text: Array.from({ length: 20 }, (_, i) => `word${i}`).join(" ") }

const isCompletion = (path: string): boolean => path === "/api/chat" || path === "/api/generate"

const program = Effect.gen(function* () {
  const completion = completions[process.argv[2] ?? ""] ?? words
  const { url } = yield* FakeServer.make(({ path }) => (isCompletion(path) ? completion : {}), { models: ["m"] })
  process.stdout.write(`${url}\n`)
  return yield* Effect.never
})

Effect.runFork(Effect.scoped(program))
