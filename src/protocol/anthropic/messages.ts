/**
 * The routes of Anthropic's API for messages: completions, written as records of a stream or as a whole message, and the number of tokens
 * of a prompt.
 *
 * Facts: https://platform.claude.com/docs/en/build-with-claude/streaming
 */
import * as Result from "effect/Result"
import type { Completion } from "../../Completion.ts"
import type { ChatRequest } from "../../CompletionRequest.ts"
import type { FinalChunk, FinishReason, ToolCall } from "../../StreamingChunk.ts"
import type { TokenCount } from "../../TokenCount.ts"
import type { JsonObject } from "../../values/json.ts"
import type { Block, Format } from "../blocks.ts"
import * as Blocks from "../blocks.ts"
import type { CompletionRoute, Decode, WriterContext } from "../served.ts"
import * as Errors from "./errors.ts"
import * as Request from "./request.ts"

/** `POST /v1/messages`. */
export const messages: CompletionRoute = {
  path: "/v1/messages",
  // Clients ignore a ping wherever it is.
  framing: { contentType: "text/event-stream", keepAlive: 'event: ping\ndata: {"type":"ping"}\n\n' },
  decode: (body) =>
    Result.map(Request.decode(body), (received) => ({
      ...received,
      isThinkOptional: true,
      makeWriter: (context) => Blocks.makeWriter(makeFormat(context)),
      encode
    }))
}

/** `POST /v1/messages/count_tokens`: the request whose tokens are to be counted. */
export const decodeCount: Decode<ChatRequest> = (body) => Result.map(Request.decode(body), ({ request }) => request)

export const encodeCount = ({ tokens }: TokenCount): JsonObject => ({ input_tokens: tokens })

/** Clients send thinking back only if it has a signature. Nobody checks it here. */
const signature = "unsigned"

/** A stop text is reported as the end of a turn, since servers do not report which of them it was. */
const stopReasons: Readonly<Record<FinishReason, string>> = {
  stop: "end_turn",
  length: "max_tokens",
  "tool-calls": "tool_use",
  "content-filter": "refusal",
  other: "end_turn"
}

/** Clients require numbers, so what the server did not report is 0. */
const encodeUsage = ({ usage = {} }: Pick<FinalChunk, "usage">): JsonObject => {
  const { cachedTokens = 0, completionTokens = 0, promptTokens = 0 } = usage
  return {
    input_tokens: Math.max(0, promptTokens - cachedTokens),
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cachedTokens,
    output_tokens: completionTokens
  }
}

const encodeMessage = (
  content: ReadonlyArray<JsonObject>,
  { id, model }: WriterContext,
  stopReason: string | null,
  usage: JsonObject
): JsonObject => ({
  id: `msg_${id}`,
  type: "message",
  role: "assistant",
  model,
  content,
  stop_reason: stopReason,
  stop_sequence: null,
  usage
})

/** The whole message. */
const encode = (completion: Completion, context: WriterContext): JsonObject => {
  const { content, finishReason, thinking = "", toolCalls } = completion
  const blocks: Array<JsonObject> = []
  if (thinking !== "") blocks.push({ type: "thinking", thinking, signature })
  if (content !== "") blocks.push({ type: "text", text: content })
  return encodeMessage(
    [...blocks, ...toolCalls.map(encodeCall)],
    context,
    stopReasons[finishReason],
    encodeUsage(completion)
  )
}

const encodeCall = ({ arguments: input = {}, id, name }: ToolCall): JsonObject => ({
  type: "tool_use",
  id,
  name,
  input
})

const event = (type: string, fields: JsonObject): string =>
  `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`

const startOf = (block: Block): JsonObject => {
  switch (block.kind) {
    case "thinking":
      return { type: "thinking", thinking: "", signature: "" }
    case "text":
      return { type: "text", text: "" }
    case "call":
      return { type: "tool_use", id: block.id, name: block.name, input: {} }
  }
}

/** The beginning of a delta, up to its text. */
const deltas: { readonly [K in Block["kind"]]: string } = {
  thinking: '"delta":{"type":"thinking_delta","thinking":',
  text: '"delta":{"type":"text_delta","text":',
  call: '"delta":{"type":"input_json_delta","partial_json":'
}

/** The records of one message. */
const makeFormat = (context: WriterContext): Format => {
  let index = -1
  let kind: Block["kind"] = "text"
  let head = ""
  return {
    begin: () => event("message_start", { message: encodeMessage([], context, null, encodeUsage({})) }),
    open: (block) => {
      index++
      kind = block.kind
      head = `event: content_block_delta\ndata: {"type":"content_block_delta","index":${index},${deltas[kind]}`
      return event("content_block_start", { index, content_block: startOf(block) })
    },
    delta: (text) => `${head}${JSON.stringify(text)}}}\n\n`,
    close: () => {
      const signed =
        kind === "thinking"
          ? event("content_block_delta", { index, delta: { type: "signature_delta", signature } })
          : ""
      return signed + event("content_block_stop", { index })
    },
    end: (final) =>
      event("message_delta", {
        delta: { stop_reason: stopReasons[final.finishReason], stop_sequence: null },
        usage: encodeUsage(final)
      }) + event("message_stop", {}),
    failure: (reason) => `event: error\ndata: ${JSON.stringify(Errors.fail(reason).body)}\n\n`
  }
}
