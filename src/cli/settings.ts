/** The settings of the command line: what a flag, a variable or a file says. The first that says something decides. */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Str from "effect/String"
import * as Struct from "effect/Struct"
import type { ChatRequest } from "../CompletionRequest.ts"
import * as Kinds from "../servers/kinds.ts"
import { addMissing } from "../values/objects.ts"
import { variable } from "./access.ts"
import * as Failure from "./failure.ts"
import * as Folders from "./folders.ts"
import * as JsonFile from "./jsonFile.ts"
import { $schema, address, count, filter, optional, text, time } from "./jsonFile.ts"

const addressVariables = Kinds.localKinds.map((kind) => Kinds.identify(kind).environment.baseUrl).join(", ")

const url = address("set the variable of the token")

const notEmpty = Schema.isMinLength(1, { message: "Expected at least one" })

const timeout = (description: string, byDefault: string) =>
  optional(
    time.check(Schema.isPattern(/[1-9]|never/, { message: "Expected a time of more than 0" })),
    `${description}: 90s, 10m, 2h or never (default: ${byDefault})`
  )

/** How much a model thinks. */
export const levels = ["on", "off", "low", "medium", "high", "max"] as const

/** Each is also a variable, `LOCAL_LLM_` and its name. Most are also flags, which have the same descriptions. */
const fields = {
  provider: optional(
    Schema.Literals(Kinds.kinds),
    `The kind of server (default: the first that answers: ${Kinds.localNames.join(", ")})`
  ),
  url: optional(url, `The address of the server (default: ${addressVariables}, or else this machine)`),
  hosts: optional(
    Schema.Array(url).check(notEmpty),
    "The addresses of servers. Several make a pool, which chooses one for each request"
  ),
  model: optional(text, "The model (default: the first that the server lists)"),
  embeddingModel: optional(text, "The model of local-llm embed (default: the first that the server lists)"),
  aliases: optional(Schema.Record(text, text), 'Further names of models, such as { "fast": "llama3.2:1b" }'),
  system: optional(text, "The system message"),
  think: optional(Schema.Literals(levels), "Whether, or how much, the model thinks (default: the model's own)"),
  context: optional(count(1), "The context to load the model with, in tokens (Ollama only)"),
  temperature: optional(
    Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 2 })),
    "The sampling temperature, 0 to 2 (default: the model's own)"
  ),
  maxTokens: optional(count(1), "The largest number of tokens to generate"),
  stop: optional(Schema.Array(text).check(notEmpty), "Texts that end the answer"),
  seed: optional(Schema.Int, "The same seed gives the same answer, as far as servers can"),
  quiet: optional(Schema.Boolean, "Print the answer only, without thinking and summary"),
  raw: optional(Schema.Boolean, "Print the text as the model writes it, without wrapping and styles, as in a pipe"),
  private: optional(Schema.Boolean, "Keep neither prompts nor conversations on this machine"),
  firstChunkTimeout: timeout("How long the first text may take", "5m"),
  idleTimeout: timeout("How long nothing may arrive after it", "2m"),
  totalTimeout: timeout("How long all of it may take", "never")
}

export type Name = keyof typeof fields

export const names = Struct.keys(fields)

export const Settings = Schema.Struct(fields)

export interface Settings extends Schema.Schema.Type<typeof Settings> {}

/** A file of settings. */
export const File = Schema.Struct({ $schema, ...fields }).check(
  filter(({ hosts, url }) =>
    hosts === undefined || url === undefined ? undefined : { path: ["hosts"], issue: "Expected either url or hosts" }
  )
)

/** What editors check a file against. */
export const jsonSchema = (): object => JsonFile.toJsonSchema(File, "The settings of local-llm")

/** For the help of its flag. */
export const describe = (name: Name): string => Schema.resolveAnnotationsKey(fields[name])?.description ?? ""

/** The variable of a setting. */
export const variableOf = (name: Name): string => `LOCAL_LLM_${Str.camelToSnake(name).toUpperCase()}`

/**
 * A setting as a text: a string as it is, a list with commas between its texts, 1 or 0 for true or false, and everything else as JSON.
 * Fails with what is expected.
 */
