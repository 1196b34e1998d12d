/** A tool call that a model wrote, whatever the protocol. */
import type { ToolCall } from "../StreamingChunk.ts"
import * as Json from "../values/json.ts"

/** An id for a call that the server sent without one, or with the id of another call. */
export const makeId = (position: number, taken: { readonly has: (id: string) => boolean }): string => {
  let id = `call_${position}`
  while (taken.has(id)) id += "_"
  return id
}

/** Why a call must not be run. */
export const findProblem = (
  position: number,
  { arguments: value, name }: Pick<ToolCall, "arguments" | "name">
): string | undefined => {
  if (value === undefined) return `the arguments of tool call ${position} are not JSON`
  if (name === "") return `tool call ${position} has no name`
  const fault = Json.findFault(value)
  return fault === undefined ? undefined : `the arguments of tool call ${position} are ${fault}`
}
