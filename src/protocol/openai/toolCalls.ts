/**
 * Tool calls from the fragments that OpenAI-style servers send. Repairs what those servers get wrong: no index, index 0 for
 * every call, no id, an empty id or name, a name after the id, arguments as an object, a fragment sent twice.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ParseError } from "../../ProviderError.ts"
import type { ToolCall, ToolCallDelta } from "../../StreamingChunk.ts"
import * as Json from "../../values/json.ts"
import * as WireSchema from "../wireSchema.ts"
import * as Parts from "../../values/text.ts"
import * as Content from "../content.ts"
import { utf8Length } from "../../values/text.ts"

/** The function of a call, or a part of it. */
export const FunctionFragment = Schema.Struct({
  name: WireSchema.nullish(Schema.String),
  arguments: WireSchema.part(Schema.Union([Schema.String, Schema.Record(Schema.String, Schema.Unknown)]))
})

/** A fragment as the server sends it. */
export const Fragment = Schema.Struct({
  index: WireSchema.metadata,
  id: WireSchema.metadata,
  function: WireSchema.part(FunctionFragment)
})

export interface Fragment extends Schema.Schema.Type<typeof Fragment> {}

export interface ToolCallAssembly {
  /** Adds a fragment to its call and returns it as the consumer sees it. Takes constant time per character. */
  readonly add: (fragment: Fragment) => Result.Result<ToolCallDelta, ParseError>
  /** Bytes kept so far. */
  readonly bytes: () => number
  /** How many calls have begun. */
  readonly count: () => number
  /**
   * The calls with their arguments parsed, when all fragments have arrived. Of a completion that was cut, a call that is not
   * complete is left out.
   */
  readonly complete: (isCut: boolean) => Result.Result<ReadonlyArray<ToolCall>, ParseError>
}

interface Call {
  /** Place among the calls of this completion. */
  readonly position: number
  /** The server's index. */
  index: number | undefined
  id: string
  name: string
  readonly arguments: Parts.Parts
}

/** A call without text takes memory too, and so does each further part of a name. */
const bytesPerCall = 64
const bytesPerName = 64

export const make = (): ToolCallAssembly => {
  const state = makeCalls()
  return {
    add: (fragment) => {
      const part = toPart(fragment)
      if (part === undefined)
        return Result.fail(WireSchema.parseError("", "arguments of a tool call are nested too deeply"))
      const call = find(state, part)
      const argumentsDelta = isRepetition(call, part) ? "" : part.arguments
      state.name(call, part)
      state.append(call, argumentsDelta)
      return Result.succeed({
        index: call.position,
        ...(part.id === "" || part.id !== call.id ? {} : { id: part.id }),
        ...(part.name === "" ? {} : { name: part.name }),
        argumentsDelta
      })
    },
    bytes: state.bytes,
    count: () => state.calls.length,
    complete: (isCut) => complete(state, isCut)
  }
}

/** The calls that have begun, by their order, ids and indexes, and the bytes that they keep. */
const makeCalls = () => {
  const calls: Array<Call> = []
  const byId = new Map<string, Call>()
  const byIndex = new Map<number, Call>()
  let bytes = 0

  return {
    calls,
    byId,
    byIndex,
    bytes: () => bytes,
    begin: (index: number | undefined): Call => {
      const call = { position: calls.length, index, id: "", name: "", arguments: Parts.make() }
      calls.push(call)
      if (index !== undefined) byIndex.set(index, call)
      bytes += bytesPerCall
      return call
    },
    name: (call: Call, { id, name }: Part): void => {
      if (call.id === "" && id !== "" && !byId.has(id)) {
        call.id = id
        byId.set(id, call)
        bytes += utf8Length(id)
      }
      if (name === "" || name === call.name) return
      // Some servers send a name in fragments, some repeat what they sent of it.
      bytes += utf8Length(name) + (call.name === "" ? 0 : bytesPerName)
      const isLonger = name.length > call.name.length && name.startsWith(call.name)
      call.name = isLonger ? name : call.name + name
    },
    append: (call: Call, text: string): void => {
      if (text === "") return
      Parts.append(call.arguments, text)
      bytes += utf8Length(text)
    }
  }
}

