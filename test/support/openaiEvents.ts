/** Answers of the OpenAI-compatible routes, written as events, and what must be read from them. */
import type * as Effect from "effect/Effect"
import type { Expected, Protocol } from "./decoding.ts"
import { check } from "./decoding.ts"

export const chunk = (delta: object, finish_reason: string | null = null, more: object = {}): object => ({
  id: "x",
  choices: [{ index: 0, delta, finish_reason }],
  ...more
})
export const text = (content: string): object => chunk({ content })
export const finish = (reason = "stop", more: object = {}): object => chunk({}, reason, more)
export const usage = { usage: { prompt_tokens: 8, completion_tokens: 3, total_tokens: 11 } }
export const usageChunk = { choices: [], ...usage }

/** Fragments of calls, in one chunk. */
export const calls = (...tool_calls: ReadonlyArray<object>): object => chunk({ tool_calls })
export const fragment = (args: unknown, more: object = {}, name?: string): object => ({
  ...more,
  function: { ...(name === undefined ? {} : { name }), arguments: args }
})

export const final = (more: object = {}): object => ({ model: "asked", finishReason: "stop", ...more })
export const finalWithCalls = final({ finishReason: "tool-calls" })
export const failure = (_tag: string, fields: object = {}): object => ({ _tag, ...fields })

export interface Row extends Expected {
  /** Values are written as data lines of JSON, texts are written unchanged. An empty line ends each. */
  readonly events: ReadonlyArray<unknown>
  /** What follows the last event, without an empty line. */
  readonly rest?: string
}

export const toBody = (events: ReadonlyArray<unknown>): string =>
  events.map((event) => `${typeof event === "string" ? event : `data: ${JSON.stringify(event)}`}\n\n`).join("")

export const checkRow = ({ events, rest = "", ...expected }: Row, route: Protocol): Effect.Effect<void> =>
  check(route, toBody(events) + rest, expected)

export const DONE = "data: [DONE]"
