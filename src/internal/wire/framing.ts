/** How the lines of a body form records. */
import type { ProviderErrorReason } from "../../ProviderError.ts"
import type { Endpoint, Record } from "./endpoint.ts"
import * as Sse from "./sse.ts"

export interface Framing {
  /** What the bound on bytes applies to: each line, each event, or the body as a whole. With `line`, every line is a record. */
  readonly unit: "line" | "event" | "body"
  /** Takes one line without its end, and returns the record that it completes, or why it is not a part of one. */
  readonly line: (line: string) => Record | ProviderErrorReason | undefined
  /** The body ended without error: the record that was begun. */
  readonly end: () => Record | undefined
}

export const make = (framing: Endpoint<never, unknown>["framing"], maxLineBytes: number): Framing => {
  switch (framing) {
    case "ndjson":
      return {
        unit: "line",
        line: (line) => (isBlank(line) ? undefined : { data: line, name: "" }),
        end: () => undefined
      }
    case "sse":
      return { unit: "event", ...Sse.make(maxLineBytes) }
    case "json":
      return makeWhole()
  }
}

/** Only a line that begins with white space can be blank: nearly every line is decided by its first character. */
const isBlank = (line: string): boolean => line.charCodeAt(0) !== 0x7b && line.trim() === ""

const makeWhole = (): Framing => {
  const lines: Array<string> = []
  return {
    unit: "body",
    line: (line) => {
      lines.push(line)
      return undefined
    },
    end: () => ({ data: lines.join("\n"), name: "" })
  }
}
