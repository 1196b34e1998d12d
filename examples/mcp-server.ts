// Offers a local model to editors and agents over MCP: MODEL=llama3.2 node examples/mcp-server.ts is the command that they start.
import { NodeHttpClient, NodeRuntime, NodeServices } from "@effect/platform-node"
import { Config, Effect, Layer, Logger, Schema } from "effect"
import { McpProtocol, McpServer, Tool, Toolkit } from "effect/ai"
import { Ollama, Provider } from "effect-local-llm"
import * as StreamResponse from "effect-local-llm/StreamResponse"

const toolkit = Toolkit.make(
  Tool.make("summarize", {
    description: "Summarizes a text on this machine, without sending it anywhere",
    parameters: Schema.Struct({ text: Schema.String, sentences: Schema.optional(Schema.Int) }),
    success: Schema.Struct({ summary: Schema.String, isTruncated: Schema.Boolean }),
    // The client reads why, in a message without the text and the address of the model server.
    failure: Schema.String,
    failureMode: "return"
  })
)

const handlers = toolkit.toLayer(
  Effect.gen(function* () {
    const { complete } = yield* Provider.Provider
    return toolkit.of({
      summarize: ({ sentences = 3, text }) =>
        complete({ prompt: `Summarize in at most ${sentences} sentences:\n\n${text}` }).pipe(
          Effect.map(({ content, finishReason }) => ({ summary: content, isTruncated: finishReason === "length" })),
          Effect.mapError((error) => StreamResponse.toJson(error).message)
        )
    })
  })
)

const provider = Ollama.layerConfig({
  defaults: { model: Config.String("MODEL").pipe(Config.withDefault("llama3.2")) }
})

McpServer.layerStdio({
  name: "local-model",
  version: "1.0.0",
  protocols: [McpProtocol.v2025_11_25, McpProtocol.v2025_06_18],
  registrations: McpServer.toolkit(toolkit)
}).pipe(
  Layer.provide(handlers),
  Layer.provide(provider),
  Layer.provide([NodeHttpClient.layerUndici, NodeServices.layer]),
  // Standard output belongs to the protocol.
  Layer.provide(Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)])),
  Layer.launch,
  NodeRuntime.runMain
)
