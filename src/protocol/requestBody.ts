/** The parts of a request's body that all protocols write alike. */
import * as Base64 from "effect/encoding/Base64"
import * as Result from "effect/Result"
import type { CompletionRequest, Image, Message } from "../CompletionRequest.ts"
import type { ProviderErrorReason } from "../ProviderError.ts"
import { InvalidRequest } from "../ProviderError.ts"
import * as Content from "./content.ts"
import * as Json from "../values/json.ts"

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
      Result.flatMap(toJsonSchema(parameters, field), (schema) => toParameters(schema, field)),
      (parameters) => ({ type: "function", function: { name, description, parameters } })
    )
  })
  return encoded.length === 0 ? Result.succeed(undefined) : Result.all(encoded)
}

/**
 * The JSON Schema of an object, or of nothing, as servers require the parameters of a tool: with `type: "object"` and `properties`
 * at its top. A reference at the top is followed. Alternatives at the top stay, and their properties are repeated beside them,
 * because Ollama reads those alone.
 */
export const toParameters = (
  schema: Json.JsonObject,
  field: string
): Result.Result<Json.JsonObject, InvalidRequest> => {
  const parts = partsOf(schema)
  if (!isOfObject(parts)) {
    return Result.fail(new InvalidRequest({ field, description: "Expected the schema of an object" }))
  }
  const properties = propertiesOf(parts)
  const { not, ...top } = resolve(schema)
  // `Schema.Struct({})` is "not null", and `Schema.Never` "not anything": neither has properties.
  const negation = not === undefined || Object.keys(properties).length === 0 ? {} : { not }
  return Result.succeed({ ...top, ...negation, type: "object", properties })
}

/** The schema itself, and those that it refers to at its top: by a reference, as alternatives, or as parts. Each once. */
const partsOf = (whole: Json.JsonObject): ReadonlyArray<Json.JsonObject> => {
  const parts = new Set([whole])
  for (const part of parts) {
    for (const other of [find(part.$ref, whole), part.anyOf, part.oneOf, part.allOf].flat()) {
      if (Json.isObject(other)) parts.add(other)
    }
  }
  return [...parts]
}

/** A schema without any type may be one of an object. `null` is nothing: it is the schema of `Schema.Void`. */
const isOfObject = (parts: ReadonlyArray<Json.JsonObject>): boolean => {
  const types = parts.flatMap(({ type }) => (type === undefined ? [] : type))
  return (
    types.length === 0 ||
    types.some((type) => type === "object" || type === "null") ||
    parts.some(({ properties }) => properties !== undefined)
  )
}

/** The properties of all parts. One that differs between them is any of its forms. */
const propertiesOf = (parts: ReadonlyArray<Json.JsonObject>): Json.JsonObject => {
  const forms = new Map<string, Map<string | undefined, unknown>>()
  for (const { properties } of parts) {
    for (const [name, property] of Object.entries(Json.isObject(properties) ? properties : {})) {
      forms.set(name, (forms.get(name) ?? new Map<string, unknown>()).set(Json.stringify(property), property))
    }
  }
  return Object.fromEntries(
    Array.from(forms, ([name, form]) => {
      const [first, ...others] = form.values()
      return [name, others.length === 0 ? first : { anyOf: [first, ...others] }]
    })
  )
}

/** The most references that lead to one another. Those of a hostile schema may go round in a circle. */
const maxReferences = 32

/** What a schema that is a reference refers to, with what is written beside the reference. */
const resolve = (whole: Json.JsonObject): Json.JsonObject => {
  let resolved = whole
  for (let i = 0; i < maxReferences; i++) {
    const { $ref, ...beside } = resolved
    const target = find($ref, whole)
    if (target === undefined) break
    resolved = { ...target, ...beside }
  }
  return resolved
}

/** The part that a reference such as `#/$defs/Name` points to. */
const find = (reference: unknown, whole: Json.JsonObject): Json.JsonObject | undefined => {
  if (typeof reference !== "string" || !reference.startsWith("#/")) return undefined
  let part: unknown = whole
  for (const key of reference.slice(2).split("/")) {
    const name = key.replaceAll("~1", "/").replaceAll("~0", "~")
    part = Json.isObject(part) && Object.hasOwn(part, name) ? part[name] : undefined
  }
  return Json.isObject(part) ? part : undefined
}

/** The JSON Schema of a field of a request. */
export const toJsonSchema = (schema: object, field: string): Result.Result<Json.JsonObject, InvalidRequest> =>
  Result.mapError(Json.toSchema(schema), (description) => new InvalidRequest({ field, description }))

/** The base64 text of an image given as bytes, base64 text or data URI. */
export const toBase64 = (image: Image): string => {
  if (image instanceof Uint8Array) return Base64.encode(image)
  const text = (typeof image === "string" ? image : image.href).replace(/^data:[^,]*,/i, "")
  // A URL may have escapes, such as `%3D` for the padding.
  return text.replace(/%([\da-f]{2})/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
}

/**
 * The JSON text of a body, or of tool arguments, which are values of the caller; `undefined` for nothing. llama.cpp rejects lone
 * surrogates, so they are replaced.
 */
export const stringify = (value: unknown, field?: string): Result.Result<string | undefined, InvalidRequest> =>
  Result.try({
    try: () => toWellFormed(JSON.stringify(value)),
    catch: () => new InvalidRequest({ field, description: "it contains a value that JSON cannot represent" })
  })

/**
 * Lone surrogates are the only characters that `JSON.stringify` writes as `\ud800` to `\udfff`. Any other escape is matched as a
 * whole, because `\\ud800` is a backslash and five letters.
 */
const toWellFormed = (json: string | undefined): string | undefined =>
  json !== undefined && json.includes("\\ud")
    ? json.replace(/\\(?:ud[\da-f]{3}|.)/g, (text) => (text.length > 2 ? "\\ufffd" : text))
    : json