export const fromText = (name: Name, value: string): Result.Result<Settings, string> => {
  const json = Result.getOrElse(
    Result.try((): unknown => JSON.parse(value)),
    () => value
  )
  const list = value.split(",").map((each) => each.trim())
  const readings = [value, json, list, value === "1" ? true : value === "0" ? false : value]
  const results = readings.map((reading) => JsonFile.check({ [name]: reading }, Settings))
  const mistakes = Arr.getFailures(results).map(([first = ""]) => first.replace(`: ${name}: `, "").replace(/^: /, ""))
  // A reading of the right type has the better words.
  const [mistake = ""] = [...mistakes.filter((each) => !/^Expected \w+$/.test(each)), ...mistakes]
  const [found] = Arr.getSuccesses(results)
  return found === undefined ? Result.fail(mistake) : Result.succeed(found)
}

/** What one source says. What is `undefined`, it does not say. */
export type Said = { readonly [K in Name]?: Settings[K] | undefined }

/** The kind and the address of a server belong together, so the first source that has one of them decides about all. */
export const ofServer = ["provider", "url", "hosts"] as const

/** What several sources say together. The first has the highest precedence. */
export const merge = (sources: ReadonlyArray<Said>): Said =>
  sources.reduceRight<Said>((below, above) => {
    const namesServer = ofServer.some((name) => above[name] !== undefined)
    return addMissing(above, namesServer ? Struct.omit(below, ofServer) : below)
  }, {})

/** Adds what a conversation that goes on, variables and the file say to what the flags say. An alias becomes the name of its model. */
export const apply = Effect.fnUntraced(function* <Input extends Said>(flags: Input, conversation: Said = {}) {
  const { file, variables } = yield* read
  const settings = merge([flags, conversation, variables, file])
  if (settings.url !== undefined && settings.hosts !== undefined) {
    return yield* Failure.fail("--host and --url exclude each other")
  }
  const toModel = makeToModel(settings.aliases)
  const name = "name" in flags && Predicate.isString(flags.name) ? { name: toModel(flags.name) } : {}
  // A conversation has the name of its model, which may also be an alias of another one.
  const model = toModel(flags.model) ?? conversation.model ?? toModel(settings.model)
  const models = { model, embeddingModel: toModel(settings.embeddingModel) }
  return { ...flags, ...settings, ...models, ...name }
})

/** What settings mean for a request. */
export const toOptions = (settings: Said): Omit<ChatRequest, "messages"> => ({
  temperature: settings.temperature,
  maxTokens: settings.maxTokens,
  contextLength: settings.context,
  seed: settings.seed,
  stop: settings.stop,
  think: settings.think === "on" ? true : settings.think === "off" ? false : settings.think
})

/** Looks up the name of a model. It may be an alias. */
export const makeToModel =
  (aliases: Settings["aliases"] = {}) =>
  <Name extends string | undefined>(name: Name): Name | string =>
    name !== undefined && Object.hasOwn(aliases, name) ? (aliases[name] ?? name) : name

/** What the variables say, what the file says, and where it is. */
export const read = Effect.gen(function* () {
  const said = yield* Effect.forEach(names, readVariable)
  const variables = said.reduce<Said>((all, each) => addMissing(all, each), {})
  if (variables.url !== undefined && variables.hosts !== undefined) {
    return yield* Failure.fail(`${variableOf("hosts")} and ${variableOf("url")} exclude each other`)
  }
  const { file, path } = yield* readFile
  return { variables, file, path }
})

const readVariable = Effect.fnUntraced(function* (name: Name) {
  const value = (yield* variable(variableOf(name))).trim()
  if (value === "") return {}
  return yield* Result.match(fromText(name, value), {
    onFailure: (expected) => Failure.fail(`${variableOf(name)}: ${expected}`),
    onSuccess: Effect.succeed
  })
})

/** A file that is named has to be there. */
const readFile = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const named = (yield* variable("LOCAL_LLM_SETTINGS")).trim()
  const path = named === "" ? yield* Folders.configuration("settings.json") : named
  const isThere = path !== undefined && (named !== "" || (yield* Effect.orElseSucceed(files.exists(path), () => true)))
  return { path, file: isThere ? yield* JsonFile.read(path, File, "the settings") : {} }
})
