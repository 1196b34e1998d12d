/**
 * A client of Anthropic's API, from its documentation: how it writes requests, and a reader that refuses any other order of events.
 *
 * https://platform.claude.com/docs/en/build-with-claude/streaming
 */
import * as Schema from "effect/Schema"
import type { ChatRequest, Message } from "../../src/CompletionRequest.ts"
import * as RequestBody from "../../src/protocol/requestBody.ts"
import { StreamError } from "../../src/ProviderError.ts"
import type { FinishReason, ToolCall } from "../../src/StreamingChunk.ts"
import type { JsonObject } from "../../src/values/json.ts"
import type { ReadEvent } from "./events.ts"
import { expectThat, makeProtocol } from "./events.ts"

const Usage = Schema.Struct({
  input_tokens: Schema.Int,
  cache_creation_input_tokens: Schema.Literal(0),
  cache_read_input_tokens: Schema.Int,
  output_tokens: Schema.Int
})

const StopReason = Schema.Literals(["end_turn", "max_tokens", "tool_use", "refusal"])

const Input = Schema.Record(Schema.String, Schema.Unknown)

const Block = Schema.Union([
  Schema.Struct({ type: Schema.Literal("thinking"), thinking: Schema.String, signature: Schema.String }),
  Schema.Struct({ type: Schema.Literal("text"), text: Schema.String }),
  Schema.Struct({ type: Schema.Literal("tool_use"), id: Schema.String, name: Schema.String, input: Input })
])

const message = {
  id: Schema.String.check(Schema.isPattern(/^msg_\w+$/)),
  type: Schema.Literal("message"),
  role: Schema.Literal("assistant"),
  model: Schema.String,
  stop_sequence: Schema.Null,
  usage: Usage
}

/** A whole message. */
export const WholeMessage = Schema.Struct({ ...message, content: Schema.Array(Block), stop_reason: StopReason })

const Delta = Schema.Union([
  Schema.Struct({ type: Schema.Literal("text_delta"), text: Schema.String }),
  Schema.Struct({ type: Schema.Literal("thinking_delta"), thinking: Schema.String }),
  Schema.Struct({ type: Schema.Literal("signature_delta"), signature: Schema.NonEmptyString }),
  Schema.Struct({ type: Schema.Literal("input_json_delta"), partial_json: Schema.String })
])

const Event = Schema.Union([
  Schema.Struct({ type: Schema.Literal("ping") }),
  Schema.Struct({
    type: Schema.Literal("message_start"),
    message: Schema.Struct({ ...message, content: Schema.Tuple([]), stop_reason: Schema.Null })
  }),
  Schema.Struct({ type: Schema.Literal("content_block_start"), index: Schema.Int, content_block: Block }),
  Schema.Struct({ type: Schema.Literal("content_block_delta"), index: Schema.Int, delta: Delta }),
  Schema.Struct({ type: Schema.Literal("content_block_stop"), index: Schema.Int }),
  Schema.Struct({
    type: Schema.Literal("message_delta"),
    delta: Schema.Struct({ stop_reason: StopReason, stop_sequence: Schema.Null }),
    usage: Usage
  }),
  Schema.Struct({ type: Schema.Literal("message_stop") }),
  Schema.Struct({
    type: Schema.Literal("error"),
    error: Schema.Struct({ type: Schema.String, message: Schema.String })
  })
])
type Event = typeof Event.Type

const deltaOf = { text: "text_delta", thinking: "thinking_delta", tool_use: "input_json_delta" } as const

const finishReasons: Readonly<Record<string, FinishReason>> = {
  end_turn: "stop",
  max_tokens: "length",
  tool_use: "tool-calls",
  refusal: "content-filter"
}

/** What a reason and counts mean. */
export const readEnding = (stopReason: typeof StopReason.Type, usage: typeof Usage.Type) => {
  const promptTokens = usage.input_tokens + usage.cache_read_input_tokens
  return {
    finishReason: finishReasons[stopReason] ?? ("other" as const),
    usage: {
      promptTokens,
      completionTokens: usage.output_tokens,
      totalTokens: promptTokens + usage.output_tokens,
      cachedTokens: usage.cache_read_input_tokens
    }
  }
}

