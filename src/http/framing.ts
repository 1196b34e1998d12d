/** How the lines of a body form records. */
import type { ProviderErrorReason } from "../ProviderError.ts"
import { StreamTruncated } from "../ProviderError.ts"
import type { Endpoint, Record } from "../protocol/endpoint.ts"
import * as WireSchema from "../protocol/wireSchema.ts"
import * as JsonLines from "./jsonLines.ts"
import * as Sse from "./sse.ts"

export interface Framing {
  /**
   * What the bound on bytes applies to. With `line`, every line is a record; with `body`, all of the body is one, and it comes
   * as a single line.
   */
  readonly unit: "line" | "event" | "body"
  /** Takes one line without its end, and returns the record that it completes, or why it is not a part of one. */
  readonly line: (line: string) => Record | ProviderErrorReason | undefined
  /** The body ended without error: the record that was begun, or why it is none. */
  readonly end: () => Record | ProviderErrorReason | undefined
}

export const make = (framing: Endpoint<never, unknown>["framing"], maxLineBytes: number): Framing => {
  switch (framing) {
    case "ndjson":
      return makeLines(maxLineBytes)
    case "sse":
      return { unit: "event", ...Sse.make(maxLineBytes) }
    case "json":
      return { unit: "body", line: toRecord, end: () => undefined }
  }
}

const toRecord = (data: string): Record => ({ data, name: "" })

const makeLines = (maxBytes: number): Framing => {
  /** A record over several lines. */
  let json: JsonLines.JsonLines | undefined

  const begin = (line: string): Record | undefined => {
    json = JsonLines.begin(line, maxBytes)
    return json !== undefined || line.trim() === "" ? undefined : toRecord(line)
  }

  const goOn = (json: JsonLines.JsonLines, line: string): Record | ProviderErrorReason | undefined => {
    const progress = json.add(line)
    if (typeof progress !== "string") return progress
    if (progress === "open") return undefined
    end()
    return progress === "complete" ? toRecord(json.text()) : WireSchema.parseError(json.text(), "not JSON")
  }

  const end = (): void => {
    json = undefined
  }

  return {
    unit: "line",
    line: (line) => {
      if (json !== undefined) return goOn(json, line)
      return isObject(line) ? toRecord(line) : begin(line)
    },
    end: () => (json === undefined ? undefined : new StreamTruncated())
  }
}

/** Nearly every line. */
const isObject = (line: string): boolean => line.charCodeAt(0) === 0x7b && line.charCodeAt(line.length - 1) === 0x7d
