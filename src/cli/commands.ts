/** The commands and their flags. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as EffectCompletions from "effect/cli/Completions"
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Completions from "./completions.ts"
import * as Servers from "../servers/servers.ts"
import * as Output from "./output.ts"

const optional = <A>(flag: Flag.Flag<A>) => Flag.map(Flag.optional(flag), Option.getOrUndefined)

const isSet = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withDefault(false), Flag.withoutNegation, Flag.withDescription(description))

const localNames = Servers.localNames.join(", ")
const addressVariables = Servers.localKinds.map((kind) => Servers.definitions[kind].environment.baseUrl).join(", ")

const serverFlags = {
  provider: Flag.Literals("provider", Servers.kinds).pipe(
    Flag.withDescription(`The kind of server (default: the first that answers: ${localNames})`),
    optional
  ),
  url: Flag.String("url").pipe(
    Flag.withDescription(`The address of the server (default: ${addressVariables}, or else this machine)`),
    optional
  ),
  headers: Flag.String("header").pipe(
    Flag.withDescription(
      'A header of every request, as "NAME: VALUE"; several flags for several (or LOCAL_LLM_HEADERS)'
    ),
    Flag.atLeast(0)
  )
}

const timeout = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withDescription(`${description}: 90s, 10m, 2h or never`), optional)

const timeoutFlags = {
  firstChunkTimeout: timeout("first-chunk-timeout", "How long the first text may take (default: 5m)"),
  idleTimeout: timeout("idle-timeout", "How long nothing may arrive after it (default: 2m)"),
  totalTimeout: timeout("total-timeout", "How long all of it may take (default: never)")
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
  images: Flag.Path("image").pipe(
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
  schema: Flag.Path("schema").pipe(
    Flag.withDescription("A file with a JSON Schema. The answer is its JSON; one that does not match is an error"),
    optional
  ),
  json: isSet("json", "Print the whole answer as one JSON object"),
  jsonl: isSet("jsonl", "Print each chunk as a line of JSON, as it arrives"),
  quiet: Flag.withAlias(isSet("quiet", "Print the answer only, without thinking and summary"), "q"),
  ...timeoutFlags,
  ...serverFlags
}

/** A module is loaded only if its command runs, so that the help is there at once. */
const lazily =
  <Input, E, R>(load: () => Promise<(input: Input) => Effect.Effect<void, E, R>>) =>
  (input: Input) =>
    Effect.promise(load).pipe(
      Effect.flatMap((handle) => handle(input)),
      Effect.scoped,
      Effect.provide(http)
    )

/** On Bun, a module of Bun's own replaces undici and lacks the dispatchers that the layer of undici is made of. */
const http = Layer.unwrap(
  Effect.map(
    Effect.promise(() => import("@effect/platform-node/NodeHttpClient")),
    ({ layerNodeHttp, layerUndici }) => (process.versions["bun"] === undefined ? layerUndici : layerNodeHttp)
  )
)

const chat = lazily(async () => (await import("./chat.ts")).chat)
const listModels = lazily(async () => (await import("./models.ts")).listModels)
const pull = lazily(async () => (await import("./pull.ts")).pull)
const embed = lazily(async () => (await import("./embed.ts")).embed)
const manage = () => import("./manage.ts")

const manageInput = { ...serverFlags, json: isSet("json", "Print JSON") }
const name = Argument.String("model").pipe(Argument.withDescription("The name of a model"))
const modelInput = { name, ...manageInput }

const commands = [
  Command.make("chat", chatInput, chat).pipe(
    Command.withDescription("Send a prompt to a model and print the answer while it is generated")
  ),
  Command.make("models", manageInput, listModels).pipe(Command.withDescription("List the models of the servers")),
  Command.make(
    "show",
    modelInput,
    lazily(async () => (await manage()).show)
  ).pipe(Command.withDescription("Show what a server reports about a model")),
  Command.make(
    "ps",
    manageInput,
    lazily(async () => (await manage()).ps)
  ).pipe(Command.withDescription("List the models in memory")),
  Command.make(
    "pull",
    {
      ...modelInput,
      insecure: isSet(
        "insecure",
        "Reach the registry without TLS, or with a certificate that is not valid (Ollama only)"
      )
    },
    pull
  ).pipe(Command.withDescription("Download a model. Stopped with Ctrl-C, it resumes the next time")),
  Command.make(
    "rm",
    { names: Argument.atLeast(name, 1), ...manageInput },
    lazily(async () => (await manage()).remove)
  ).pipe(Command.withDescription("Delete models. If one of them is missing, none is deleted")),
  Command.make(
    "cp",
    {
      ...modelInput,
      to: Argument.String("to").pipe(Argument.withDescription("Its second name")),
      force: isSet("force", "Replace a model that has this name already")
    },
    lazily(async () => (await manage()).copy)
  ).pipe(Command.withDescription("Give a model a second name")),
  Command.make(
    "load",
    {
      ...modelInput,
      contextLength: Flag.Int("context").pipe(
        Flag.withDescription("The context to load it with, in tokens (Ollama and LM Studio)"),
        optional
      ),
      keepAlive: Flag.String("keep-alive").pipe(
        Flag.withDescription("How long it stays in memory after its last use: 90s, 10m, 2h or always (Ollama only)"),
        optional
      )
    },
    lazily(async () => (await manage()).load)
  ).pipe(Command.withDescription("Load a model into memory")),
  Command.make(
    "unload",
    modelInput,
    lazily(async () => (await manage()).unload)
  ).pipe(Command.withDescription("Remove a model from memory")),
  Command.make(
    "embed",
    {
      words: chatInput.words,
      model: chatInput.model,
      dimensions: Flag.Int("dimensions").pipe(Flag.withDescription("The length of the vector"), optional),
      lines: isSet("lines", "Read one text from each line of standard input, and print a line for each"),
      ...timeoutFlags,
      ...manageInput
    },
    embed
  ).pipe(Command.withDescription("Print the vector of a text"))
] as const

const completions = GlobalFlag.Action({
  flag: Flag.Literals("completions", Completions.shells).pipe(
    Flag.withDescription("Print a completion script for a shell"),
    Flag.optional
  ),
  run: (shell, { command }) =>
    Option.match(shell, {
      onNone: () => Effect.void,
      // The action cannot fail, but the program reports a defect as it reports a failure.
      onSome: (shell) => Effect.orDie(Output.write(`${Completions.script(shell, describe(command))}\n`))
    })
})

/** The flags of all commands. */
export const builtIns = [GlobalFlag.Help, GlobalFlag.Version] as const

/** A command with its flags, including those that all commands have. */
export const describe = (command: Command.Command.Any): EffectCompletions.CommandDescriptor => {
  const { flags } = EffectCompletions.fromCommand(
    Command.make("all", {
      help: GlobalFlag.Help.flag,
      version: GlobalFlag.Version.flag,
      completions: completions.flag
    })
  )
  const add = (descriptor: EffectCompletions.CommandDescriptor): EffectCompletions.CommandDescriptor => ({
    ...descriptor,
    flags: [...descriptor.flags, ...flags],
    subcommands: descriptor.subcommands.map(add)
  })
  return add(EffectCompletions.fromCommand(command))
}

export const command = Command.make("local-llm", chatInput, chat).pipe(
  Command.withDescription(
    `Send a prompt to a model on your own machine, on ${localNames} or an OpenAI-compatible server. Without a subcommand: chat.`
  ),
  Command.withSubcommands(commands),
  Command.withGlobalFlags([completions]),
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