const makeReader = (): ReadEvent<Event> => {
  let model: string | undefined
  let count = 0
  let open: { readonly block: typeof Block.Type; json: string; isSigned: boolean } | undefined
  let ending: ReturnType<typeof readEnding> | undefined
  /** A call whose arguments are not complete can only be the last block of a message that was cut. */
  let isCut = false

  const readDelta = (delta: typeof Delta.Type): Partial<Record<"content" | "thinking", string>> => {
    expectThat(open !== undefined, "a delta of no block")
    expectThat(!open.isSigned, "a delta after the signature")
    if (delta.type === "signature_delta") {
      expectThat(open.block.type === "thinking", "a signature of something else")
      open.isSigned = true
      return {}
    }
    expectThat(delta.type === deltaOf[open.block.type], `a ${delta.type} in a ${open.block.type} block`)
    if (delta.type === "text_delta") return { content: delta.text }
    if (delta.type === "thinking_delta") return { thinking: delta.thinking }
    open.json += delta.partial_json
    return {}
  }
  const close = (): ReadonlyArray<ToolCall> => {
    expectThat(open !== undefined, "the end of no block")
    const { block, isSigned, json } = open
    open = undefined
    expectThat(isSigned === (block.type === "thinking"), "thinking without a signature")
    if (block.type !== "tool_use") return []
    try {
      return [{ id: block.id, name: block.name, arguments: JSON.parse(json) }]
    } catch {
      isCut = true
      return []
    }
  }
  return (event, chunks) => {
    if (event.type === "ping") return "open"
    if (event.type === "error") return new StreamError({ description: `${event.error.type}: ${event.error.message}` })
    expectThat(
      (model === undefined) === (event.type === "message_start"),
      `${event.type} ${model === undefined ? "before" : "after"} the beginning`
    )
    expectThat(
      ending === undefined || event.type === "message_stop",
      `${event.type} after the last delta of the message`
    )
    switch (event.type) {
      case "message_start":
        model = event.message.model
        return "open"
      case "content_block_start":
        expectThat(open === undefined, "two blocks at once")
        expectThat(!isCut, "a block after one that was cut")
        expectThat(event.index === count++, `the index ${event.index}`)
        open = { block: event.content_block, json: "", isSigned: false }
        return "open"
      case "content_block_delta":
        expectThat(event.index === count - 1, `the index ${event.index}`)
        chunks.push({ content: "", isFinal: false, ...readDelta(event.delta) })
        return "open"
      case "content_block_stop": {
        expectThat(event.index === count - 1, `the index ${event.index}`)
        const toolCalls = close()
        if (toolCalls.length > 0) chunks.push({ content: "", isFinal: false, toolCalls })
        return "open"
      }
      case "message_delta":
        expectThat(open === undefined, "the end of the message in a block")
        ending = readEnding(event.delta.stop_reason, event.usage)
        expectThat(!isCut || ending.finishReason === "length", "a call that is not JSON")
        return "open"
      case "message_stop":
        expectThat(ending !== undefined, "message_stop without message_delta")
        chunks.push({ content: "", isFinal: true, model: model ?? "", ...ending })
        return "complete"
    }
  }
}

/** The events of a message. */
export const events = makeProtocol(Event, makeReader)

/** The body of a request, as a client writes it. `merges`: results of tools and the text after them are one message. */
export const encode = (request: ChatRequest, merges: boolean): JsonObject => {
  const messages = RequestBody.completeMessages(request.messages)
  const wire: Array<{ role: string; content: Array<JsonObject> }> = []
  for (const message of messages) {
    if (message.role === "system") continue
    const role = message.role === "assistant" ? "assistant" : "user"
    const last = wire.at(-1)
    const follows =
      last?.role === role && (merges || message.role === "tool") && last.content[0]?.["type"] === "tool_result"
    if (follows) last.content.push(...toBlocks(message))
    else wire.push({ role, content: [...toBlocks(message)] })
  }
  const { format, maxTokens, model, stop, temperature, think, toolChoice, tools, topK, topP } = request
  return {
    model,
    max_tokens: maxTokens,
    system: messages.find(({ role }) => role === "system")?.content,
    messages: wire.map(({ content, role }) => ({ role, content })),
    temperature,
    top_p: topP,
    top_k: topK,
    stop_sequences: stop,
    stream: true,
    thinking: think === undefined ? undefined : { type: think === false ? "disabled" : "enabled", budget_tokens: 1024 },
    tools: tools?.map(({ description, name, parameters = {} }) => ({ name, description, input_schema: parameters })),
    tool_choice: toolChoice,
    output_config: typeof format === "object" ? { format: { type: "json_schema", schema: format } } : undefined
  }
}

const toBlocks = (message: Message): ReadonlyArray<JsonObject> => {
  const { content, images = [], role, thinking = "", toolCallId, toolCalls = [] } = message
  const text = { type: "text", text: content }
  if (role === "tool") return [{ type: "tool_result", tool_use_id: toolCallId, content }]
  return [
    ...(thinking === "" ? [] : [{ type: "thinking", thinking, signature: "unsigned" }]),
    ...(content === "" && (toolCalls.length > 0 || images.length > 0) ? [] : [text]),
    ...images.map((image) => ({
      type: "image",
      source: { type: "base64", media_type: "image/png", data: RequestBody.toBase64(image) }
    })),
    ...toolCalls.map(({ arguments: input, id, name }) => ({ type: "tool_use", id, name, input }))
  ]
}
