/** This package's own client, for each kind of server. */
import { NodeHttpClient } from "@effect/platform-node"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as HttpClient from "effect/http/HttpClient"
import * as Stream from "effect/Stream"
import * as LlamaServer from "../../../src/LlamaServer.ts"
import * as LmStudio from "../../../src/LmStudio.ts"
import * as Ollama from "../../../src/Ollama.ts"
import * as OpenAiCompatible from "../../../src/OpenAiCompatible.ts"
import type { CompletionRequest } from "../../../src/CompletionRequest.ts"
import type { Message } from "../../../src/Message.ts"
import type { Provider } from "../../../src/Provider.ts"
import type { ProviderError } from "../../../src/ProviderError.ts"
import type { Cases, Target } from "./run.ts"
import { closed, facts, many, read, run } from "./run.ts"

const messages: ReadonlyArray<Message> = [{ role: "user", content: facts.question }]

/** The reason is the name of the error. */
const toFailure = <A, E extends { readonly reason: { readonly _tag: string } }>(effect: Effect.Effect<A, E>) =>
  Effect.match(effect, { onSuccess: () => ({ error: "none" }), onFailure: ({ reason }) => ({ error: reason._tag }) })

const cases = (target: Target, provider: Provider): Cases => {
  const complete = (request: CompletionRequest) => provider.complete(request)
  const stream = (model: string) => {
    let failure: string | undefined
    const chunks = provider.stream({ model, messages }).pipe(
      Stream.map((chunk) => ({ text: chunk.content, ...(chunk.isFinal ? { finish: chunk.finishReason } : {}) })),
      Stream.catch(({ reason }) => {
        failure = reason._tag
        return Stream.empty
      })
    )
    return Effect.promise(async () => {
      const reading = await read(() => Stream.toAsyncIterable(chunks))
      return failure === undefined ? reading : { text: reading.text, error: failure }
    })
  }
  const all = {
    list: Effect.map(provider.listModels, (models) => ({ models: models.map(({ id }) => id) })),
    show: Effect.map(provider.model("echo"), ({ id }) => ({ id })),
    whole: Effect.map(complete({ model: "echo", messages }), ({ content, finishReason, usage }) => ({
      text: content,
      finish: finishReason,
      tokens: [usage?.promptTokens, usage?.completionTokens]
    })),
    streamed: stream("echo"),
    length: stream("long"),
    prompt: Effect.map(complete({ model: "echo", prompt: facts.question }), ({ content }) => ({ text: content })),
    tools: Effect.gen(function* () {
      const tools = [facts.tool]
      const { toolCalls } = yield* complete({ model: "caller", messages, tools })
      const [call] = toolCalls
      if (call === undefined) return { calls: [] }
      const history: ReadonlyArray<Message> = [
        ...messages,
        { role: "assistant", content: "", toolCalls },
        { role: "tool", content: facts.toolResult, toolCallId: call.id, toolName: call.name }
      ]
      const { content } = yield* complete({ model: "caller", messages: history, tools })
      return { calls: toolCalls.map(({ arguments: value, name }) => ({ name, arguments: value })), text: content }
    }),
    thinking: Effect.map(complete({ model: "thinker", messages, think: true }), ({ content, thinking }) => ({
      thinking,
      text: content
    })),
    schema: Effect.map(complete({ model: "poet", messages, format: facts.schema }), ({ content }) => ({
      value: JSON.parse(content)
    })),
    embeddings: Effect.match(provider.embed({ model: "counter", input: facts.texts }), {
      onSuccess: ({ vectors }) => ({ vectors }),
      onFailure: ({ reason }) => ({ error: reason._tag })
    }),
    image: Effect.map(
      complete({ model: "seer", messages: [{ role: "user", content: facts.question, images: [facts.image] }] }),
      ({ content }) => ({ text: content })
    ),
    missing: Effect.all({ whole: toFailure(complete({ model: "missing", messages })), streamed: stream("missing") }),
    breaks: stream("breaks"),
    dies: stream("dies"),
    ends: stream("ends"),
    breaksWhole: toFailure(complete({ model: "breaks", messages })),
    cancel: Effect.andThen(
      Stream.runDrain(Stream.take(provider.stream({ model: "endless", messages }), 1)),
      Effect.promise(() => closed(target, "endless"))
    ),
    cancelEarly: Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(complete({ model: "silent", messages }))
      yield* Effect.sleep("300 millis")
      yield* Fiber.interrupt(fiber)
      return yield* Effect.promise(() => closed(target, "silent"))
    }),
    many: Effect.promise(() =>
      many(
        async (content) =>
          (await runPromise(complete({ model: "echo", messages: [{ role: "user", content }] }))).content
      )
    )
  }
  return Object.fromEntries(Object.entries(all).map(([name, effect]) => [name, () => runPromise(effect)]))
}

const runPromise = <A, E>(effect: Effect.Effect<A, E>): Promise<A> => Effect.runPromise(effect)

const main = Effect.gen(function* () {
  const context = yield* Effect.context<HttpClient.HttpClient>()
  const makeCases =
    (
      make: (options: { readonly baseUrl: string }) => Effect.Effect<Provider, ProviderError, HttpClient.HttpClient>,
      path = ""
    ) =>
    (target: Target) =>
      cases(target, Effect.runSyncWith(context)(make({ baseUrl: `${target.url}${path}` })))
  yield* Effect.promise(() =>
    run({
      "effect-local-llm (Ollama)": makeCases(Ollama.make),
      "effect-local-llm (OpenAiCompatible)": makeCases(OpenAiCompatible.make, "/v1"),
      "effect-local-llm (LmStudio)": makeCases(LmStudio.make),
      "effect-local-llm (LlamaServer)": makeCases(LlamaServer.make)
    })
  )
})

await Effect.runPromise(Effect.provide(main, NodeHttpClient.layerUndici))
