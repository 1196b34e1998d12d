/**
 * Server-sent events from lines, by the rules of the HTML standard, section 9.2.6. The lines come without their ends and the text
 * without its byte order mark. `id` and `retry` are for reconnecting, which no completion can do: they are ignored. Unlike in the
 * standard, a line with a part of a completion is never ignored.
 *
 * `effect/encoding/Sse` reads text and splits lines itself. Here the lines are split and bounded already.
 */
import type { Record } from "../protocol/endpoint.ts"
import * as Errors from "../protocol/errors.ts"
import * as WireSchema from "../protocol/wireSchema.ts"
import type { ParseError, ProviderErrorReason } from "../ProviderError.ts"
import { LineTooLong, StreamTruncated } from "../ProviderError.ts"
import * as Json from "../values/json.ts"
import * as Parts from "../values/text.ts"
import { utf8Length } from "../values/text.ts"
import * as JsonLines from "./jsonLines.ts"

type Result = Record | ProviderErrorReason | undefined

/** JSON that continues on the lines after the one of its field, and where it belongs. */
interface OpenJson extends JsonLines.JsonLines {
  readonly field: "data" | "error" | "none"
}

interface State {
  readonly maxBytes: number
  readonly event: ReturnType<typeof makeEvent>
  json: OpenJson | undefined
  /** Whether no event came yet. */
  isFirst: boolean
}

/** For one body. The data and the name of one event may have `maxBytes` bytes. */
export const make = (maxBytes: number): JsonLines.Framing => {
  const state: State = { maxBytes, event: makeEvent(maxBytes), json: undefined, isFirst: true }
  return { line: (line) => readLine(state, line), end: () => end(state) }
}

const readLine = (state: State, line: string): Result => {
  if (state.json !== undefined) return goOn(state, state.json, line)
  if (line === "") return dispatch(state)
  const colon = line.indexOf(":")
  // Nearly every line.
  if (colon === 4 && line.startsWith("data")) return state.event.append(valueAfter(line, colon))
  return colon === 0 ? undefined : readField(state, line, colon)
}

const readField = (state: State, line: string, colon: number): Result => {
  const key = colon === -1 ? line : line.slice(0, colon)
  const value = colon === -1 ? "" : valueAfter(line, colon)
  if (key === "data") return state.event.append(value)
  if (key === "id" || key === "retry") return undefined
  // A record in the wrong field is no name.
  if (key === "event" && !value.startsWith("{")) return state.event.setName(value)
  if (continueData(state, line)) return undefined
  if (isErrorField(key)) {
    return begin(state, "error", value) || isNothing(value) ? undefined : { name: "error", data: value }
  }
  return begin(state, "none", line) ? undefined : ofStrayLine(line, state.isFirst)
}

/** One space after the colon belongs to the syntax, a second one to the value. */
const valueAfter = (line: string, colon: number): string =>
  line.slice(line.charCodeAt(colon + 1) === 0x20 ? colon + 2 : colon + 1)

/** The event of which nothing is left to come. */
const dispatch = (state: State): Record | undefined => {
  if (state.event.firstLine()?.length === 1 && continueData(state, "")) return undefined
  const event = state.event.take()
  if (event !== undefined) state.isFirst = false
  return event
}

/** The event that has no empty line after it yet. The standard drops it; here its content decides. */
const end = (state: State): Result => {
  const { event, json } = state
  if (json?.field === "none") return new StreamTruncated()
  const rest = (json === undefined ? undefined : close(state, json, false)) ?? dispatch(state)
  // The first brace of an object alone.
  return rest === undefined && event.firstLine() === "{" ? new StreamTruncated() : rest
}

const begin = (state: State, field: OpenJson["field"], text: string): boolean => {
  const begun = JsonLines.beginJson(text, state.maxBytes)
  if (begun !== undefined) state.json = { ...begun, field }
  return begun !== undefined
}

/** Takes a line of JSON that was begun on the line of the data field. */
const continueData = (state: State, line: string): boolean => {
  const data = state.event.onlyLine()
  // The first line of such JSON is short.
  if (data === undefined || data.length > 1000) return false
  const begun = JsonLines.beginJson(data, state.maxBytes)
  const progress = begun?.add(line)
  if (begun === undefined || (progress !== "open" && progress !== "complete")) return false
  if (progress === "open") state.json = { ...begun, field: "data" }
  else state.event.setData(begun.text())
  return true
}

const goOn = (state: State, json: OpenJson, line: string): Result => {
  const progress = json.add(json.field === "error" ? line.replace(/^error: ?/, "") : line)
  if (typeof progress !== "string") return progress
  if (progress === "open") return undefined
  state.json = undefined
  // A line that breaks the JSON is not a part of it.
  return close(state, json, progress === "complete") ?? (progress === "broken" ? readLine(state, line) : undefined)
}

const close = ({ event, isFirst }: State, { field, text }: OpenJson, isComplete: boolean): Result => {
  if (field === "error") return { name: "error", data: text() }
  if (field === "none") return isComplete ? ofJson(text(), isFirst) : ofBrokenJson(text())
  return event.setData(text())
}

/** The event whose lines come. */
const makeEvent = (maxBytes: number) => {
  let name = ""
  // undefined: none yet; an empty one makes an event too.
  let first: string | undefined
  // All data lines, if there are several.
  let lines: Parts.Parts | undefined
  let bytes = 0

  return {
    firstLine: () => first,
    onlyLine: () => (lines === undefined ? first : undefined),
    setName: (value: string): undefined => void (name = value),
    setData: (data: string): undefined => void (first = data),
    append: (value: string): LineTooLong | undefined => {
      if (first === undefined) {
        first = value
        return undefined
      }
      // A single line is bounded already, so bytes are counted from the second one on.
      if (lines === undefined) {
        lines = Parts.make()
        Parts.append(lines, first)
        bytes = utf8Length(first) + utf8Length(name)
      }
      Parts.append(lines, "\n")
      Parts.append(lines, value)
      bytes += 1 + utf8Length(value)
      return bytes > maxBytes ? new LineTooLong({ limit: maxBytes }) : undefined
    },
    take: (): Record | undefined => {
      const event = first === undefined ? undefined : { name, data: lines === undefined ? first : Parts.join(lines) }
      name = ""
      first = undefined
      lines = undefined
      return event
    }
  }
}

// Lines that are no field of the standard are ignored only if they have nothing of a completion: some servers and proxies write errors
// and records so.

/** What a line stands for; `undefined` for nothing. `isFirst`: no event came before it. */
const ofStrayLine = (line: string, isFirst: boolean): Record | ParseError | undefined => {
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
 * JSON without a field is an error of the server, all of the response from a server that ignores `stream`, or a part of the response
 * that would be lost.
 */
const ofJson = (text: string, isFirst: boolean): Record | ParseError | undefined => {
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

/** An object that is not complete may be a part of the response. */
const ofBrokenJson = (text: string): ParseError | undefined =>
  text.includes("{") ? WireSchema.parseError(text, "not JSON, and not a field of an event") : undefined

/** The fields of records that have a part of a response, in any protocol. */
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
const isErrorField = (key: string): boolean => /^[\s"']*error[\s"']*$/i.test(key)

/** Whether the value of an error field reports no error, such as `null`. */
const isNothing = (value: string): boolean => {
  const json = Json.parse(value)
  return json === undefined ? value.trim() === "" : !json
}
