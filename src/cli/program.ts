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
import * as Manage from "./manage.ts"
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
  hosts: Flag.String("host").pipe(
    Flag.withDescription("The address of a server. Several make a pool, which chooses one for each request"),
    Flag.atLeast(0)
  ),
  model: Flag.String("model").pipe(
    Flag.withAlias("m"),
    Flag.withDescription("The model (default: the first that the server lists)"),
    optional
  ),
  system: Flag.String("system").pipe(Flag.withAlias("s"), Flag.withDescription("The system message"), optional),
  images: Flag.File("image", { mustExist: true }).pipe(
    Flag.withDescription("An image that belongs to the prompt; several flags for several"),
    Flag.atLeast(0)
  ),
  think: Flag.Literals("think", ["on", "off", "low", "medium", "high", "max"]).pipe(
    Flag.withDescription("Whether, or how much, the model thinks (default: the model's own)"),
    optional
  ),
  contextLength: Flag.Int("context").pipe(
    Flag.withDescription("The context to load the model with, in tokens (Ollama only)"),
    optional
  ),
  temperature: Flag.Finite("temperature").pipe(
    Flag.withDescription("The sampling temperature, 0 to 2 (default: the model's own)"),
    optional
  ),
  maxTokens: Flag.Int("max-tokens").pipe(Flag.withDescription("The largest number of tokens to generate"), optional),
  stop: Flag.String("stop").pipe(
    Flag.withDescription("A text that ends the answer; several flags for several"),
    Flag.atLeast(0)
  ),
  seed: Flag.Int("seed").pipe(
    Flag.withDescription("The same seed gives the same answer, as far as servers can"),
    optional
  ),
  schema: Flag.FileText("schema").pipe(
    Flag.withDescription("A file with a JSON Schema. The answer is its JSON; one that does not match is an error"),
    optional
  ),
  json: Flag.Boolean("json").pipe(
    Flag.withDefault(false),
    Flag.withDescription("Print the whole answer as one JSON object")
  ),
  jsonl: Flag.Boolean("jsonl").pipe(
    Flag.withDefault(false),
    Flag.withDescription("Print each chunk as a line of JSON, as it arrives")
  ),
  quiet: Flag.Boolean("quiet").pipe(
    Flag.withDefault(false),

    Flag.withAlias("q"),
    Flag.withDescription("Print the answer only, without thinking and summary")
  ),
  ...serverFlags
}

const chatCommand = Command.make("chat", chatInput, chat).pipe(
  Command.withDescription("Send a prompt to a model and print the answer while it is generated")
)

const json = Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("Print JSON"))
const manageInput = { ...serverFlags, json }
const modelInput = { name: Argument.String("model").pipe(Argument.withDescription("Its name")), ...manageInput }

const commands = [
  chatCommand,
  Command.make("models", manageInput, listModels).pipe(Command.withDescription("List the models of the servers")),
  Command.make("show", modelInput, Manage.show).pipe(
    Command.withDescription("Show what a server reports about a model")
  ),
  Command.make("ps", manageInput, Manage.ps).pipe(Command.withDescription("List the models in memory")),
  Command.make("pull", modelInput, Manage.pull).pipe(
    Command.withDescription("Download a model. Stopped with Ctrl-C, it resumes the next time")
  ),
  Command.make("rm", modelInput, Manage.remove).pipe(Command.withDescription("Delete a model")),
  Command.make("cp", { ...modelInput, to: Argument.String("to") }, Manage.copy).pipe(
    Command.withDescription("Give a model a second name")
  ),
  Command.make("load", modelInput, Manage.load).pipe(Command.withDescription("Load a model into memory")),
  Command.make("unload", modelInput, Manage.unload).pipe(Command.withDescription("Remove a model from memory")),
  Command.make(
    "embed",
    {
      words: chatInput.words,
      model: chatInput.model,
      dimensions: Flag.Int("dimensions").pipe(Flag.withDescription("The length of the vector"), optional),
      ...manageInput
    },
    Manage.embed
  ).pipe(Command.withDescription("Print the vector of a text"))
] as const

const command = Command.make("local-llm", chatInput, chat).pipe(
  Command.withDescription(
    "Send a prompt to a model on your own machine, on Ollama, llama-server, LM Studio or an OpenAI-compatible server. Without a subcommand: chat."
  ),
  Command.withSubcommands(commands),
  Command.withExamples([
    { command: 'local-llm "Why is the sky blue?"', description: "Ask the server that runs on this machine" },
    { command: "local-llm Summarize this letter < letter.txt", description: "A prompt and a file" },
    { command: "local-llm -- models of the atom", description: "A prompt that begins like a subcommand or a flag" },
    {
      command: "local-llm -m qwen3 --schema recipe.json Pancakes",
      description: "An answer as JSON that matches a schema"
    },
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
    return `${error.message}; to send a prompt that begins with the name of a command, put -- before it`
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

/** On Bun, a module of Bun's own replaces undici and lacks the dispatchers that the layer of undici is made of. */
const httpClient = process.versions["bun"] === undefined ? NodeHttpClient.layerUndici : NodeHttpClient.layerNodeHttp

let signalCode: number | undefined
process.once("SIGTERM", () => {
  signalCode ??= 143
})
// The runtime interrupts the program on SIGINT and SIGTERM only. A terminal that is closed sends this one.
process.once("SIGHUP", () => {
  signalCode = 129
  process.kill(process.pid, "SIGTERM")
})

/** After an interruption the runtime exits with 130, which is right for SIGINT only. */
const teardown: Runtime.Teardown = (exit, onExit) =>
  Runtime.defaultTeardown(exit, (code) => onExit(code === 130 ? (signalCode ?? code) : code))

Output.ignoreErrorEvents.pipe(
  Effect.andThen(Stdio.Stdio.use(({ args }) => args)),
  Effect.flatMap((args) => Command.runWith(command, { version: readVersion() })(Arguments.arrange(args))),
  Effect.scoped,
  Effect.tapCause(report),
  Effect.provide(
    Layer.mergeAll(
      NodeServices.layer,
      httpClient,
      CliOutput.layerPresenter(presenter),
      CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] })
    )
  ),
  (program) => NodeRuntime.runMain(program, { disableErrorReporting: true, teardown })
)
