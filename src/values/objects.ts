/** Values of a caller: how objects are merged, schemas, and what is invalid in a value. */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import type { JsonObject } from "./json.ts"
import * as Json from "./json.ts"

/** `a` with the fields of `b` in place of its own. Objects that both have are merged in turn, one level deep. */
export const merge = (a: object, b: object): JsonObject => {
  const merged = new Map<string, unknown>(Object.entries(a))
  for (const [key, value] of Object.entries(b)) {
    const own = merged.get(key)
    merged.set(key, Predicate.isObject(own) && Predicate.isObject(value) ? { ...own, ...value } : value)
  }
  // Unlike an assignment, this keeps a key such as `__proto__`.
  return Object.fromEntries(merged)
}

/** `a` with the fields of `b` that it does not set; `a` itself if there are none. */
export const addMissing = <A extends object>(a: A, b: Partial<A>): A => {
  let filled: A | undefined
  for (const key in b) {
    const value = b[key]
    if (a[key] === undefined && value !== undefined) (filled ??= { ...a })[key] = value
  }
  return filled ?? a
}

/** Whether a value is an object with named fields, whatever its class: no array, `Map`, date or bytes. */
export const isRecord = (u: unknown): u is object => Object.prototype.toString.call(u) === "[object Object]"

/** Whether a value is such an object, and JSON can express it. */
export const isJsonObject = (u: unknown): u is object => isRecord(u) && Json.isExpressible(u)

/** The type is `object`, because a value with an `interface` type is not assignable to an index signature. */
export const SchemaOrJsonSchema = Schema.declare((u): u is object => Schema.isSchema(u) || isJsonObject(u), {
  expected: "a Schema or a JSON Schema object"
})

/** A duration of a caller. Effect reads `NaN` and a misspelled unit as zero, which would unload a model or end a wait at once. */
export const toDuration = (u: unknown): Option.Option<Duration.Duration> =>
  hasTime(u) ? Duration.fromInput(u as Duration.Input) : Option.none()

const units = new Set(["weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds", "nanoseconds"])

/** Whether no number in the form of a duration is `NaN`, and an object has units alone, at least one of them. */
const hasTime = (u: unknown): boolean => {
  if (!Predicate.isObjectOrArray(u) || Duration.isDuration(u)) return !Number.isNaN(u)
  const fields = Object.entries<unknown>(u).filter(([, value]) => value !== undefined)
  return (
    fields.length > 0 &&
    fields.every(
      ([key, value]) => (Array.isArray(u) || units.has(key)) && Predicate.isNumber(value) && !Number.isNaN(value)
    )
  )
}

/** A schema of what `toDuration` reads. */
export const durationInput = (
  isAllowed: (duration: Duration.Duration) => boolean,
  expected: string
): Schema.declare<Duration.Input> =>
  Schema.declare((u): u is Duration.Input => Option.match(toDuration(u), { onNone: () => false, onSome: isAllowed }), {
    expected: `${expected}, such as "30 seconds" or Infinity`
  })

/** What is invalid in a value, and where. */
export interface Fault {
  /** The path of the field; `undefined` for the value as a whole. */
  readonly field: string | undefined
  /** What to do about it. It does not quote the value. */
  readonly description: string | undefined
}

/** The fields of a request, and of those of its fields that are objects. */
type Fields = Readonly<Record<string, object>>

/**
 * The first fault of an invalid value. Only keys that are known may be in its path. `fields` are those of each object; `place` is the name
 * of the outermost one.
 */
export const makeToFault =
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
  const other = otherNames.find(([of, , ...names]) => of === place && names.includes(key))
  const advice = isField ? `use \`${camelCase}\`` : other?.[1]
  if (advice !== undefined) return `${unknownField}; ${advice}`
  if (outermost === "options" && place !== "request" && Object.hasOwn(fields, place)) {
    return `unknown option; the options are ${Object.keys(fields[place] ?? {}).join(", ")}`
  }
  return place === "request" ? `${unknownField}; fields that only the server knows belong in \`extra\`` : unknownField
}

/** What to write instead of names of the servers' own APIs. Names that differ from ours only in their case are not here. */
const otherNames: ReadonlyArray<readonly [place: string, advice: string, ...names: ReadonlyArray<string>]> = [
  ["request", "use `contextLength`", "num_ctx", "n_ctx"],
  ["request", "use `maxTokens`", "max_completion_tokens", "max_output_tokens", "maxOutputTokens"],
  ["request", "use `maxTokens`", "num_predict", "n_predict"],
  ["request", "use `repeatPenalty`", "repetition_penalty"],
  ["request", "use `keepAlive`", "ttl"],
  ["request", "use `format`", "response_format", "json_schema"],
  ["request", "use `format`, or `extra`", "grammar"],
  ["request", "use `think`", "reasoning", "reasoning_effort", "enable_thinking"],
  ["request", "use `tools`", "functions"],
  ["request", "use `toolChoice`", "function_call"],
  ["request", "use `overflow`", "truncate", "shift"],
  ["request", "add a message with the role `system`", "system"],
  ["request", "use `messages` or `prompt`", "input"],
  ["request", "set its fields in the request itself, such as `temperature`; others in `extra`", "options"],
  ["request", "every request streams; `Provider.complete` returns the whole answer", "stream", "stream_options"],
  ["request", "use `deadlines`", "timeout"],
  ["request", "interrupt the effect, or use `deadlines`", "signal"],
  ["messages", "use `toolName`", "name"],
  ["messages", "use `thinking`", "reasoning_content", "reasoning"],
  ["toolChoice", 'write `{ name }`, "auto", "none" or "required"', "type"],
  ["tools", "write `{ name, description?, parameters? }`", "type"],
  ["toolCalls", "write `{ id, name, arguments }`", "type"]
]
