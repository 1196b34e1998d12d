/**
 * Server-sent events from lines, by the rules of the HTML standard, section 9.2.6. The lines come without their ends and
 * the text without its byte order mark. `id` and `retry` are for reconnecting, which no completion can do: they are ignored.
 * Unlike in the standard, a line with a part of an answer is never ignored.
 *
 * `effect/encoding/Sse` reads text and splits lines itself. Here the lines are split and bounded already.
 */
import type { ProviderErrorReason } from "../ProviderError.ts"
import { LineTooLong, StreamTruncated } from "../ProviderError.ts"
import type { Record } from "../protocol/endpoint.ts"
import * as JsonLines from "./jsonLines.ts"
import * as Parts from "../values/text.ts"
import * as StrayLine from "./strayLine.ts"
import { utf8Length } from "../values/text.ts"

type Result = Record | ProviderErrorReason | undefined

export interface Parser {
  /** Takes one line. The empty line that ends an event returns the event. */
  readonly line: (line: string) => Result
  /** The event that has no empty line after it yet. The standard drops it; here its content decides. */
  readonly end: () => Result
}

/** JSON that continues on the lines after the one of its field, and where it belongs. */
interface OpenJson extends JsonLines.JsonLines {
  readonly field: "data" | "error" | "none"
}

/** A parser for one body. The data and the name of one event may have `maxBytes` bytes. */
export const make = (maxBytes: number): Parser => {
  let name = ""
  // The first data line of the event. undefined: none yet; an empty one makes an event too.
  let data: string | undefined
  // All data lines, if there are several.
  let lines: Parts.Parts | undefined
  let bytes = 0
  let json: OpenJson | undefined
  let isFirst = true

  const dispatch = (): Record | undefined => {
    if (data?.length === 1 && continueData("")) return undefined
    const event = data === undefined ? undefined : { name, data: lines === undefined ? data : Parts.join(lines) }
    name = ""
    data = undefined
    lines = undefined
    if (event !== undefined) isFirst = false
    return event
  }

  const append = (value: string): LineTooLong | undefined => {
    if (data === undefined) {
      data = value
      return undefined
    }
    // A single line is bounded already, so bytes are counted from the second one on.
    if (lines === undefined) {
      lines = Parts.make()
      Parts.append(lines, data)
      bytes = utf8Length(data) + utf8Length(name)
    }
    Parts.append(lines, "\n")
    Parts.append(lines, value)
    bytes += 1 + utf8Length(value)
    return bytes > maxBytes ? new LineTooLong({ limit: maxBytes }) : undefined
  }

  const begin = (field: OpenJson["field"], text: string): boolean => {
    const begun = JsonLines.begin(text, maxBytes)
    if (begun !== undefined) json = { ...begun, field }
    return begun !== undefined
  }

  /** Takes a line of JSON that was begun on the line of the data field. */
  const continueData = (line: string): boolean => {
    // The first line of such JSON is short.
    if (data === undefined || lines !== undefined || data.length > 1000) return false
    const begun = JsonLines.begin(data, maxBytes)
    const progress = begun?.add(line)
    if (begun === undefined || (progress !== "open" && progress !== "complete")) return false
    if (progress === "open") json = { ...begun, field: "data" }
    else data = begun.text()
    return true
  }

  const goOn = ({ add, field, text }: OpenJson, line: string): Result => {
    const progress = add(field === "error" ? StrayLine.withoutErrorField(line) : line)
    if (typeof progress !== "string") return progress
    if (progress === "open") return undefined
    json = undefined
    // A line that breaks the JSON is not a part of it.
    return close(field, text(), progress === "complete") ?? (progress === "broken" ? read(line) : undefined)
  }

  const close = (field: OpenJson["field"], text: string, isComplete: boolean): Result => {
    if (field === "error") return { name: "error", data: text }
    if (field === "none") return isComplete ? StrayLine.ofJson(text, isFirst) : StrayLine.ofBrokenJson(text)
    data = text
    return undefined
  }

  const error = (value: string): Record | undefined =>
    begin("error", value) || StrayLine.isNothing(value) ? undefined : { name: "error", data: value }

  const field = (line: string, colon: number): Result => {
    const key = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? "" : valueAfter(line, colon)
    if (key === "data") return append(value)
    if (key === "id" || key === "retry") return undefined
    // A record in the wrong field is no name.
    if (key === "event" && !value.startsWith("{")) {
      name = value
      return undefined
    }
    if (continueData(line)) return undefined
    if (StrayLine.isErrorField(key)) return error(value)
    return begin("none", line) ? undefined : StrayLine.toResult(line, isFirst)
  }

  const read = (line: string): Result => {
    if (json !== undefined) return goOn(json, line)
    if (line === "") return dispatch()
    const colon = line.indexOf(":")
    // Nearly every line.
    if (colon === 4 && line.startsWith("data")) return append(valueAfter(line, colon))
    return colon === 0 ? undefined : field(line, colon)
  }

  return {
    line: read,
    end: () => {
      if (json?.field === "none") return new StreamTruncated()
      const rest = (json === undefined ? undefined : close(json.field, json.text(), false)) ?? dispatch()
      // The first brace of an object alone.
      return rest === undefined && data === "{" ? new StreamTruncated() : rest
    }
  }
}

/** One space after the colon belongs to the syntax, a second one to the value. */
const valueAfter = (line: string, colon: number): string =>
  line.slice(line.charCodeAt(colon + 1) === 0x20 ? colon + 2 : colon + 1)
