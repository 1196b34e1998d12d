/** JSON files of settings: each mistake in one has a line of its own, with its place. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Failure from "../failure.ts"
import * as Output from "../output.ts"

/** The most mistakes that are shown. */
const maxMistakes = 20

/** Reads a file. `what` is the flag that names it. The mistakes are written to standard error; if there is only one, it is the failure. */
export const read = Effect.fnUntraced(function* <A>(file: string, schema: Schema.ConstraintDecoder<A>, what: string) {
  const text = yield* Effect.catch(
    FileSystem.FileSystem.use((files) => files.readFileString(file)),
    (error) => Failure.fail(`the file of ${what} cannot be read: ${Failure.describeFile(error)}: ${file}`)
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
  if (Result.isFailure(json)) return Result.fail([json.failure])
  const result = Schema.decodeUnknownResult(schema, { errors: "all", onExcessProperty: "error" })(json.success)
  return Result.mapError(result, ({ issue }) =>
    format(issue).issues.map(({ message, path = [] }) => {
      const place = path.map((segment) => (typeof segment === "object" ? segment.key : segment))
      return `: ${toPlace(place)}${message}`
    })
  )
}

/** The message of an exception quotes the text, so only the position is taken from it. */
const parse = (text: string): Result.Result<unknown, string> =>
  Result.try({
    try: (): unknown => JSON.parse(text.replace(/^\uFEFF/, "")),
    catch: (error) => {
      const [, position] = /at position (\d+)/.exec(String(error)) ?? []
      const lines = text.slice(0, position === undefined ? text.length : Number(position)).split("\n")
      return `:${lines.length}:${(lines.at(-1) ?? "").length + 1}: Expected JSON`
    }
  })

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
