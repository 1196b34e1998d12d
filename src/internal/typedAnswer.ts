/** An answer as a value of a schema. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Completion } from "../Completion.ts"
import type { CompletionRequest } from "../CompletionRequest.ts"
import { InvalidAnswer, InvalidRequest } from "../ProviderError.ts"
import * as RequestFault from "./requestFault.ts"
import * as Json from "./wire/json.ts"
import * as RequestBody from "./wire/requestBody.ts"

/** The request for an answer that matches the schema. */
export const toRequest = (
  request: CompletionRequest,
  schema: Schema.Constraint
): Result.Result<CompletionRequest, InvalidRequest> =>
  Schema.isSchema(schema)
    ? RequestFault.read(() => Result.succeed({ ...request, format: schema }))
    : Result.fail(new InvalidRequest({ field: "schema", description: "Expected a Schema" }))

/** Where the JSON of an answer is. LM Studio puts the answer of some models that think into their thinking. */
export const toText = ({ content, thinking = "" }: Completion): string =>
  withoutFence((content.trim() === "" ? thinking : content).trim())

export const decode = <A, RD>(
  completion: Completion,
  schema: Schema.ConstraintDecoder<A, RD>
): Effect.Effect<A, InvalidAnswer, RD> => {
  const { content, finishReason, thinking = "" } = completion
  const text = content.trim() === "" ? thinking : content
  const fail = (description: string) =>
    Effect.fail(new InvalidAnswer({ text: Redacted.make(text), isTruncated: finishReason === "length", description }))
  const value = Json.parse(toText(completion))
  if (value === undefined) return fail(text.trim() === "" ? "it is empty" : "it is not JSON")
  const fault = Json.findFault(value)
  if (fault !== undefined) return fail(`it is ${fault}`)
  return Effect.catch(Schema.decodeUnknownEffect(Schema.toCodecJson(schema))(value), (error) => {
    const { description = "", field } = RequestFault.make({}, isKeyOf(schema))(error)
    return fail(field === undefined ? description : `${field}: ${description}`)
  })
}

const fence = /`{3,}|~{3,}/

/** The JSON in a code block of Markdown, on one line or several. Models often write one, some with text around it. */
const withoutFence = (text: string): string => {
  const opening = fence.exec(text)
  if (opening === null || isJson(text)) return text
  const [mark] = opening
  const rest = text.slice(opening.index + mark.length)
  // The block may contain the mark in a text, more text may follow with another block, and the end of the block may be missing.
  const blocks = [rest.lastIndexOf(mark), rest.indexOf(mark), rest.length]
    .filter((end) => end !== -1)
    .map((end) => rest.slice(0, end))
  return blocks.flatMap(contentsOf).find(isJson)?.trim() ?? text
}

/** What may be the content of a block: all of it, or what follows its language, or its first line. */
const contentsOf = (block: string): ReadonlyArray<string> => [
  block,
  block.replace(/^[^\s{["]+/, ""),
  block.slice(block.indexOf("\n") + 1)
]

const isJson = (text: string): boolean => Json.parse(text) !== undefined

/** Whether the schema has a key. Others, as of a record, are text of the model. */
const isKeyOf = (schema: Schema.Constraint): ((key: string) => boolean) => {
  const jsonSchema = RequestBody.toJsonSchema(Schema.toCodecJson(schema), "schema")
  const text = Result.isSuccess(jsonSchema) ? JSON.stringify(jsonSchema.success) : ""
  return (key) => text.includes(JSON.stringify(key))
}
