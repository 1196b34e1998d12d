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

const hosts = {
  hosts: repeated(
    Flag.String("host"),
    "The address of a server. Several make a pool, which chooses one for each request"
  )
}

export const chat = {
  ...prompt,
  ...hosts,
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
  raw: isSet("raw", "Print the text as the model writes it, without wrapping and styles, as in a pipe"),
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

const keys = {
  file: optional(
    Flag.Path("keys"),
    "The file of the keys of a gateway (default: local-llm/keys.json in the folder for settings)"
  )
}

export const serve = {
  ...hosts,
  config: optional(Flag.Path("config"), "A file with the hosts and the other settings. It is read again on SIGHUP"),
  listen: optional(
    Flag.String("listen"),
    "The address to listen on: HOST, HOST:PORT or PORT (default: 127.0.0.1:11435)"
  ),
  aliases: repeated(
    Flag.String("alias"),
    "A further name of a model, as NAME=MODEL, for tools with fixed names; several flags for several"
  ),
  permits: optional(Flag.Int("permits"), "How many requests each host answers at the same time (default: 4)"),
  ...keys,
  noKeys: isSet("no-keys", "Need no keys, on any address"),
  firstChunkTimeout: timeouts.firstChunkTimeout,
  idleTimeout: timeouts.idleTimeout,
  stopTimeout: timeout("stop-timeout", "How long running answers may take to end after SIGTERM", "60s")
}

const keyName = Argument.String("name").pipe(Argument.withDescription("The name of a key"))

export const addKey = {
  name: keyName,
  ...keys,
  models: repeated(Flag.String("model"), "A model that it may use; several flags for several (default: all)"),
  requestsAtOnce: optional(Flag.Int("requests-at-once"), "How many requests it may send at the same time"),
  requestsPerMinute: optional(Flag.Int("requests-per-minute"), "How many requests it may send in a minute"),
  tokensPerMinute: optional(
    Flag.Int("tokens-per-minute"),
    "How many tokens its prompts and answers may have in a minute"
  ),
  priority: optional(
    Flag.Literals("priority", ["interactive", "batch"]),
    "Whether its requests wait for those of others (default: interactive)"
  ),
  mayPull: isSet("pull", "Let it download models onto the hosts"),
  maySeeStatus: isSet("status", "Let it see the status page and the metrics")
}

export const listKeys = keys

export const removeKeys = { names: Argument.atLeast(keyName, 1), ...keys }

/** What a command gets. */
export type Input<Flags extends Command.Command.Config = {}> = Command.Command.Config.Infer<Flags & typeof common>

export type Timeouts = Command.Command.Config.Infer<typeof timeouts>