type Calls = ReturnType<typeof makeCalls>

/** The call of a fragment: the id decides, then the index, then the order. An id not seen before begins a new call. */
const find = (state: Calls, part: Part): Call => {
  const { begin, byId, byIndex } = state
  const { id, index, name } = part
  const known = id === "" ? undefined : byId.get(id)
  if (known !== undefined) {
    // Two calls can have the same id, but then not the same index.
    const isOther = index !== undefined && known.index !== undefined && index !== known.index
    if (!isOther) return known
    const other = byIndex.get(index)
    if (other !== undefined && other.id === "") return other
    return hasOtherName(known, part) || beginsCall(known, part) ? begin(index) : known
  }
  const call = findByIndex(state, index, id === "" && name === "")
  if (call === undefined || (id !== "" && call.id !== "")) return begin(index)
  const isRepeated = index !== undefined && isRepetition(call, part)
  return !isRepeated && beginsCall(call, part) ? begin(index) : call
}

/** The call with that index. Without an index, or if only this fragment has one, the latest call. */
const findByIndex = (
  { byIndex, calls }: Calls,
  index: number | undefined,
  isContinuation: boolean
): Call | undefined => {
  const latest = calls.at(-1)
  if (index === undefined) return latest
  const known = byIndex.get(index)
  if (known !== undefined || !isContinuation || latest === undefined || latest.index !== undefined) return known
  latest.index = index
  byIndex.set(index, latest)
  return latest
}

const complete = ({ byId, calls }: Calls, isCut: boolean): Result.Result<ReadonlyArray<ToolCall>, ParseError> => {
  const complete: Array<ToolCall> = []
  for (const { arguments: parts, id, name, position } of calls) {
    if (id === "" && name === "" && parts.length === 0) continue
    const text = Parts.join(parts)
    // The arguments of the last call may not have begun when the response was cut.
    const isMissing = isCut && position === calls.length - 1
    const call = { name, arguments: text.trim() !== "" ? Json.parse(text) : isMissing ? undefined : {} }
    const problem = Content.findCallProblem(position, call)
    if (problem === undefined) complete.push({ id: id === "" ? Content.makeCallId(position, byId) : id, ...call })
    else if (!isCut) return Result.fail(WireSchema.parseError(text, problem))
  }
  return Result.succeed(complete)
}

/** A fragment with its defaults. */
interface Part {
  readonly id: string
  readonly index: number | undefined
  readonly name: string
  readonly arguments: string
  /** Whether the arguments came as an object instead of text. */
  readonly isObject: boolean
}

const toPart = ({ function: fn, id, index }: Fragment): Part | undefined => {
  const { arguments: value, name } = Json.isObject(fn) ? fn : {}
  const isObject = Json.isObject(value)
  const text = isObject ? Json.stringify(value) : (Json.toText(value) ?? "")
  if (text === undefined) return undefined
  return {
    id: Json.toText(id) ?? "",
    // Some servers use negative ones.
    index: typeof index === "number" ? index : Json.toCount(index),
    name: name ?? "",
    arguments: text,
    isObject
  }
}

/** Whether a fragment that the index or the order gives to this call is the beginning of another one. */
const beginsCall = (call: Call, part: Part): boolean =>
  call.arguments.length > 0 &&
  (part.isObject || hasOtherName(call, part) || (part.name !== "" && hasWholeArguments(part)))

const hasOtherName = (call: Call, { name }: Part): boolean => name !== "" && call.name !== "" && name !== call.name

const hasWholeArguments = (part: Part): boolean =>
  part.isObject || (part.arguments.startsWith("{") && Json.isObject(Json.parse(part.arguments)))

/** Whether a fragment is everything that the call has already. Two objects after each other would not be JSON. */
const isRepetition = (call: Call, part: Part): boolean =>
  part.arguments.length > 0 &&
  part.arguments.length === call.arguments.length &&
  (part.name === "" || part.name === call.name) &&
  part.arguments === Parts.join(call.arguments) &&
  hasWholeArguments(part)
