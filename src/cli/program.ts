/** The commands, their flags, and the exit codes. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as Argument from "effect/cli/Argument"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Stdio from "effect/Stdio"
import * as Fs from "node:fs"
import * as Arguments from "./arguments.ts"
import { chat } from "./chat.ts"
import * as Discovery from "./discovery.ts"
import * as Failure from "./failure.ts"
import { listModels } from "./models.ts"
import * as Output from "./output.ts"

const optional = <A>(flag: Flag.Flag<A>) => Flag.map(Flag.optional(flag), Option.getOrUndefined)

const serverFlags = {
  provider: Flag.Literals("provider", Discovery.kinds).pipe(
    Flag.withDescription("The kind of server (default: the first that answers: Ollama, llama-server, LM Studio)"),
    optional
  ),
  url: Flag.String("url").pipe(
    Flag.withDescription(
      "The address of the server (default: OLLAMA_HOST, LLAMA_SERVER_URL, LMSTUDIO_BASE_URL, or else this machine)"
    ),
    optional
  )
}

const chatInput = {
  words: Argument.String("prompt").pipe(
    Argument.withDescription(
      "The prompt, in one or more words. Text on standard input is added after it. Words after -- are never flags"
    ),
    Argument.variadic()
  ),
  model: Flag.String("model").pipe(
    Flag.withDescription("The model (default: the first that the server lists)"),
    optional
  ),
  system: Flag.String("system").pipe(Flag.withDescription("The system message"), optional),
  temperature: Flag.Finite("temperature").pipe(
    Flag.withDescription("The sampling temperature, 0 to 2 (default: the model's own)"),
    optional
  ),
  maxTokens: Flag.Int("max-tokens").pipe(Flag.withDescription("The largest number of tokens to generate"), optional),
  ...serverFlags
}

const chatCommand = Command.make("chat", chatInput, chat).pipe(
  Command.withDescription("Send a prompt to a model and print the answer while it is generated")
)

const modelsCommand = Command.make("models", serverFlags, listModels).pipe(
  Command.withDescription("List the models of the servers")
)

const command = Command.make("local-llm", chatInput, chat).pipe(
  Command.withDescription(
    "Send a prompt to a model on your own machine, on Ollama, llama-server, LM Studio or an OpenAI-compatible server. Without a subcommand: chat."
  ),
  Command.withSubcommands([chatCommand, modelsCommand]),
  Command.withExamples([
    { command: 'local-llm "Why is the sky blue?"', description: "Ask the server that runs on this machine" },
    { command: "local-llm Summarize this letter < letter.txt", description: "A prompt and a file" },
    { command: "local-llm -- models of the atom", description: "A prompt that begins like a subcommand or a flag" },
    { command: "local-llm models --url http://gpu-2:1234", description: "List the models of a server elsewhere" }
  ])
)

const readVersion = (): string => {
  const manifest: { readonly version: string } = JSON.parse(
    Fs.readFileSync(new URL("../../package.json", import.meta.url), "utf8")
  )
  return manifest.version
}

/** The help goes to standard output only if it was requested. */
const presenter: CliOutput.Presenter = {
  present: (event) => (event._tag === "InvalidInvocation" ? Effect.void : CliOutput.defaultPresenter.present(event))
}

const describeError = (error: unknown): string => {
  if (CliError.isCliError(error) && error._tag === "ShowHelp") {
    return `${error.errors.map(describeError).join("; ")}. See local-llm --help`
  }
  if (CliError.isCliError(error) && error._tag === "UnrecognizedOption") {
    const suggestions = error.suggestions.map((name) => `; did you mean ${name}?`).join("")
    return `unknown flag ${error.option}${suggestions} (words after -- are never flags)`
  }
  if (CliError.isCliError(error) && error._tag === "UnexpectedArgument") {
    return `${error.message}; to send a prompt that begins with "models", put -- before it`
  }
  return error instanceof Error ? Failure.describe(error) : String(error)
}

/** One line for each failure. An interrupted program and one whose reader has gone end quietly. */
const report = (cause: Cause.Cause<unknown>): Effect.Effect<void> => {
  const error = Cause.squash(cause)
  return Cause.hasInterruptsOnly(cause) || error instanceof Output.ReaderGone
    ? Effect.void
    : Output.note(`local-llm: ${describeError(error)}`)
}

let isTerminated = false
process.once("SIGTERM", () => {
  isTerminated = true
})

/** The runtime interrupts the program on both signals and exits with 130, which is right for SIGINT only. */
const teardown: Runtime.Teardown = (exit, onExit) =>
  Runtime.defaultTeardown(exit, (code) => onExit(code === 130 && isTerminated ? 143 : code))

Output.ignoreErrorEvents.pipe(
  Effect.andThen(Stdio.Stdio.use(({ args }) => args)),
  Effect.flatMap((args) => Command.runWith(command, { version: readVersion() })(Arguments.arrange(args))),
  Effect.scoped,
  Effect.tapCause(report),
  Effect.provide(
    Layer.mergeAll(
      NodeServices.layer,
      NodeHttpClient.layerUndici,
      CliOutput.layerPresenter(presenter),
      CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] })
    )
  ),
  (program) => NodeRuntime.runMain(program, { disableErrorReporting: true, teardown })
)
