/** One question and whom to put it to. */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as LmStudio from "../LmStudio.ts"
import type { ProviderError } from "../ProviderError.ts"
import { print } from "./answer.ts"
import * as Discovery from "./discovery.ts"
import * as Terminal from "./terminal.ts"

export interface Input extends Discovery.Wish {
  readonly prompt: string | undefined
  readonly system: string | undefined
  readonly temperature: number | undefined
  readonly maxTokens: number | undefined
}

class NoPrompt extends Data.TaggedError("NoPrompt")<{ readonly message: string }> {}

export const chat = Effect.fnUntraced(function* (input: Input) {
  const content = input.prompt ?? (yield* readPrompt)
  if (content.trim() === "") return yield* new NoPrompt({ message: "the prompt is empty" })
  const found = Discovery.findModel(input)
  const { model, provider } = yield* isLeftOpen(input)
    ? Effect.catchTag(found, "NothingFound", ({ message }) => pretend(message))
    : found
  const { maxTokens, system, temperature } = input
  yield* print(provider, {
    model,
    messages: [
      ...(system === undefined ? [] : [{ role: "system", content: system } as const]),
      { role: "user", content }
    ],
    temperature,
    maxTokens
  })
})

const readPrompt = Effect.gen(function* () {
  const stdio = yield* Stdio.Stdio
  if (yield* stdio.stdinIsTerminal) {
    return yield* new NoPrompt({ message: 'nothing to ask; try: local-llm "Why is the sky blue?"' })
  }
  return yield* stdio.stdin.pipe(Stream.decodeText, Stream.mkString)
})

const isLeftOpen = ({ model, provider, url }: Discovery.Wish): boolean =>
  model === undefined && provider === undefined && url === undefined

const pretence =
  "This is the built-in fake server speaking, not a model: there is no Ollama or LM Studio here that has one to chat with. " +
  "Start one of them, get a model, and ask again; its answer will stream just like these words."

/** A newcomer without a server sees a stream all the same. */
const pretend = Effect.fnUntraced(function* (
  cause: string
): Effect.fn.Return<Discovery.Choice, ProviderError, HttpClient.HttpClient | Scope.Scope> {
  yield* Terminal.note(`No model found (${cause}).`)
  yield* Terminal.note("The answer comes from the built-in FAKE server; nothing in it is a model's.")
  const { FakeServer } = yield* Effect.promise(() => import("../testing/index.ts"))
  const context = yield* Layer.build(FakeServer.layer({ text: pretence, delay: { between: "50 millis" } }))
  const { url } = Context.get(context, FakeServer.FakeServer)
  // By this protocol, since it lets the facts below the answer be measured here; Ollama's own would be as fake as the rest.
  return { provider: { ...(yield* LmStudio.make({ baseUrl: url })), name: "the fake server" }, model: "no-model" }
})
