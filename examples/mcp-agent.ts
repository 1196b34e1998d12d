// An agent with a tool of its own and those of an MCP server, whose command follows the question:
// MODEL=llama3.2 node examples/mcp-agent.ts "Which files are here?" npx -y @modelcontextprotocol/server-filesystem .
import { NodeHttpClient, NodeRuntime, NodeServices } from "@effect/platform-node"
import { Config, Console, DateTime, Effect, Layer, Schema, Stream } from "effect"
import { McpClient, McpProtocol, Tool, Toolkit } from "effect/ai"
import { ChildProcess } from "effect/process"
import { Ollama } from "effect-local-llm"
import * as Agent from "effect-local-llm/Agent"
import * as EffectAi from "effect-local-llm/EffectAi"

const [question = "What time is it?", command = "npx", ...args] = process.argv.slice(2)

const own = Toolkit.make(Tool.make("now", { description: "The time now, in UTC", success: Schema.String }))
const ownHandlers = own.toLayer({ now: () => Effect.map(DateTime.now, DateTime.formatIso) })

/** The tools of the server. What one of them reports as an error is a result that the model reads. */
const connect = Effect.gen(function* () {
  const client = yield* McpClient.McpClient
  const tools = yield* client.listTools()
  const toolkit = Toolkit.make(
    ...tools.map(({ description, inputSchema, name }) =>
      Tool.dynamic(name, {
        description,
        parameters: inputSchema,
        success: Schema.String,
        failure: Schema.String,
        failureMode: "return"
      })
    )
  )
  const handlers = tools.map((tool) => {
    const call = (input: unknown) =>
      Schema.decodeUnknownEffect(Schema.Record(Schema.String, Schema.Unknown))(input).pipe(
        Effect.flatMap((input) => client.callTool({ tool, arguments: input }, { timeout: "1 minute" })),
        Effect.mapError(({ message }) => message),
        Effect.flatMap(({ content, isError }) => {
          const text = content.map((part) => (part.type === "text" ? part.text : `[${part.type}]`)).join("\n")
          return isError === true ? Effect.fail(text) : Effect.succeed(text)
        })
      )
    return [tool.name, call] as const
  })
  return { toolkit, context: yield* toolkit.toHandlers(Object.fromEntries(handlers)) }
})

const program = Effect.gen(function* () {
  const { context, toolkit } = yield* connect
  yield* Agent.stream({ prompt: question, toolkit: Toolkit.merge(own, toolkit), maxRounds: 8 }).pipe(
    Stream.runForEach((part) => {
      if (part._tag === "Text") return Effect.sync(() => process.stdout.write(part.text))
      return part._tag === "ToolRunning" ? Console.error(`${part.name} ${JSON.stringify(part.arguments)}`) : Effect.void
    }),
    Effect.provideContext(context)
  )
  yield* Console.log("")
})

const model = Layer.unwrap(
  Effect.map(Config.String("MODEL").pipe(Config.withDefault("llama3.2")), (model) =>
    EffectAi.layerLanguageModel({ model })
  )
)
const server = McpClient.layerStdio({
  name: "mcp-agent",
  version: "1.0.0",
  command: ChildProcess.make(command, args),
  protocol: McpProtocol.v2025_11_25
})
const live = Layer.mergeAll(ownHandlers, server, Layer.provide(model, Ollama.layerConfig())).pipe(
  Layer.provide([NodeHttpClient.layerUndici, NodeServices.layer])
)

program.pipe(Effect.provide(live), NodeRuntime.runMain)
