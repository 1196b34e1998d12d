/** Records of JSON on lines: NDJSON, and JSON over several lines, which proxies write where each line should be a record. */
import type { Record } from "../protocol/endpoint.ts"
import * as WireSchema from "../protocol/wireSchema.ts"
import type { ProviderErrorReason } from "../ProviderError.ts"
import { LineTooLong, StreamTruncated } from "../ProviderError.ts"
import * as Parts from "../values/text.ts"
import { utf8Length } from "../values/text.ts"

/** How the lines of a body form records. */
export interface Framing {
  /** Takes one line without its end, and returns the record that it completes, or why it is not a part of one. */
  readonly line: (line: string) => Record | ProviderErrorReason | undefined
  /** The body ended without error: the record that was begun, or why it is none. */
  readonly end: () => Record | ProviderErrorReason | undefined
}

/** A record on each line, or over several lines with at most `maxBytes` bytes. */
export const make = (maxBytes: number): Framing => {
  let json: JsonLines | undefined

  const begin = (line: string): Record | undefined => {
    json = beginJson(line, maxBytes)
    return json !== undefined || line.trim() === "" ? undefined : toRecord(line)
  }

  const goOn = (begun: JsonLines, line: string): Record | ProviderErrorReason | undefined => {
    const progress = begun.add(line)
    if (typeof progress !== "string") return progress
    if (progress === "open") return undefined
    json = undefined
    return progress === "complete" ? toRecord(begun.text()) : WireSchema.parseError(begun.text(), "not JSON")
  }

  return {
    line: (line) => {
      if (json !== undefined) return goOn(json, line)
      return isObject(line) ? toRecord(line) : begin(line)
    },
    end: () => (json === undefined ? undefined : new StreamTruncated())
  }
}

/** All of a body on a single line. */
export const whole: Framing = { line: (data) => toRecord(data), end: () => undefined }

const toRecord = (data: string): Record => ({ data, name: "" })

/** Nearly every line. */
const isObject = (line: string): boolean => line.charCodeAt(0) === 0x7b && line.charCodeAt(line.length - 1) === 0x7d

export interface JsonLines {
  /** Takes the next line. `broken`: the line cannot belong to the text. */
  readonly add: (line: string) => "open" | "complete" | "broken" | LineTooLong
  /** All lines so far. */
  readonly text: () => string
}

/** The JSON text that a line begins; `undefined` if the line begins none, or has all of it. It may have `maxBytes` bytes. */
export const beginJson = (line: string, maxBytes: number): JsonLines | undefined => {
  const parts = Parts.make()
  let depth = 0
  let bytes = 0

  let next = beginning

  const add: JsonLines["add"] = (line) => {
    const change = next.test(line) ? countLevels(line) : undefined
    if (change === undefined) return "broken"
    depth += change
    next = findNext(line) ?? next
    bytes += 1 + utf8Length(line)
    if (bytes > maxBytes) return new LineTooLong({ limit: maxBytes })
    if (parts.length > 0) Parts.append(parts, "\n")
    Parts.append(parts, line)
    return depth > 0 ? "open" : "complete"
  }

  return add(line) === "open" ? { add, text: () => Parts.join(parts) } : undefined
}

/** An object or an array, with the beginning of what can be in it. */
const beginning = /^\s*[{[]\s*(?:["{}[\]\d-]|true|false|null|$)/

/** How the line after one with this last character can begin. A record or a field of an event can follow none of them. */
const afterBrace = /^\s*(?:["}]|$)/
const beforeValue = /^\s*(?:["{}[\]\d-]|true|false|null|$)/
const afterValue = /^\s*(?:[,:}\]]|$)/

const findNext = (line: string): RegExp | undefined => {
  const last = line.trimEnd().at(-1)
  if (last === undefined) return undefined
  if (last === "{") return afterBrace
  return last === "[" || last === "," || last === ":" ? beforeValue : afterValue
}

/** How many levels of nesting a line opens, less those that it closes. No text of JSON continues on the next line. */
const countLevels = (line: string): number | undefined => {
  let levels = 0
  let inText = false
  for (let i = 0; i < line.length; i++) {
    const unit = line.charCodeAt(i)
    if (inText) {
      if (unit === 0x5c) i++
      else if (unit === 0x22) inText = false
    } else if (unit === 0x22) inText = true
    else if (unit === 0x7b || unit === 0x5b) levels++
    else if (unit === 0x7d || unit === 0x5d) levels--
  }
  return inText ? undefined : levels
}
