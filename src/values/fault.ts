/** What is invalid in a value of the caller: a text that says what to do and does not quote the value. */
import type * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"

/** What is invalid in a value, and where. */
export interface Fault {
  /** The path of the field; `undefined` for the value as a whole. */
  readonly field: string | undefined
  readonly description: string | undefined
}

/** The fields of a request, and of those of its fields that are objects. */
type Fields = Readonly<Record<string, object>>

/**
 * The first fault of an invalid request, or of another value of a caller. Only keys that are known may be in its path. `fields` are
 * those of each object; `place` is the name of the outermost one.
 */
export const make =
  (fields: Fields, isKnown: (key: string) => boolean = () => true, place = "request") =>
  (error: Schema.SchemaError): Fault => {
    const issue = toStandardIssues(error.issue).issues[0]
    const path = (issue?.path ?? []).map((segment) => (typeof segment === "object" ? segment.key : segment))
    return {
      field: path.length === 0 ? (place === "request" ? undefined : place) : formatPath(path, isKnown),
      description: issue?.message === unknownField ? adviseOn(path, fields, place) : issue?.message
    }
  }

const unknownField = "unknown field"

const toStandardIssues = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) => (issue._tag === "UnexpectedKey" ? unknownField : SchemaIssue.defaultLeafHook(issue))
})

/** A key that is not an identifier may be text of the caller, so it is not quoted. */
const formatPath = (path: ReadonlyArray<PropertyKey>, isKnown: (key: string) => boolean): string =>
  path
    .map((key) => {
      if (typeof key === "number") return `[${key}]`
      const name = String(key)
      return /^\w{1,40}$/.test(name) && isKnown(name) ? `.${name}` : ".…"
    })
    .join("")
    .replace(/^\./, "")

const adviseOn = (path: ReadonlyArray<PropertyKey>, fields: Fields, outermost: string): string => {
  const key = String(path.at(-1))
  const outer = path.slice(0, -1).findLast((key) => typeof key === "string")
  const place = outer === "defaults" ? "request" : (outer ?? outermost)
  const camelCase = key.replaceAll(/_+([a-z])/g, (_, letter: string) => letter.toUpperCase())
  const isField = Object.hasOwn(fields[place] ?? {}, camelCase)
  // A field of a request that is not one of the defaults.
  if (isField && camelCase === key) return `${unknownField}; set it in each request`
  const advice = isField ? `use \`${camelCase}\`` : otherNames.get(place)?.get(key)
  if (advice !== undefined) return `${unknownField}; ${advice}`
  if (outermost === "options" && place !== "request" && Object.hasOwn(fields, place)) {
    return `unknown option; the options are ${Object.keys(fields[place] ?? {}).join(", ")}`
  }
  return place === "request" ? `${unknownField}; fields that only the server knows belong in \`extra\`` : unknownField
}

const names = (table: Readonly<Record<string, string>>): ReadonlyMap<string, string> => new Map(Object.entries(table))

const everyRequestStreams = "every request streams; `Provider.complete` returns the whole answer"

const ofRequest = names({
  num_ctx: "use `contextLength`",
  n_ctx: "use `contextLength`",
  max_completion_tokens: "use `maxTokens`",
  num_predict: "use `maxTokens`",
  n_predict: "use `maxTokens`",
  maxOutputTokens: "use `maxTokens`",
  max_output_tokens: "use `maxTokens`",
  repetition_penalty: "use `repeatPenalty`",
  ttl: "use `keepAlive`",
  response_format: "use `format`",
  json_schema: "use `format`",
  grammar: "use `format`, or `extra`",
  reasoning: "use `think`",
  reasoning_effort: "use `think`",
  enable_thinking: "use `think`",
  functions: "use `tools`",
  function_call: "use `toolChoice`",
  truncate: "use `overflow`",
  shift: "use `overflow`",
  system: "add a message with the role `system`",
  input: "use `messages` or `prompt`",
  options: "set its fields in the request itself, such as `temperature`; others in `extra`",
  stream: everyRequestStreams,
  stream_options: everyRequestStreams,
  timeout: "use `deadlines`",
  signal: "interrupt the effect, or use `deadlines`"
})

/** What to write instead of the names of the servers' own APIs. Names that differ only in their case are not here. */
const otherNames: ReadonlyMap<string, ReadonlyMap<string, string>> = new Map([
  ["request", ofRequest],
  ["messages", names({ name: "use `toolName`", reasoning_content: "use `thinking`", reasoning: "use `thinking`" })],
  ["toolChoice", names({ type: 'write `{ name }`, "auto", "none" or "required"' })],
  ["tools", names({ type: "write `{ name, description?, parameters? }`" })],
  ["toolCalls", names({ type: "write `{ id, name, arguments }`" })]
])
