/** A JSON text over several lines. Proxies write errors so, where each line of the body should be a record. */
import { LineTooLong } from "../ProviderError.ts"
import * as Parts from "../values/text.ts"
import { utf8Length } from "../values/text.ts"

export interface JsonLines {
  /** Takes the next line. `broken`: the line cannot belong to the text. */
  readonly add: (line: string) => "open" | "complete" | "broken" | LineTooLong
  /** All lines so far. */
  readonly text: () => string
}

/** The JSON text that a line begins; `undefined` if the line begins none, or has all of it. It may have `maxBytes` bytes. */
export const begin = (line: string, maxBytes: number): JsonLines | undefined => {
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
