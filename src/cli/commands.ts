/** The commands. */
import * as Command from "effect/cli/Command"
import * as Completions from "effect/cli/Completions"
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stdio from "effect/Stdio"
import * as Kinds from "../servers/kinds.ts"
import * as Failure from "./failure.ts"
import * as Flags from "./flags.ts"
import type * as Models from "./models.ts"
import * as Output from "./output.ts"
import type * as Keys from "./serve/keys.ts"
import * as Settings from "./settings.ts"

/**
 * node:http is there soonest. A command that sends many requests gets undici, which keeps connections for them and knows whether a
 * request was lost with one. On Bun, a module of Bun's own replaces undici and lacks what its layer is made of.
 */
const httpFor = (sendsMany: boolean) =>
  Layer.unwrap(
    Effect.map(
      Effect.promise(() => import("@effect/platform-node/NodeHttpClient")),
      ({ layerNodeHttp, layerUndici }) =>
        sendsMany && process.versions["bun"] === undefined ? layerUndici : layerNodeHttp
    )
  )

type Handler<Input, E, R> = (input: Input) => Effect.Effect<void, E, R>

/** A module is loaded only if its command runs, so that the help is there at once. */
type Load<Input, E, R> = () => Promise<Handler<Input, E, R>>

const run = <Input, E, R>(load: Load<Input, E, R>, input: Input, sendsMany = false) =>
  Effect.promise(load).pipe(
    Effect.flatMap((handle) => handle(input)),
    Effect.scoped,
    Effect.provide(httpFor(sendsMany))
  )

/** As `load`, for a command that also gets what variables and the file of settings say. */
const withSettings =
  <Input extends Settings.Said, E, R>(load: Load<Input, E, R>) =>
  async () => {
    const handle = await load()
    return (input: Input) => Effect.flatMap(Settings.apply(input), handle)
  }

const loadChat = async () => (await import("./chat.ts")).chat
const models =
  <K extends keyof typeof Models>(name: K) =>
  async () =>
    (await import("./models.ts"))[name]
const keys =
  <K extends keyof typeof Keys>(name: K) =>
  async () =>
    (await import("./serve/keys.ts"))[name]

