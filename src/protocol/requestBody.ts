/** The parts of a request's body that all protocols write alike. */
import * as Base64 from "effect/encoding/Base64"
import * as Result from "effect/Result"
import type { CompletionRequest, Image, Message } from "../CompletionRequest.ts"
import type { ProviderErrorReason } from "../ProviderError.ts"
import { InvalidRequest } from "../ProviderError.ts"
import * as Content from "./content.ts"
import * as Json from "../values/json.ts"
import * as Parameters from "./parameters.ts"

/** A part of a body, or why it cannot be sent. */
export type Encoded<A = Json.JsonObject> = Result.Result<A, ProviderErrorReason>

/** The sampling options. Options without a value are not part of the JSON text. */
export const encodeSampling = (request: CompletionRequest): Json.JsonObject => ({
  temperature: request.temperature,
  top_p: request.topP,
  top_k: request.topK,
  typical_p: request.typicalP,
  min_p: request.minP,
  seed: request.seed,
  stop: request.stop,
  repeat_penalty: request.repeatPenalty,
  presence_penalty: request.presencePenalty,
  frequency_penalty: request.frequencyPenalty
})

/**
 * The messages as servers expect them: results of tools with the id and the name of their call, failed ones marked. Results that
 * only name their tool belong to the calls of the latest message that called it, in their order. Results that follow each other
 * are in the order of the calls: parallel tools end in any order, and templates without ids pair them by position.
 */
export const completeMessages = (messages: ReadonlyArray<Message>): ReadonlyArray<Message> => {
  if (!messages.some(({ role }) => role === "tool")) return messages
  const calls = makeCalls()
  const complete: Array<Message> = []
  for (let i = 0; i < messages.length; i++) {
    const results: Array<Message> = []
    for (let message = messages[i]; message?.role === "tool"; message = messages[++i]) results.push(message)
    for (const result of calls.complete(results)) complete.push(result)
    const other = messages[i]
    if (other === undefined) break
    calls.add(other)
    complete.push(other)
  }
  return complete
}

/** The calls of a conversation so far, and which of them have a result. */
const makeCalls = () => {
  /** By id. Some servers use the same ids in every completion, so the latest call counts. */
  const known = new Map<string, { readonly name: string; readonly position: number }>()
  /** By the name of a tool: the ids of its calls in the latest message that has one, the first call last. */
  const latest = new Map<string, Array<string>>()
  const finished = new Set<string>()
  let count = 0

  const nextId = (name: string): string | undefined => {
    const ids = latest.get(name) ?? []
    while (ids.length > 1 && finished.has(ids.at(-1) ?? "")) ids.pop()
    return ids.at(-1)
  }

  const completeResult = (message: Message): Message => {
    const {
      isError,
      toolCallId = nextId(message.toolName ?? ""),
      toolName = known.get(toolCallId ?? "")?.name
    } = message
    if (toolCallId !== undefined) finished.add(toolCallId)
    // No server has a field for a failed call, so the model reads it.
    const content = isError === true ? `Error: ${Content.toText(message)}` : message.content
    return { ...message, content, toolCallId, toolName }
  }
  const positionOf = ({ toolCallId = "" }: Message): number => known.get(toolCallId)?.position ?? count

  return {
    add: ({ toolCalls = [] }: Message): void => {
      for (const { name } of toolCalls) latest.set(name, [])
      for (const { id, name } of toolCalls.toReversed()) latest.get(name)?.push(id)
      for (const { id, name } of toolCalls) {
        known.set(id, { name, position: count++ })
        finished.delete(id)
      }
    },
    complete: (results: ReadonlyArray<Message>): ReadonlyArray<Message> => {
      // Those without an id belong to the calls that the others leave.
      for (const { toolCallId } of results) if (toolCallId !== undefined) finished.add(toolCallId)
      return results.map(completeResult).toSorted((a, b) => positionOf(a) - positionOf(b))
    }
  }
}

/** The functions that the model may call; `undefined` if there are none. */
export const encodeTools = ({ tools = [] }: CompletionRequest): Encoded<ReadonlyArray<Json.JsonObject> | undefined> => {
  const encoded = tools.map(({ description, name, parameters = {} }, i) => {
    const field = `tools[${i}].parameters`
    return Result.map(
      Result.flatMap(toJsonSchema(parameters, field), (schema) => Parameters.fromJsonSchema(schema, field)),
      (parameters) => ({ type: "function", function: { name, description, parameters } })
    )
  })
  return encoded.length === 0 ? Result.succeed(undefined) : Result.all(encoded)
}

/** The JSON Schema of a field of a request. */
export const toJsonSchema = (schema: object, field: string): Result.Result<Json.JsonObject, InvalidRequest> =>
  Result.mapError(Json.toSchema(schema), (description) => new InvalidRequest({ field, description }))

/** The base64 text of an image given as bytes, base64 text or data URI. */
export const toBase64 = (image: Image): string => {
  if (image instanceof Uint8Array) return Base64.encode(image)
  const text = (typeof image === "string" ? image : image.href).replace(/^data:[^,]*,/i, "")
  // A URL may have escapes, such as `%3D` for the padding.
  return text.includes("%") ? decodeURIComponent(text) : text
}

/** Tool arguments and `extra` are values of the caller, which JSON may be unable to represent. */
export const stringify = (value: unknown, field?: string): Result.Result<string, InvalidRequest> =>
  Result.try({
    try: () => toWellFormed(JSON.stringify(value)),
    catch: () => new InvalidRequest({ field, description: "it contains a value that JSON cannot represent" })
  })

/**
 * JSON text without lone surrogates, which llama.cpp rejects. They are the only characters that `JSON.stringify` writes as
 * `\ud800` to `\udfff`. Any other escape is matched as a whole, because `\\ud800` is a backslash and five letters.
 */
const toWellFormed = (json: string): string =>
  /\\ud/.test(json) ? json.replace(/\\(?:ud[\da-f]{3}|.)/g, (text) => (text.length > 2 ? "\\ufffd" : text)) : json

/** The text of a body; `undefined` for none. */
export const stringifyBody = (body: Json.JsonObject | undefined): Result.Result<string | undefined, InvalidRequest> =>
  body === undefined ? Result.succeed(undefined) : stringify(body)
