/**
 * Tool calls out of the fragments that OpenAI-style servers send, with what those servers get wrong put right: no index,
 * index 0 for every call, no id, an empty id or name, the name behind the id.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ParseError } from "../../ProviderError.ts"
import type { ToolCall, ToolCallDelta } from "../../StreamingChunk.ts"
import * as Json from "../wire/json.ts"

/** A fragment as it comes over the wire. */
export const Fragment = Schema.Struct({
  index: Json.nullish(Schema.Number),
  id: Json.nullish(Schema.String),
  function: Json.nullish(
    Schema.Struct({
      name: Json.nullish(Schema.String),
      arguments: Json.nullish(Schema.String)
    })
  )
})

export interface ToolCallAssembly {
  /** Puts a fragment to its call, and gives it as the consumer sees it. */
  readonly add: (fragment: typeof Fragment.Type) => ToolCallDelta
  /** Characters kept so far. */
  readonly length: () => number
  /** The calls with their arguments parsed, once all fragments came. */
  readonly complete: () => Result.Result<ReadonlyArray<ToolCall>, ParseError>
}

interface Call {
  readonly wireIndex: number | undefined
  id: string
  name: string
  arguments: string
}

export const make = (): ToolCallAssembly => {
  const calls: Array<Call> = []
  let length = 0

  /** The id decides, then the index, then the order; an id not seen before begins a new call. */
  const find = (id: string, index: number | undefined): Call => {
    const known = id === "" ? undefined : calls.find((call) => call.id === id)
    if (known !== undefined) return known
    const latest = index === undefined ? calls.at(-1) : calls.findLast((call) => call.wireIndex === index)
    if (latest !== undefined && (id === "" || latest.id === "")) return latest
    const call = { wireIndex: index, id: "", name: "", arguments: "" }
    calls.push(call)
    // A call without text weighs something too.
    length += 32
    return call
  }

  return {
    add: (fragment) => {
      const id = fragment.id ?? ""
      const name = fragment.function?.name ?? ""
      const argumentsDelta = fragment.function?.arguments ?? ""
      const call = find(id, fragment.index ?? undefined)
      if (call.id === "") call.id = id
      if (name !== "") call.name = name
      call.arguments += argumentsDelta
      length += id.length + name.length + argumentsDelta.length
      return {
        index: calls.indexOf(call),
        ...(id === "" ? {} : { id }),
        ...(name === "" ? {} : { name }),
        argumentsDelta
      }
    },
    length: () => length,
    complete: () => {
      const complete: Array<ToolCall> = []
      for (const [i, call] of calls.entries()) {
        const value = call.arguments.trim() === "" ? {} : Json.parse(call.arguments)
        if (value === undefined) {
          return Result.fail(Json.parseError(call.arguments, `the arguments of tool call ${i} are not JSON`))
        }
        complete.push({ id: call.id === "" ? `call_${i}` : call.id, name: call.name, arguments: value })
      }
      return Result.succeed(complete)
    }
  }
}
