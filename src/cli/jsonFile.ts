/** JSON files of settings: what their fields have in common, and reading them. Each mistake has a line of its own, with its place. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as BaseUrl from "../values/baseUrl.ts"
import * as Failure from "./failure.ts"
import * as Output from "./output.ts"

export const text = Schema.NonEmptyString

export const count = (minimum: number) =>
  Schema.Int.check(Schema.isGreaterThanOrEqualTo(minimum, { message: `Expected a whole number, ${minimum} or more` }))

export const time = Schema.String.check(
  Schema.isPattern(/^(\d{1,6}(\.\d{1,3})?(ms|[smh])|never)$/u, {
    message: "Expected a time such as 90s, 10m or 2h, or never"
  })
)

/** What editors cannot check. They check what is beside it. */
export const filter = <A>(find: (value: A) => Schema.FilterOutput | string | undefined) =>
  Schema.makeFilter<A>(find, { toJsonSchema: () => [{}, true] })

/** Only the kind of the server knows which path an address may have. `instead` says where credentials belong. */
export const address = (instead: string) =>
  text.check(
    filter((address) =>
      Result.match(BaseUrl.parse(address, { port: "", root: "" }), {
        onFailure: (fault) => fault.replace("use `token` or `headers`", instead),
        onSuccess: () => undefined
      })
    )
  )

export const optional = <S extends Schema.Top>(schema: S, description: string) =>
  Schema.optionalKey(schema).pipe(Schema.annotateKey({ description }))

export const $schema = optional(Schema.String, "The schema of this file, for editors")

/** The most mistakes that are shown. */
const maxMistakes = 20

/** Reads a file. `what` is the flag that names it, or what it is. The mistakes are written to standard error; if there is only one, it is the failure. */
export const read = Effect.fnUntraced(function* <A>(file: string, schema: Schema.ConstraintDecoder<A>, what: string) {
  const text = yield* Effect.catch(
    FileSystem.FileSystem.use((files) => files.readFileString(file)),
    Failure.failForFile(what, file)
  )
  const result = decode(text, schema)
  if (Result.isSuccess(result)) return result.success
  const mistakes = result.failure.map((mistake) => `${file}${mistake}`)
  if (mistakes.length === 1) return yield* Failure.fail(mistakes.join())
  yield* Effect.forEach(mistakes.slice(0, maxMistakes), Output.note, { discard: true })
  return yield* Failure.fail(`${file} has ${mistakes.length} mistakes`)
})

/** The mistakes, each with its place in the text before it. */
export const decode = <A>(
  text: string,
  schema: Schema.ConstraintDecoder<A>
): Result.Result<A, ReadonlyArray<string>> => {
  const json = parse(text)
  return Result.isFailure(json) ? Result.fail([json.failure]) : check(json.success, schema)
}

/** The same for a value. */
export const check = <A>(
  value: unknown,
  schema: Schema.ConstraintDecoder<A>
): Result.Result<A, ReadonlyArray<string>> => {
  const result = Schema.decodeUnknownResult(schema, { errors: "all", onExcessProperty: "error" })(value)
  return Result.mapError(result, ({ issue }) =>
    format(issue).issues.map(({ message, path = [] }) => {
      const place = path.map((segment) => (typeof segment === "object" ? segment.key : segment))
      return `: ${toPlace(place)}${message}`
    })
  )
}

const parse = (text: string): Result.Result<unknown, string> => {
  const json = text.replace(/^\uFEFF/, "")
  const value = Result.try((): unknown => JSON.parse(json))
  return Result.mapError(value, () => {
    const lines = json.slice(0, findEnd(json)).split("\n")
    return `:${lines.length}:${(lines.at(-1) ?? "").length + 1}: Expected JSON`
  })
}

/** Where a text stops to be the beginning of JSON. Exceptions do not always tell. */
const findEnd = (text: string): number => {
  let good = 0
  let bad = text.length + 1
  while (bad - good > 1) {
    const middle = Math.floor((good + bad) / 2)
    if (isBeginning(text.slice(0, middle))) good = middle
    else bad = middle
  }
  return good
}

const isBeginning = (text: string): boolean =>
  Result.match(
    Result.try(() => JSON.parse(text)),
    {
      onSuccess: () => true,
      onFailure: (error) =>
        /end of JSON|Unterminated/.test(String(error)) || String(error).includes(` at position ${text.length} `)
    }
  )

const format = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) => {
    if (issue._tag === "UnexpectedKey") return "unknown field"
    return issue._tag === "MissingKey" ? "Expected this field" : SchemaIssue.defaultLeafHook(issue)
  }
})

const toPlace = (path: ReadonlyArray<PropertyKey>): string => {
  const text = path.map((key) => (typeof key === "number" ? `[${key}]` : toKey(String(key)))).join("")
  return text === "" ? "" : `${text.replace(/^\./, "")}: `
}

const toKey = (key: string): string => (/^[\w$]+$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`)

/** What editors check a file of settings against. */
export const toJsonSchema = (schema: Schema.Constraint, title: string): object => ({
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title,
  ...JSON.parse(
    JSON.stringify(Schema.toJsonSchemaDocument(schema, { onExcessProperty: "error" }).schema),
    (_, value: unknown) => lift(value)
  )
})

/** Editors look for a description in the schema itself, not in a part of it. */
const lift = (schema: unknown): unknown => {
  if (!Predicate.isObject(schema) || !("allOf" in schema) || !Array.isArray(schema.allOf)) return schema
  const { allOf, ...rest } = schema
  return Object.assign(rest, ...allOf)
}
