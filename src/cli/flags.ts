/** The flags and the words of each command. */
import * as Argument from "effect/cli/Argument"
import type * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import * as Kinds from "../servers/kinds.ts"
import * as Settings from "./settings.ts"

const optional = <A>(flag: Flag.Flag<A>, description: string) =>
  flag.pipe(Flag.withDescription(description), Flag.optional, Flag.map(Option.getOrUndefined))

const repeated = <A>(flag: Flag.Flag<A>, description: string) =>
  flag.pipe(Flag.withDescription(description), Flag.atLeast(0))

/** A word such as `no` or `1` after the flag belongs to the prompt. It is a value only after "=". */
const bare = (name: string) => Flag.Boolean(name).pipe(Flag.withOptionalValue("true"), Flag.withoutNegation)

const isSet = (name: string, description: string) =>
  bare(name).pipe(Flag.withDefault(false), Flag.withDescription(description))

/** A flag that is also a setting, whose description it has. */
const setting = <A>(flag: Flag.Flag<A>, name: Settings.Name) => optional(flag, Settings.describe(name))

/** Several flags for the texts of a setting. */
const settingOfTexts = (flag: Flag.Flag<string>, description: string) =>
  repeated(flag, description).pipe(Flag.map((texts) => (texts.length === 0 ? undefined : texts)))

/** Those of all commands. They may also stand before the name of the command. */
export const common = {
  provider: setting(Flag.Literals("provider", Kinds.kinds), "provider"),
  url: setting(Flag.String("url"), "url"),
  hosts: settingOfTexts(
    Flag.String("host"),
    "The address of a server. Several make a pool, which chooses one for each request"
  ),
  headers: repeated(
    Flag.String("header"),
    'A header of every request, as "NAME: VALUE"; several flags for several (or LOCAL_LLM_HEADERS)'
  ),
  json: isSet("json", "Print JSON. An answer is one object")
}

const timeouts = {
  firstChunkTimeout: setting(Flag.String("first-chunk-timeout"), "firstChunkTimeout"),
  idleTimeout: setting(Flag.String("idle-timeout"), "idleTimeout"),
  totalTimeout: setting(Flag.String("total-timeout"), "totalTimeout")
}

const prompt = {
  words: Argument.String("prompt").pipe(
    Argument.withDescription(
      "The prompt, in one or more words. Text on standard input is added after it. Words after -- are never flags"
    ),
    Argument.variadic()
  )
}

const model = Flag.String("model").pipe(Flag.withAlias("m"))

export const chat = {
  ...prompt,
  model: setting(model, "model"),
  system: setting(Flag.String("system").pipe(Flag.withAlias("s")), "system"),
  images: repeated(Flag.Path("image"), "An image that belongs to the prompt; several flags for several"),
  files: repeated(Flag.Path("file"), "A file of text that belongs to the prompt; several flags for several"),
  think: setting(Flag.Literals("think", Settings.levels), "think"),
  context: setting(Flag.Int("context"), "context"),
  temperature: setting(Flag.Finite("temperature").pipe(Flag.withAlias("t")), "temperature"),
  maxTokens: setting(Flag.Int("max-tokens"), "maxTokens"),
  stop: settingOfTexts(Flag.String("stop"), "A text that ends the answer; several flags for several"),
  seed: setting(Flag.Int("seed"), "seed"),
  schema: optional(
    Flag.Path("schema"),
    "A file with a JSON Schema. The answer is its JSON; one that does not match is an error"
  ),
  jsonl: isSet("jsonl", "Print each chunk as a line of JSON, as it arrives"),
  quiet: setting(Flag.withAlias(bare("quiet"), "q"), "quiet"),
  raw: setting(bare("raw"), "raw"),
  continue: Flag.withAlias(isSet("continue", "Continue the last conversation, with its model"), "c"),
  private: setting(bare("private"), "private"),
  ...timeouts
}

export const embed = {
  ...prompt,
  embeddingModel: setting(model, "embeddingModel"),
  dimensions: optional(Flag.Int("dimensions"), "The length of the vector"),
  lines: isSet("lines", "Read one text from each line of standard input, and print a line for each"),
  ...timeouts
}

const cluster = optional(
  Flag.String("cluster"),
  "The PostgreSQL database of the cluster, as postgres://user@host/database (or LOCAL_LLM_CLUSTER; the password may be in PGPASSWORD)"
)

export const batch = {
  file: Argument.Path("requests").pipe(
    Argument.withDescription(
      "A file with a request in each line: custom_id, url and body, as OpenAI's batches have them"
    )
  ),
  out: Flag.Path("out").pipe(
    Flag.withDescription("The file for the results. If it exists, only what is missing there is done")
  ),
  model: setting(model, "model"),
  concurrency: optional(
    Flag.Int("concurrency"),
    "How many requests run at the same time (default: 4 for each host, and one that waits)"
  ),
  retryFailed: isSet("retry-failed", "Send requests that failed in an earlier run again"),
  maxWait: optional(
    Flag.String("max-wait"),
    "How long requests wait while no server can be reached or all are busy, such as 2h, before the run ends (default: never; without --cluster)"
  ),
  cluster,
  job: optional(
    Flag.String("job"),
    "With --cluster: the name of the job, which no other file has (default: the name of the file)"
  ),
  ...timeouts
}

export const batchWorker = {
  cluster,
  model: batch.model,
  concurrency: batch.concurrency,
  ...timeouts
}

export const batchRemove = {
  job: Argument.String("job").pipe(Argument.withDescription("The name of the job: that of its file, or of --job")),
  cluster
}

const modelName = Argument.String("model").pipe(Argument.withDescription("The name of a model"))

export const named = { name: modelName }

export const pull = {
  ...named,
  insecure: isSet("insecure", "Reach the registry without TLS, or with a certificate that is not valid (Ollama only)")
}

export const remove = { names: Argument.atLeast(modelName, 1) }

export const copy = {
  ...named,
  to: Argument.String("to").pipe(Argument.withDescription("Its second name")),
  force: isSet("force", "Replace a model that has this name already")
}

export const load = {
  ...named,
  context: optional(Flag.Int("context"), "The context to load it with, in tokens (Ollama and LM Studio)"),
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

/** What the processes of a cluster have in common. */
const ofCluster = {
  cluster,
  pool: optional(Flag.String("pool"), "With a cluster: the name of the hosts that belong together (default: default)")
}

export const join = {
  ...ofCluster,
  listen: optional(
    Flag.String("listen"),
    "Where the other processes of the cluster reach this one: HOST:PORT (default: 127.0.0.1:11436)"
  ),
  permits: optional(Flag.Int("permits"), "How many requests each host answers at the same time (default: 4)")
}

export const serve = {
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
  gateways: optional(
    Flag.Int("gateways"),
    "How many gateways have these hosts. Each takes its part of their permits, and one at least (default: 1)"
  ),
  ...ofCluster,
  redis: optional(
    Flag.String("redis"),
    "A Redis for what several gateways share, such as redis://cache:6379: counts of limits, and which hosts are off"
  ),
  ...keys,
  noKeys: isSet("no-keys", "Need no keys, on any address"),
  firstChunkTimeout: timeouts.firstChunkTimeout,
  idleTimeout: timeouts.idleTimeout,
  stopTimeout: optional(
    Flag.String("stop-timeout"),
    "How long running answers may take to end after SIGTERM: 90s, 10m, 2h or never (default: 60s)"
  )
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
