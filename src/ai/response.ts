/** Completions as parts of `effect/ai`. */
import type * as AiError from "effect/ai/AiError"
import type * as Response from "effect/ai/Response"
import * as Arr from "effect/Array"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Completion from "../Completion.ts"
import type { FinalChunk, StreamingChunk, ToolCall, ToolCallDelta } from "../StreamingChunk.ts"
import * as Json from "../values/json.ts"
import * as Errors from "./errors.ts"

/** Ids that are unique in a conversation. */
export interface Ids {
  /** The next id of this completion. */
  readonly next: () => string
  /** The id of a call: the server's, unless an earlier call has it. */
  readonly ofCall: (id: string) => string
}

/** Servers that send no ids, and some that do, give the first call of every completion the same one. */
export const makeIds = (prefix: string, taken: ReadonlyArray<string>): Ids => {
  const used = new Set(taken)
  let count = 0
  const next = (): string => {
    // A generator may give every completion the same prefix.
    while (used.has(`${prefix}_${count}`)) count++
    return `${prefix}_${count++}`
  }
  return {
    next,
    ofCall: (id) => {
      const own = used.has(id) ? next() : id
      used.add(own)
      return own
    }
  }
}

/** The JSON of a completion: its text and its value. It must be complete and safe to use. */
export const readJson = (
  completion: Completion.Completion,
  method: string
): Effect.Effect<{ readonly text: string; readonly value: unknown }, AiError.AiError> => {
  const text = Completion.jsonText(completion)
  const value = Json.parse(text)
  const fault =
    completion.finishReason === "length"
      ? "truncated: maxTokens or the context of the model was used up"
      : Json.findFault(value)
  return fault === undefined
    ? Effect.succeed({ text, value })
    : Effect.fail(Errors.invalidObject(method, text, `the answer is ${fault}`))
}

/** The parts of a whole completion, in the order of a stream. */
export const toParts = (
  completion: Completion.Completion,
  { content, thinking }: { readonly content: string; readonly thinking: string },
  ids: Ids
): Array<Response.PartEncoded> => {
  const parts: Array<Response.PartEncoded> = []
  if (thinking !== "") parts.push({ type: "reasoning", text: thinking })
  if (content !== "") parts.push({ type: "text", text: content })
  for (const call of completion.toolCalls) parts.push(toCallPart(ids.ofCall(call.id), call))
  parts.push(toMetadataPart(completion), toFinishPart(completion))
  return parts
}

type StreamParts = Array<Response.StreamPartEncoded>

/**
 * Reads the chunks of one completion. A part `tool-call` makes `effect/ai` run the tool, so these parts follow with the final chunk: a
 * completion that fails before it has none.
 */
export const makeReader = (ids: Ids): ((chunk: StreamingChunk, parts: StreamParts) => void) => {
  let open: { readonly kind: "text" | "reasoning"; readonly id: string } | undefined
  const calls = makeCalls(ids)

  const close = (parts: StreamParts): void => {
    if (open !== undefined) parts.push({ type: `${open.kind}-end`, id: open.id })
    open = undefined
  }

  const write = (kind: "text" | "reasoning", delta: string, parts: StreamParts): void => {
    if (open?.kind !== kind) {
      close(parts)
      open = { kind, id: ids.next() }
      parts.push({ type: `${kind}-start`, id: open.id })
    }
    parts.push({ type: `${kind}-delta`, id: open.id, delta })
  }

  return (chunk, parts) => {
    if (chunk.thinking !== undefined && chunk.thinking !== "") write("reasoning", chunk.thinking, parts)
    if (chunk.content !== "") write("text", chunk.content, parts)
    if (chunk.toolCallDeltas !== undefined || chunk.toolCalls !== undefined) {
      close(parts)
      for (const delta of chunk.toolCallDeltas ?? []) calls.add(delta, parts)
      if (chunk.toolCalls !== undefined) calls.complete(chunk.toolCalls, parts)
    }
    if (chunk.isFinal) {
      close(parts)
      calls.end(parts)
      // In one array with the part `finish`: `effect/ai` runs no tool of a completion that was cut if it knows the end by then.
      parts.push(toMetadataPart(chunk), toFinishPart(chunk))
    }
  }
}

/** A call of which fragments have arrived. */
interface OpenCall {
  /** The server's id, if it sent one. */
  serverId: string | undefined
  name: string
  /** Arguments that arrived before the part that starts the call. */
  held: string
  /** The id of its parts, from the start on. */
  id: string | undefined
}

