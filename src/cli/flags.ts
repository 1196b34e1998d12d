/** The flags and the words of each command. */
import * as Argument from "effect/cli/Argument"
import type * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import * as Servers from "../servers/servers.ts"

const optional = <A>(flag: Flag.Flag<A>, description: string) =>
  flag.pipe(Flag.withDescription(description), Flag.optional, Flag.map(Option.getOrUndefined))

const repeated = <A>(flag: Flag.Flag<A>, description: string) =>
  flag.pipe(Flag.withDescription(description), Flag.atLeast(0))

/** A word such as `no` or `1` after the flag belongs to the prompt. It is a value only after "=". */
const isSet = (name: string, description: string) =>
  Flag.Boolean(name).pipe(
    Flag.withOptionalValue("true"),
    Flag.withDefault(false),
    Flag.withoutNegation,
    Flag.withDescription(description)
  )

const addressVariables = Servers.localKinds.map((kind) => Servers.definitions[kind].environment.baseUrl).join(", ")

/** Those of all commands. They may also stand before the name of the command. */
export const common = {
  provider: optional(
    Flag.Literals("provider", Servers.kinds),
    `The kind of server (default: the first that answers: ${Servers.localNames.join(", ")})`
  ),
  url: optional(Flag.String("url"), `The address of the server (default: ${addressVariables}, or else this machine)`),
  headers: repeated(
    Flag.String("header"),
    'A header of every request, as "NAME: VALUE"; several flags for several (or LOCAL_LLM_HEADERS)'
  ),
  json: isSet("json", "Print JSON. An answer is one object")
}

const timeout = (name: string, description: string, byDefault: string) =>
  optional(Flag.String(name), `${description}: 90s, 10m, 2h or never (default: ${byDefault})`)

const timeouts = {
  firstChunkTimeout: timeout("first-chunk-timeout", "How long the first text may take", "5m"),
  idleTimeout: timeout("idle-timeout", "How long nothing may arrive after it", "2m"),
  totalTimeout: timeout("total-timeout", "How long all of it may take", "never")
}

const prompt = {
  words: Argument.String("prompt").pipe(
    Argument.withDescription(
      "The prompt, in one or more words. Text on standard input is added after it. Words after -- are never flags"
    ),
    Argument.variadic()
  ),
  model: optional(
    Flag.String("model").pipe(Flag.withAlias("m")),
    "The model (default: the first that the server lists)"
  )
}

export const chat = {
  ...prompt,
  hosts: repeated(
    Flag.String("host"),
    "The address of a server. Several make a pool, which chooses one for each request"
  ),
  system: optional(Flag.String("system").pipe(Flag.withAlias("s")), "The system message"),
  images: repeated(Flag.Path("image"), "An image that belongs to the prompt; several flags for several"),
  think: optional(
    Flag.Literals("think", ["on", "off", "low", "medium", "high", "max"]),
    "Whether, or how much, the model thinks (default: the model's own)"
  ),
  contextLength: optional(Flag.Int("context"), "The context to load the model with, in tokens (Ollama only)"),
  temperature: optional(Flag.Finite("temperature"), "The sampling temperature, 0 to 2 (default: the model's own)"),
  maxTokens: optional(Flag.Int("max-tokens"), "The largest number of tokens to generate"),
  stop: repeated(Flag.String("stop"), "A text that ends the answer; several flags for several"),
  seed: optional(Flag.Int("seed"), "The same seed gives the same answer, as far as servers can"),
  schema: optional(
    Flag.Path("schema"),
    "A file with a JSON Schema. The answer is its JSON; one that does not match is an error"
  ),
  jsonl: isSet("jsonl", "Print each chunk as a line of JSON, as it arrives"),
  quiet: Flag.withAlias(isSet("quiet", "Print the answer only, without thinking and summary"), "q"),
  ...timeouts
}

export const embed = {
  ...prompt,
  dimensions: optional(Flag.Int("dimensions"), "The length of the vector"),
  lines: isSet("lines", "Read one text from each line of standard input, and print a line for each"),
  ...timeouts
}

const modelName = Argument.String("model").pipe(Argument.withDescription("The name of a model"))

export const model = { name: modelName }

export const pull = {
  ...model,
  insecure: isSet("insecure", "Reach the registry without TLS, or with a certificate that is not valid (Ollama only)")
}

export const remove = { names: Argument.atLeast(modelName, 1) }

export const copy = {
  ...model,
  to: Argument.String("to").pipe(Argument.withDescription("Its second name")),
  force: isSet("force", "Replace a model that has this name already")
}

export const load = {
  ...model,
  contextLength: optional(Flag.Int("context"), "The context to load it with, in tokens (Ollama and LM Studio)"),
  keepAlive: optional(
    Flag.String("keep-alive"),
    "How long it stays in memory after its last use: 90s, 10m, 2h or always (Ollama only)"
  )
}

/** What a command gets. */
export type Input<Flags extends Command.Command.Config = {}> = Command.Command.Config.Infer<Flags & typeof common>

export type Timeouts = Command.Command.Config.Infer<typeof timeouts>
