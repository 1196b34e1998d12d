/**
 * The parts of a completion one after the other: thinking, text and tool calls. Anthropic's messages and OpenAI's responses are written
 * so, with records for the beginning, the text and the end of each part.
 */
import type { ProviderErrorReason } from "../ProviderError.ts"
import { StreamError } from "../ProviderError.ts"
import type { FinalChunk, StreamingChunk, ToolCall, ToolCallDelta } from "../StreamingChunk.ts"
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
  /** Ends the open block. `isCut`: the arguments of a call are not complete. */
  readonly close: (isCut: boolean) => string
  readonly end: (final: FinalChunk) => string
  readonly failure: (reason: ProviderErrorReason) => string
}

/** The arguments of a call as JSON. */
export const argumentsOf = ({ arguments: value }: ToolCall): string => Json.stringify(value) ?? "{}"

/** What waits for the end of the open call. */
type Held = { readonly kind: "thinking" | "text"; readonly text: string } | { readonly call: ToolCall }

export const makeWriter = (format: Format): CompletionWriter => {
  const state = makeState(format)
  const calls = makeCalls(state)

  const write = (chunk: StreamingChunk): void => {
    if (chunk.thinking !== undefined && chunk.thinking !== "") calls.text("thinking", chunk.thinking)
    if (chunk.content !== "") calls.text("text", chunk.content)
    if (chunk.toolCallDeltas !== undefined) chunk.toolCallDeltas.forEach(calls.fragment)
    if (chunk.toolCalls !== undefined) chunk.toolCalls.forEach(calls.whole)
    if (!chunk.isFinal) return
    calls.release()
    state.end(chunk)
  }
  return {
    chunk: (chunk) => {
      write(chunk)
      return state.take()
    },
    failure: (reason) => {
      calls.release()
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
      close()
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

/**
 * The order of calls and texts. The arguments of a call are written as they arrive. What arrives before the end of the call waits, unless
 * the arguments are complete already. A call of which too little is known waits until it is whole.
 */
const makeCalls = (state: ReturnType<typeof makeState>) => {
  /** The call whose arguments are being written. */
  let open: OpenCall | undefined
  const held: Array<Held> = []
  /** By the index of their fragments: calls that have not begun to be written. */
  const announced = new Map<number, { readonly id: string; readonly name: string }>()
  /** Indexes whose further fragments are not written, and the ids of calls whose fragments were. */
  const closed = new Set<number>()
  const streamed = new Set<string>()

  /** Whether something else can be written now. */
  const isFree = (): boolean => {
    if (open === undefined) return true
    open.isComplete ??= Json.parse(Text.join(open.arguments)) !== undefined
    if (open.isComplete) closeCall()
    return open === undefined
  }
  const closeCall = (isCut = false): void => {
    if (open === undefined) return
    state.close(isCut)
    open = undefined
  }
  const text = (kind: "thinking" | "text", text: string): void => {
    if (!isFree()) {
      held.push({ kind, text })
      return
    }
    if (state.kind() !== kind) state.open({ kind })
    state.delta(text)
  }
  const writeHeld = (): void => {
    for (const each of held.splice(0)) {
      if ("call" in each) whole(each.call)
      else text(each.kind, each.text)
    }
  }
  const whole = (call: ToolCall): void => {
    if (open?.id === call.id) {
      if (open.name !== call.name) state.fail(new StreamError({ description: "the name of a tool call changed" }))
      streamed.delete(call.id)
      closeCall()
      writeHeld()
      return
    }
    if (streamed.delete(call.id)) return
    if (!isFree()) {
      held.push({ call })
      return
    }
    state.open({ kind: "call", id: call.id, name: call.name })
    state.delta(argumentsOf(call))
    state.close()
  }
  const fragment = ({ argumentsDelta, id, index, name }: ToolCallDelta): void => {
    if (open?.index === index) {
      if (argumentsDelta === "") return
      Text.append(open.arguments, argumentsDelta)
      state.delta(argumentsDelta)
      return
    }
    if (closed.has(index)) return
    const before = announced.get(index)
    const call = { id: before?.id || (id ?? ""), name: before?.name || (name ?? "") }
    announced.set(index, call)
    // Some servers send a name in parts.
    const isOther = name !== undefined && name !== call.name
    if (argumentsDelta === "" && !isOther) return
    announced.delete(index)
    closed.add(index)
    if (isOther || call.id === "" || call.name === "" || streamed.has(call.id) || !isFree()) return
    streamed.add(call.id)
    open = { ...call, index, arguments: Text.make() }
    Text.append(open.arguments, argumentsDelta)
    state.open({ kind: "call", ...call })
    state.delta(argumentsDelta)
  }
  return {
    text,
    whole,
    fragment,
    /** Nothing follows: a call that is still open is cut. */
    release: (): void => {
      closeCall(true)
      writeHeld()
    }
  }
}

interface OpenCall {
  readonly index: number
  readonly id: string
  readonly name: string
  readonly arguments: Text.Parts
  /** Whether the arguments were complete when something else arrived for the first time. */
  isComplete?: boolean
}
