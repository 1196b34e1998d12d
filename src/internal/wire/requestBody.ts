/** The parts of a request's body that all protocols write alike. */
import * as Base64 from "effect/encoding/Base64"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { CompletionRequest, Image, Message } from "../../CompletionRequest.ts"
import { InvalidRequest } from "../../ProviderError.ts"
import * as Content from "../content.ts"
import type * as Json from "./json.ts"

/** The sampling options. Options without a value are not part of the JSON text. */
export const encodeSampling = (request: CompletionRequest): Json.JsonObject => ({
  temperature: request.temperature,
  top_p: request.topP,
  top_k: request.topK,
  min_p: request.minP,
  seed: request.seed,
  stop: request.stop,
  repeat_penalty: request.repeatPenalty,
  presence_penalty: request.presencePenalty,
  frequency_penalty: request.frequencyPenalty
})

/**
 * The messages as servers expect them: results of tools with the id and the name of their call, failed ones marked. Results
 * that only name their tool answer the calls of the latest message that called it, in their order.
 */
export const completeMessages = (messages: ReadonlyArray<Message>): ReadonlyArray<Message> => {
  if (!messages.some(({ role }) => role === "tool")) return messages
  const names = new Map<string, string>()
  const callsOf = new Map<string, { readonly ids: ReadonlyArray<string>; next: number }>()
  const answered = new Set<string>()

  const nextId = (name: string): string | undefined => {
    const calls = callsOf.get(name)
    if (calls === undefined) return undefined
    while (calls.next < calls.ids.length - 1 && answered.has(calls.ids[calls.next] ?? "")) calls.next++
    return calls.ids[calls.next]
  }

  return messages.map((message) => {
    const { isError, role, toolCalls = [], toolName } = message
    const idsOf = new Map<string, Array<string>>()
    for (const { id, name } of toolCalls) {
      names.set(id, name)
      // Some servers use the same ids in every answer.
      answered.delete(id)
      const ids = idsOf.get(name)
      if (ids === undefined) idsOf.set(name, [id])
      else ids.push(id)
    }
    for (const [name, ids] of idsOf) callsOf.set(name, { ids, next: 0 })
    if (role !== "tool") return message
    const toolCallId = message.toolCallId ?? (toolName === undefined ? undefined : nextId(toolName))
    if (toolCallId !== undefined) answered.add(toolCallId)
    return {
      ...message,
      // No server has a field for this, so the model reads it.
      content: isError === true ? `Error: ${Content.toText(message)}` : message.content,
      toolCallId,
      toolName: toolName ?? (toolCallId === undefined ? undefined : names.get(toolCallId))
    }
  })
}

/** The functions that the model may call; `undefined` if there are none. */
export const encodeTools = ({
  tools
}: CompletionRequest): Result.Result<ReadonlyArray<Json.JsonObject> | undefined, InvalidRequest> =>
  tools === undefined || tools.length === 0
    ? Result.succeed(undefined)
    : Result.all(
        tools.map(({ description, name, parameters = noParameters }, i) =>
          Result.map(toJsonSchema(parameters, `tools[${i}].parameters`), (jsonSchema) => ({
            type: "function",
            function: { name, description, parameters: jsonSchema }
          }))
        )
      )

const noParameters = { type: "object", properties: {} }

/**
 * The JSON Schema of a `Schema`. A JSON Schema object is returned unchanged. Objects are closed, or a grammar made of the
 * schema would let the model invent fields. The definition itself is at the top level, where servers look for `properties`,
 * and not in a definition as with `Schema.Class`.
 */
export const toJsonSchema = (schema: object, field: string): Result.Result<Json.JsonObject, InvalidRequest> => {
  if (!Schema.isSchema(schema)) return Result.succeed({ ...schema })
  return Result.try({
    try: () => {
      const { definitions, schema: top } = Schema.toJsonSchemaDocument(schema, { onExcessProperty: "error" })
      const named = Object.entries(definitions).find(([name]) => top.$ref === `#/$defs/${name}`)
      const resolved = named === undefined ? top : named[1]
      return JSON.stringify(resolved).includes('"$ref"') ? { ...resolved, $defs: definitions } : resolved
    },
    catch: () => new InvalidRequest({ field, description: "this Schema has no JSON Schema" })
  })
}

/** The base64 text of an image given as bytes, base64 text or data URI. */
export const toBase64 = (image: Image): string =>
  typeof image === "string" ? image.replace(/^data:[^,]*,/i, "") : Base64.encode(image)

/** Tool arguments and `extra` are values of the caller, which JSON may be unable to represent. */
export const stringify = (value: unknown, field?: string): Result.Result<string, InvalidRequest> =>
  Result.try({
    try: () => JSON.stringify(value),
    catch: () => new InvalidRequest({ field, description: "it contains a value that JSON cannot represent" })
  })

/** The text of a body; `undefined` for none. */
export const stringifyBody = (body: Json.JsonObject | undefined): Result.Result<string | undefined, InvalidRequest> =>
  body === undefined ? Result.succeed(undefined) : stringify(body)
