/**
 * Server-sent events from lines, by the rules of the HTML standard, section 9.2.6. The lines come without their ends and
 * the text without its byte order mark. `id` and `retry` are for reconnecting, which no completion can do: they are ignored.
 *
 * `effect/encoding/Sse` reads text and splits lines itself. Here the lines are split and bounded already.
 */
import type { ParseError } from "../../ProviderError.ts"
import { LineTooLong } from "../../ProviderError.ts"
import type { Record } from "./endpoint.ts"
import * as Json from "./json.ts"
import { utf8Length } from "./utf8.ts"

export interface Parser {
  /** Takes one line. The empty line that ends an event returns the event. */
  readonly line: (line: string) => Record | ParseError | LineTooLong | undefined
  /** The event that has no empty line after it yet. The standard drops it; here its content decides. */
  readonly end: () => Record | undefined
}

/** A parser for one body. The data of one event may have `maxBytes` bytes. */
export const make = (maxBytes: number): Parser => {
  let name = ""
  // The first data line of the event. undefined: none yet; an empty one makes an event too.
  let data: string | undefined
  // All data lines, if there are several. Joined once, so that the time is linear.
  let lines: Array<string> | undefined
  let bytes = 0

  const dispatch = (): Record | undefined => {
    const event = data === undefined ? undefined : { name, data: lines === undefined ? data : lines.join("\n") }
    name = ""
    data = undefined
    lines = undefined
    return event
  }

  const append = (value: string): LineTooLong | undefined => {
    if (data === undefined) {
      data = value
      return undefined
    }
    // A single line is bounded already, so bytes are counted from the second one on.
    if (lines === undefined) {
      lines = [data]
      bytes = utf8Length(data)
    }
    lines.push(value)
    bytes += 1 + utf8Length(value)
    return bytes > maxBytes ? new LineTooLong({ limit: maxBytes }) : undefined
  }

  const field = (key: string, value: string): LineTooLong | undefined => {
    if (key === "data") return append(value)
    if (key === "event") name = value
    return undefined
  }

  return {
    line: (line) => {
      if (line === "") return dispatch()
      const colon = line.indexOf(":")
      // Nearly every line.
      if (colon === 4 && line.startsWith("data")) return append(valueAfter(line, colon))
      if (line.startsWith("{")) return bareJson(line)
      if (colon === -1) return field(line, "")
      return colon === 0 ? undefined : field(line.slice(0, colon), valueAfter(line, colon))
    },
    end: dispatch
  }
}

/** One space after the colon belongs to the syntax, a second one to the value. */
const valueAfter = (line: string, colon: number): string =>
  line.slice(line.charCodeAt(colon + 1) === 0x20 ? colon + 2 : colon + 1)

/** A record without `data:`. The standard ignores it as an unknown field, but it can be an error or a part of an answer. */
const bareJson = (line: string): Record | ParseError => {
  const value = Json.parse(line)
  if (value === undefined) return Json.parseError(line, "not JSON, and not a field of an event")
  return Json.isObject(value) && Boolean(value.error)
    ? { name: "error", data: line }
    : Json.parseError(line, "JSON without a data field")
}
