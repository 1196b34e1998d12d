/** Completions as JSON: the whole, its chunks, or a value that matches a JSON Schema. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as JsonSchema from "effect/JsonSchema"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaRepresentation from "effect/SchemaRepresentation"
import * as Stream from "effect/Stream"
import * as Completion from "../Completion.ts"
import type { ChatRequest, CompletionRequest } from "../CompletionRequest.ts"
import type { Provider } from "../Provider.ts"
import { ProviderError } from "../ProviderError.ts"
import { FromJsonString } from "../StreamingChunk.ts"
import * as Answer from "./answer.ts"
import * as Failure from "./failure.ts"
import * as Output from "./output.ts"
import type { Management } from "./selection.ts"

export type Format = ReturnType<typeof parseSchema>

export const readSchema = Effect.fnUntraced(function* (path: string) {
  const text = yield* Effect.catch(
    FileSystem.FileSystem.use((files) => files.readFileString(path)),
    Failure.failForFile("--schema", path)
  )
  return yield* Effect.try({
    try: () => parseSchema(text),
    catch: (error) => {
      const description = error instanceof Error ? error.message : "unknown error"
      return new Failure.CommandFailed({ message: `the file of --schema cannot be used: ${description}` })
    }
  })
})

/** Throws if the text is not a JSON Schema. */
const parseSchema = (text: string) => {
  const jsonSchema: unknown = JSON.parse(text)
  if (!Predicate.isObject(jsonSchema)) throw new Error("Expected an object")
  const document = isDraft07(jsonSchema)
    ? JsonSchema.fromSchemaDraft07(jsonSchema)
    : JsonSchema.fromSchemaDraft2020_12(jsonSchema)
  // The file is the user's own, so its patterns may run.
  return { jsonSchema, schema: toCodec(SchemaRepresentation.fromJsonSchemaDocument(document, { patterns: "apply" })) }
}

const isDraft07 = (schema: { readonly $schema?: unknown; readonly definitions?: unknown }): boolean =>
  schema.definitions !== undefined || String(schema.$schema).includes("draft-07")

/** Excess properties are an error: an object that allows them has an index signature for them. */
const toCodec = (schema: Schema.Top): Schema.Codec<unknown, unknown> => {
  // A schema that is made of a JSON Schema needs no services.
  const codec = Schema.make<Schema.Codec<unknown, unknown>>(schema.ast)
  const decode = Schema.decodeUnknownResult(codec, { onExcessProperty: "error" })
  const check = Schema.makeFilter((value) =>
    Result.match(decode(value), { onFailure: ({ message }) => message, onSuccess: () => undefined })
  )
  return Schema.Unknown.check(check)
}

const encodeCompletion = Schema.encodeEffect(Schema.fromJsonString(Completion.Completion))

const isEmpty = ({ content, thinking = "", toolCalls }: Completion.Completion): boolean =>
  content === "" && thinking === "" && toolCalls.length === 0

/** Prints one line: the completion with `--json`, otherwise the value. Fails if the answer does not match. Returns the completion. */
export const print = Effect.fnUntraced(function* (
  provider: Provider & Management,
  request: ChatRequest,
  format: Format | undefined,
  isWhole: boolean
) {
  const completion = yield* provider.complete(request)
  if (format !== undefined) {
    const value = yield* Effect.mapError(
      Completion.decode(completion, format.schema),
      (reason) => new ProviderError({ provider: provider.name, reason })
    )
    if (!isWhole) {
      yield* Output.writeJson(value)
      return completion
    }
  }
  yield* Output.writeJsonLine(yield* Effect.orDie(encodeCompletion(completion)))
  if (isEmpty(completion)) yield* Answer.noteIfOnlyLoaded(provider, completion)
  return completion
})

const encodeChunk = Schema.encodeEffect(FromJsonString)

/** Prints each chunk as one line. Returns the text of the answer, and why it ended. */
export const printChunks = Effect.fnUntraced(function* (provider: Provider & Management, request: CompletionRequest) {
  const answer: Answer.Answer = { content: "", finishReason: "other" }
  let isEmpty = true
  yield* Stream.runForEach(
    provider.stream(request),
    Effect.fnUntraced(function* (chunk) {
      yield* Output.writeJsonLine(yield* Effect.orDie(encodeChunk(chunk)))
      answer.content += chunk.content
      if (chunk.content !== "" || chunk.thinking || chunk.toolCalls !== undefined) isEmpty = false
      if (!chunk.isFinal) return
      answer.finishReason = chunk.finishReason
      if (isEmpty) yield* Answer.noteIfOnlyLoaded(provider, chunk)
    })
  )
  return answer
})
