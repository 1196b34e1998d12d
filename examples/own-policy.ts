// A policy of your own: every request gets the rules of the house and a limit, and every answer a line in the log.
// MODEL=llama3.2 node examples/own-policy.ts "Why is the sky blue?"
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Stream } from "effect"
import { Ollama, Provider, Retry } from "effect-local-llm"

/** From a provider to a provider, like those of this package. What it does not name stays that of the inner one. */
const withRules = (provider: Provider.Provider, rules: string, maxTokens: number): Provider.Provider =>
  Provider.make({
    ...provider,
    // `complete` is derived from it. It has to stay lazy, and to pass on each chunk and each failure.
    stream: ({ images, messages, prompt, ...options }) => {
      const answer = provider.stream({
        ...options,
        messages: [{ role: "system", content: rules }, ...(messages ?? [{ role: "user", content: prompt, images }])],
        maxTokens: Math.min(options.maxTokens ?? maxTokens, maxTokens)
      })
      return answer.pipe(
        Stream.tap((chunk) =>
          chunk.isFinal ? Effect.logInfo("answered", chunk.model, chunk.finishReason, chunk.usage) : Effect.void
        ),
        // Its message has neither the prompt nor the answer.
        Stream.tapError(({ message }) => Effect.logWarning("failed", message))
      )
    }
  })

const rules = (text: string, options: { readonly maxTokens: number }) =>
  Layer.effect(
    Provider.Provider,
    Effect.map(Provider.Provider, (provider) => withRules(provider, text, options.maxTokens))
  )

const program = Effect.gen(function* () {
  const { complete } = yield* Provider.Provider
  const { content } = yield* complete({ prompt: process.argv[2] ?? "Why is the sky blue?" })
  yield* Console.log(content)
})

const model = Config.String("MODEL").pipe(Config.withDefault("llama3.2"))
const live = rules("Answer in one sentence.", { maxTokens: 200 }).pipe(
  Layer.provide(Retry.layer()),
  Layer.provide(Ollama.layerConfig({ defaults: { model } })),
  Layer.provide(NodeHttpClient.layerUndici)
)

program.pipe(Effect.provide(live), NodeRuntime.runMain)