const makeCalls = (ids: Ids) => {
  const open = new Map<number, OpenCall>()
  const complete: StreamParts = []

  const start = (call: OpenCall, parts: StreamParts): string => {
    const id = call.serverId === undefined ? ids.next() : ids.ofCall(call.serverId)
    call.id = id
    parts.push({ type: "tool-params-start", id, name: call.name })
    return id
  }

  return {
    /** A start names the tool, so it waits for the arguments, which follow the whole name. */
    add: ({ argumentsDelta, id, index, name }: ToolCallDelta, parts: StreamParts): void => {
      let call = open.get(index)
      if (call === undefined) {
        call = { serverId: undefined, name: "", held: "", id: undefined }
        open.set(index, call)
      }
      call.serverId ??= id
      if (name !== undefined) call.name = name.startsWith(call.name) ? name : call.name + name
      call.held += argumentsDelta
      if (call.held === "" || call.name === "") return
      const partId = call.id ?? start(call, parts)
      parts.push({ type: "tool-params-delta", id: partId, delta: call.held })
      call.held = ""
    },
    complete: (toolCalls: ReadonlyArray<ToolCall>, parts: StreamParts): void => {
      const candidates = Arr.groupBy([...open].toReversed(), ([, { name, serverId }]) =>
        serverId === undefined ? nameKey(name) : idKey(serverId)
      )
      for (const toolCall of toolCalls) {
        // The one with its id, or the first one of its name that has none.
        const own = candidates[idKey(toolCall.id)]?.pop() ?? candidates[nameKey(toolCall.name)]?.pop()
        if (own !== undefined) open.delete(own[0])
        const id = own?.[1].id
        if (id !== undefined) parts.push({ type: "tool-params-end", id })
        complete.push(toCallPart(id ?? ids.ofCall(toolCall.id), toolCall))
      }
    },
    /** The parts `tool-call`. Calls that were cut have none. */
    end: (parts: StreamParts): void => {
      for (const { id } of open.values()) if (id !== undefined) parts.push({ type: "tool-params-end", id })
      open.clear()
      for (const part of complete) parts.push(part)
    }
  }
}

const idKey = (id: string): string => `id ${id}`
const nameKey = (name: string): string => `name ${name}`

const toCallPart = (id: string, call: ToolCall): Response.ToolCallPartEncoded => ({
  type: "tool-call",
  id,
  name: call.name,
  params: call.arguments
})

type Final = Pick<FinalChunk, "finishReason" | "model" | "promptTruncated" | "provider" | "timings" | "usage"> & {
  readonly responseId?: string | undefined
}

const toMetadataPart = ({ model, responseId }: Final): Response.ResponseMetadataPartEncoded => ({
  type: "response-metadata",
  id: responseId,
  modelId: model
})

const toFinishPart = (final: Final): Response.FinishPartEncoded => {
  const metadata = toMetadata(final)
  return {
    type: "finish",
    reason: final.finishReason,
    usage: toUsage(final.usage),
    ...(Object.keys(metadata).length === 0 ? {} : { metadata: { [Errors.key]: metadata } })
  }
}

const toUsage = (usage: FinalChunk["usage"] = {}): Response.FinishPartEncoded["usage"] => {
  const input = toCount(usage.promptTokens)
  const cached = toCount(usage.cachedTokens)
  const output = toCount(usage.completionTokens)
  const reasoning = toCount(usage.reasoningTokens)
  return {
    inputTokens: { total: input, cacheRead: cached, uncached: subtract(input, cached) },
    outputTokens: { total: output, reasoning, text: subtract(output, reasoning) }
  }
}

/** `effect/ai` accepts integers only. */
const toCount = (count: number | undefined): number | undefined => (Number.isSafeInteger(count) ? count : undefined)

const subtract = (total: number | undefined, part: number | undefined): number | undefined =>
  total === undefined || part === undefined || part > total ? undefined : total - part

const toMetadata = ({ promptTruncated, provider, timings = {} }: Final) => {
  const metadata: { [key: string]: Schema.Json } = {}
  for (const [name, duration] of Object.entries(timings)) {
    if (duration !== undefined) metadata[`${name}Millis`] = Duration.toMillis(duration)
  }
  if (promptTruncated !== undefined) metadata["promptTruncated"] = promptTruncated
  if (provider !== undefined) metadata["provider"] = provider
  return metadata
}
