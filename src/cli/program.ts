/** The commands, their flags, and what becomes of errors. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Argument from "effect/cli/Argument"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Fs from "node:fs"
import { chat } from "./chat.ts"
import { listModels } from "./models.ts"
import * as Terminal from "./terminal.ts"

const optional = <A>(flag: Flag.Flag<A>) => Flag.map(Flag.optional(flag), Option.getOrUndefined)

const serverFlags = {
  provider: Flag.Literals("provider", ["ollama", "lmstudio"]).pipe(
    Flag.withDescription("Which server to ask (default: the one that answers, Ollama first)"),
    optional
  ),
  url: Flag.String("url").pipe(
    Flag.withDescription("Where it is (default: OLLAMA_HOST, LMSTUDIO_BASE_URL, or else this machine)"),
    optional
  )
}

const chatInput = {
  prompt: Argument.String("prompt").pipe(
    Argument.withDescription("What to ask (default: what comes on standard input)"),
    Argument.optional,
    Argument.map(Option.getOrUndefined)
  ),
  model: Flag.String("model").pipe(
    Flag.withDescription("Which model to ask (default: the first that the server lists)"),
    optional
  ),
  system: Flag.String("system").pipe(Flag.withDescription("What to tell the model before the prompt"), optional),
  temperature: Flag.Finite("temperature").pipe(
    Flag.withDescription("How freely words are drawn, 0 to 2 (default: the model's own way)"),
    optional
  ),
  maxTokens: Flag.Int("max-tokens").pipe(Flag.withDescription("The most tokens to generate"), optional),
  ...serverFlags
}

const chatCommand = Command.make("chat", chatInput, chat).pipe(
  Command.withDescription("Ask a model; the answer streams as it is generated")
)

const modelsCommand = Command.make("models", serverFlags, listModels).pipe(
  Command.withDescription("List the models that the servers have")
)

const command = Command.make("local-llm", chatInput, chat).pipe(
  Command.withDescription("Ask a model on your own machine, on Ollama or LM Studio. Without a subcommand: chat."),
  Command.withSubcommands([chatCommand, modelsCommand]),
  Command.withExamples([
    { command: 'local-llm "Why is the sky blue?"', description: "Ask whichever server runs here" },
    { command: "local-llm chat --provider ollama --model llama3.2 < letter.txt", description: "Ask about a file" },
    { command: "local-llm models --url http://gpu-2:1234", description: "What a server on another machine has" }
  ])
)

const readVersion = (): string => {
  const manifest: { readonly version: string } = JSON.parse(
    Fs.readFileSync(new URL("../../package.json", import.meta.url), "utf8")
  )
  return manifest.version
}

/** One line for what went wrong; wrong flags are explained by the library, which exits with 1 by itself. */
const report = (error: Error): Effect.Effect<void, CliError.CliError> =>
  CliError.isCliError(error)
    ? Effect.fail(error)
    : Effect.andThen(
        Terminal.note(`local-llm: ${error.message.replaceAll(/\s*\n\s*/g, " ")}`),
        Effect.sync(() => {
          process.exitCode = 1
        })
      )

Command.run(command, { version: readVersion() }).pipe(
  Effect.scoped,
  Effect.catch(report),
  Effect.provide(
    Layer.mergeAll(
      NodeServices.layer,
      NodeHttpClient.layerUndici,
      CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] })
    )
  ),
  NodeRuntime.runMain
)
