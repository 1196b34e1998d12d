/**
 * Lines of server-sent events that are no field of the standard. The standard ignores them. Here they are ignored only if they
 * have nothing of an answer: some servers and proxies write errors and records so.
 */
import type { ParseError } from "../ProviderError.ts"
import type { Record } from "../protocol/endpoint.ts"
import * as Errors from "../protocol/errors.ts"
import * as Json from "../values/json.ts"
import * as WireSchema from "../protocol/wireSchema.ts"

/** What a line stands for; `undefined` for nothing. `isFirst`: no event came before it. */
export const toResult = (line: string, isFirst: boolean): Record | ParseError | undefined => {
  const text = line.trim()
  if (isPage.test(text)) return { name: "error", data: text }
  if (/^[{["]/.test(text)) {
    const result = ofJson(text, isFirst)
    if (result !== undefined) return result
  }
  // Whatever is around it, such as quotes.
  const hasRecord = ["{}", "[]"].some(([open = "", close = ""]) => {
    const start = text.indexOf(open)
    return start > 0 && isRecord(Json.parse(text.slice(start, text.lastIndexOf(close) + 1)))
  })
  return hasRecord ? WireSchema.parseError(line, "a record without a data field") : undefined
}

/** A page of a proxy that lost the server. */
const isPage = /^<(?:!doctype|html|\?xml|head|body)/i

/**
 * JSON without a field is an error of the server, all of the answer from a server that ignores `stream`, or a part of the answer
 * that would be lost.
 */
export const ofJson = (text: string, isFirst: boolean): Record | ParseError | undefined => {
  const value = Json.parse(text)
  if (value === undefined) return text.startsWith("{") ? ofBrokenJson(text) : undefined
  if (Errors.isError(value)) return { name: "error", data: text }
  if (isFirst && isWholeAnswer(value)) return { name: "", data: text }
  return Json.isObject(value) || Json.isContent(value)
    ? WireSchema.parseError(text, "JSON without a data field")
    : undefined
}

const isWholeAnswer = (value: unknown): boolean => {
  const choices = Json.get(value, "choices")
  if (!Array.isArray(choices)) return false
  const isText = Json.get(value, "object") === "text_completion"
  return choices.some(
    (choice) =>
      Json.isObject(Json.get(choice, "message")) || (isText && Json.isContent(Json.get(choice, "finish_reason")))
  )
}

/** An object that is not complete may be a part of the answer. */
export const ofBrokenJson = (text: string): ParseError | undefined =>
  text.includes("{") ? WireSchema.parseError(text, "not JSON, and not a field of an event") : undefined

/** The fields of records that have a part of an answer, in any protocol. */
const recordFields = [
  "choices",
  "error",
  "message",
  "delta",
  "content",
  "text",
  "response",
  "tool_calls",
  "function_call",
  "reasoning",
  "reasoning_content",
  "thinking"
]

const isRecord = (value: unknown): boolean =>
  Array.isArray(value) ? value.some(isObjectRecord) : isObjectRecord(value)

const isObjectRecord = (value: unknown): boolean =>
  Json.isObject(value) && (Errors.isError(value) || recordFields.some((field) => Json.isContent(value[field])))

/** llama.cpp's server sent errors in a field of this name until September 2025. */
export const isErrorField = (key: string): boolean => /^[\s"']*error[\s"']*$/i.test(key)

export const withoutErrorField = (line: string): string => line.replace(/^error: ?/, "")

/** Whether the value of an error field reports no error, such as `null`. */
export const isNothing = (value: string): boolean => {
  const json = Json.parse(value)
  return json === undefined ? value.trim() === "" : !json
}