const root = Command.make("local-llm", Flags.chat).pipe(
  Command.withSharedFlags(Flags.common),
  Command.withHandler((input) => Effect.andThen(checkWords(input.words), run(loadChat, input))),
  Command.withDescription(
    `Send a prompt to a model on your own machine, on ${Kinds.localNames.join(", ")} or an OpenAI-compatible server. Without a subcommand: chat.`
  ),
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

const define = <const Name extends string, const Config extends Command.Command.Config, E, R>(
  name: Name,
  description: string,
  config: Config,
  load: Load<Command.Command.Config.Infer<Config> & Flags.Input, E, R>,
  { sendsMany = false } = {}
) =>
  Command.make(name, config, (input) =>
    Effect.flatMap(root, (common) => run(load, Object.assign({}, input, common), sendsMany))
  ).pipe(Command.withDescription(description))

const subcommands = [
  define("chat", "Send a prompt to a model and print the answer while it is generated", Flags.chat, loadChat),
  define("models", "List the models of the servers", {}, withSettings(models("list"))),
  define("show", "Show what a server reports about a model", Flags.named, withSettings(models("show"))),
  define("ps", "List the models in memory", {}, withSettings(models("ps"))),
  define(
    "pull",
    "Download a model. Stopped with Ctrl-C, it resumes the next time",
    Flags.pull,
    withSettings(async () => (await import("./pull.ts")).pull)
  ),
  define(
    "rm",
    "Delete models. If one of them is missing, none is deleted",
    Flags.remove,
    withSettings(models("remove"))
  ),
  define("cp", "Give a model a second name", Flags.copy, withSettings(models("copy"))),
  define("load", "Load a model into memory", Flags.load, withSettings(models("load"))),
  define("unload", "Remove a model from memory", Flags.named, withSettings(models("unload"))),
  define(
    "embed",
    "Print the vector of a text",
    Flags.embed,
    withSettings(async () => (await import("./embed.ts")).embed)
  ),
  define(
    "batch",
    "Answer many requests from a file. Stopped or killed, it does what is missing the next time",
    Flags.batch,
    withSettings(async () => (await import("./batch.ts")).batch),
    { sendsMany: true }
  ),
  define(
    "batch-worker",
    "Answer the requests of batches that are in a database, together with workers on other machines",
    Flags.batchWorker,
    withSettings(async () => (await import("./batch.ts")).batchWorker),
    { sendsMany: true }
  ),
  define(
    "batch-remove",
    "Remove a job from the database, with its requests and results. Workers stop answering it",
    Flags.batchRemove,
    async () => (await import("./batch.ts")).batchRemove
  ),
  define(
    "serve",
    "Serve the models of all hosts at one address, to every tool that speaks to Ollama, OpenAI or Anthropic",
    Flags.serve,
    async () => (await import("./serve/serve.ts")).serve,
    { sendsMany: true }
  ),
  define(
    "join",
    "Let the servers of this machine take part in a cluster, until they are no longer needed",
    Flags.join,
    async () => (await import("./serve/join.ts")).join,
    { sendsMany: true }
  ),
  define("top", "Show the state of a gateway that runs", {}, async () => (await import("./serve/top.ts")).top),
  define(
    "settings",
    "Show the settings of this program, and whether variables or the file give them",
    {},
    async () => (await import("./showSettings.ts")).showSettings
  ),
  Command.make("keys", {}, () => Failure.fail("a command is missing: local-llm keys add, list or remove")).pipe(
    Command.withDescription("Add, list and remove the keys of a gateway"),
    Command.withSubcommands([
      define("add", "Make a key and print it, once", Flags.addKey, keys("add")),
      define("list", "List the keys", Flags.listKeys, keys("list")),
      define("remove", "Remove keys. If one of them is missing, none is removed", Flags.removeKeys, keys("remove"))
    ])
  )
] as const

const commands = root.pipe(Command.withSubcommands(subcommands))

/** `help` and `help COMMAND` mean the flag. Otherwise the words are a prompt. */
export const expandHelp = (args: ReadonlyArray<string>): ReadonlyArray<string> => {
  const [first, ...rest] = args
  return first === "help" && isCommand(rest, subcommands) ? [...rest, "--help"] : args
}

/** Whether words name a command, such as `keys add`. No words name the program. */
const isCommand = ([word, ...rest]: ReadonlyArray<string>, commands: ReadonlyArray<Command.Command.Any>): boolean => {
  if (word === undefined) return true
  const found = commands.find(({ name }) => name === word)
  return (
    found !== undefined &&
    isCommand(
      rest,
      found.subcommands.flatMap(({ commands }) => commands)
    )
  )
}

/** A single word that is almost the name of a command is no prompt. After `--` it is one. */
const checkWords = Effect.fnUntraced(function* (
  words: ReadonlyArray<string>
): Effect.fn.Return<void, Failure.CommandFailed, Stdio.Stdio> {
  const { args } = yield* Stdio.Stdio
  const word = words[0] === "help" ? words.slice(1).join(" ") : words.join(" ")
  const meant = ["help", ...subcommands.map(({ name }) => name)].find((name) => isTypo(word, name))
  if (meant === undefined || (yield* args).includes("--")) return
  return yield* Failure.fail(
    `there is no command "${word}"; did you mean ${meant}? To send it as a prompt: local-llm chat ${words.join(" ")}`
  )
})

/** Between shorter words, one letter makes too many others. */
const shortestName = 4

/** Whether a word differs from a name by one letter: another, one more, one less, or two that changed places. */
const isTypo = (word: string, name: string): boolean => {
  if (name.length < shortestName || word === name) return false
  const start = [...name].findIndex((letter, i) => word[i] !== letter)
  const from = start === -1 ? name.length : start
  const [a, b] = [word.slice(from), name.slice(from)]
  return (
    a.slice(1) === b.slice(1) ||
    a.slice(1) === b ||
    a === b.slice(1) ||
    (a.slice(2) === b.slice(2) && a[0] === b[1] && a[1] === b[0])
  )
}

/** The flags that `effect/cli` acts on itself. */
export const builtIns = [GlobalFlag.Help, GlobalFlag.Version] as const

/** The commands with all their flags. */
export const describe = () => {
  const help = Flag.withoutNegation(GlobalFlag.Help.flag)
  const version = Flag.withoutNegation(GlobalFlag.Version.flag)
  const flags = { help, version, completions: GlobalFlag.Completions.flag }
  return Completions.fromCommand(Command.withSharedFlags(commands, flags))
}

/** Effect's own action leaves out the built-in flags, and ignores that standard output cannot be written. */
const completions = GlobalFlag.Action({
  flag: GlobalFlag.Completions.flag,
  run: Option.match({
    onNone: () => Effect.void,
    // The action cannot fail, but the program reports a defect as it reports a failure.
    onSome: (shell) => Effect.orDie(Output.write(`${Completions.generate(commands.name, shell, describe())}\n`))
  })
})

export const command = commands.pipe(Command.withGlobalFlags([completions]))
