/**
 * The parts of a completion one after the other: thinking, text and tool calls. Anthropic's messages and OpenAI's responses are written
 * so, with records for the beginning, the text and the end of each part.
 */
import type { ProviderErrorReason } from "../ProviderError.ts"
import { StreamError } from "../ProviderError.ts"
import type { FinalChunk, ToolCall, ToolCallDelta } from "../StreamingChunk.ts"
import * as Json from "../values/json.ts"
import * as Text from "../values/text.ts"
import type { CompletionWriter } from "./served.ts"

/** What is known of a part when it begins. */
export type Block = { readonly kind: "thinking" | "text" } | CallBlock

export interface CallBlock {
  readonly kind: "call"
  readonly id: string
  readonly name: string
}

/** The records of a protocol. One block is open at a time. */
export interface Format {
  /** The records with which a response begins. */
  readonly begin: () => string
  readonly open: (block: Block) => string
  /** A part of the text of the open block; that of a call is its arguments as JSON. `undefined`: the response is too long for it. */
  readonly delta: (text: string) => string | undefined
  /** Ends the open block. `isCut`: it is not complete. */
  readonly close: (isCut: boolean) => string
  readonly end: (final: FinalChunk) => string
  readonly failure: (reason: ProviderErrorReason) => string
}

/** The arguments of a call as JSON. */
export const argumentsOf = ({ arguments: value }: ToolCall): string => Json.stringify(value) ?? "{}"

/** What waits for the end of the open call. */
type Held = { readonly kind: "thinking" | "text"; readonly text: string } | { readonly call: ToolCall }

/** A writer of the records of one response. */
export const makeWriter = (format: Format): CompletionWriter => {
  const state = makeState(format)
  const order = makeOrder(state)
  const addFragment = makeFragments(order)
  return {
    chunk: (chunk) => {
      if (chunk.thinking !== undefined && chunk.thinking !== "") order.text("thinking", chunk.thinking)
      if (chunk.content !== "") order.text("text", chunk.content)
      if (chunk.toolCallDeltas !== undefined) chunk.toolCallDeltas.forEach(addFragment)
      if (chunk.toolCalls !== undefined) chunk.toolCalls.forEach(order.whole)
      if (chunk.isFinal) {
        order.release()
        state.end(chunk)
      }
      return state.take()
    },
    failure: (reason) => {
      order.release()
      state.fail(reason)
      return state.take()
    }
  }
}

/** The records that were written, and the block that is open. */
const makeState = (format: Format) => {
  let records = ""
  let kind: Block["kind"] | undefined
  let begun = false
  let over = false

  const begin = (): void => {
    if (!begun) records += format.begin()
    begun = true
  }
  const close = (isCut = false): void => {
    if (kind !== undefined && !over) records += format.close(isCut)
    kind = undefined
  }
  const fail = (reason: ProviderErrorReason): void => {
    if (over) return
    begin()
    records += format.failure(reason)
    over = true
  }
  return {
    kind: () => kind,
    open: (block: Block): void => {
      if (over) return
      begin()
      close()
      records += format.open(block)
      kind = block.kind
    },
    delta: (text: string): void => {
      if (over) return
      const delta = format.delta(text)
      if (delta === undefined) fail(new StreamError({ description: "the response is too long for this protocol" }))
      else records += delta
    },
    close,
    fail,
    end: (final: FinalChunk): void => {
      if (over) return
      begin()
      close(final.finishReason === "length")
      records += format.end(final)
      over = true
    },
    take: (): string => {
      const taken = records
      records = ""
      return taken
    }
  }
}

/** The call whose arguments are being written as they arrive. */
const makeOpenCall = (state: ReturnType<typeof makeState>) => {
  let open: OpenCall | undefined

  const close = (isCut: boolean): void => {
    if (open !== undefined) state.close(isCut)
    open = undefined
  }
  return {
    close,
    /** Whether something else can be written now. The arguments are parsed once, when something else arrives for the first time. */
    isFree: (): boolean => {
      if (open === undefined) return true
      // Nothing but white space can follow a whole object.
      open.isComplete ??= Json.isObject(Json.parse(Text.join(open.arguments)))
      if (open.isComplete) close(false)
      return open === undefined
    },
    find: (id: string): OpenCall | undefined => (open?.id === id ? open : undefined),
    begin: ({ id, name }: Named, index: number): void => {
      open = { id, name, index, arguments: Text.make() }
      state.open({ kind: "call", id, name })
    },
    /** Writes a fragment, if its call is the open one. */
    append: (index: number, text: string): boolean => {
      if (open?.index !== index) return false
      Text.append(open.arguments, text)
      state.delta(text)
      return true
    }
  }
}

type Named = Pick<ToolCall, "id" | "name">

interface OpenCall extends Named {
  readonly index: number
  readonly arguments: Text.Parts
  isComplete?: boolean
}

/** The order of texts and calls: what arrives while the arguments of a call are not complete waits for its end. */
const makeOrder = (state: ReturnType<typeof makeState>) => {
  const open = makeOpenCall(state)
  const held: Array<Held> = []
  /** The ids of calls that were written in fragments, until they arrive as a whole. */
  const streamed = new Set<string>()
  /** How many calls were begun. */
  let count = 0

  const text = (kind: "thinking" | "text", text: string): void => {
    if (!open.isFree()) {
      held.push({ kind, text })
      return
    }
    if (state.kind() !== kind) state.open({ kind })
    state.delta(text)
  }
  const whole = (call: ToolCall): void => {
    const known = open.find(call.id)
    if (known !== undefined) {
      if (known.name !== call.name) state.fail(new StreamError({ description: "the name of a tool call changed" }))
      streamed.delete(call.id)
      end(false)
    } else if (!open.isFree()) {
      held.push({ call })
    } else if (!streamed.delete(call.id)) {
      count++
      state.open({ kind: "call", id: call.id, name: call.name })
      state.delta(argumentsOf(call))
      state.close()
    }
  }
  const end = (isCut: boolean): void => {
    open.close(isCut)
    for (const each of held.splice(0)) {
      if ("call" in each) whole(each.call)
      else text(each.kind, each.text)
    }
  }
  return {
    text,
    whole,
    /** Nothing follows: a call that is still open is cut. */
    release: () => end(true),
    append: open.append,
    /** Writes the first fragment of a call, unless it has to wait for the whole call, as it does for calls before it. */
    begin: (call: Named, index: number, text: string): void => {
      if (index !== count || streamed.has(call.id) || !open.isFree()) return
      count++
      streamed.add(call.id)
      open.begin(call, index)
      open.append(index, text)
    }
  }
}

/** The fragments of calls. A call is written in fragments if its id and its name come before its arguments, and otherwise as a whole. */
const makeFragments = ({ append, begin }: Pick<ReturnType<typeof makeOrder>, "append" | "begin">) => {
  /** By index: calls without arguments so far. `undefined`: further fragments are not written unless the call is open. */
  const calls = new Map<number, Named | undefined>()

  return ({ argumentsDelta, id = "", index, name = "" }: ToolCallDelta): void => {
    if (argumentsDelta !== "" && append(index, argumentsDelta)) return
    const before = calls.has(index) ? calls.get(index) : { id: "", name: "" }
    if (before === undefined) return
    const call = { id: before.id === "" ? id : before.id, name: before.name === "" ? name : before.name }
    // Some servers send a name in parts.
    const isOther = name !== "" && name !== call.name
    calls.set(index, isOther || argumentsDelta !== "" ? undefined : call)
    if (!isOther && argumentsDelta !== "" && call.id !== "" && call.name !== "") begin(call, index, argumentsDelta)
  }
}
