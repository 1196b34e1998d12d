/**
 * A client of OpenAI's responses, from their documentation: how it writes requests, and a reader that refuses any other order of events.
 *
 * https://developers.openai.com/api/reference/resources/responses/streaming-events
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ChatRequest, Message } from "../../src/CompletionRequest.ts"
import * as RequestBody from "../../src/protocol/requestBody.ts"
import { StreamError } from "../../src/ProviderError.ts"
import type { ContentChunk, StreamingChunk, ToolCall } from "../../src/StreamingChunk.ts"
import type { JsonObject } from "../../src/values/json.ts"
import type { ReadEvent } from "./events.ts"
import { expectThat, makeProtocol } from "./events.ts"

const Status = Schema.Literals(["in_progress", "completed", "incomplete"])

const TextPart = Schema.Struct({
  type: Schema.Literal("output_text"),
  annotations: Schema.Tuple([]),
  logprobs: Schema.Tuple([]),
  text: Schema.String
})
const SummaryPart = Schema.Struct({ type: Schema.Literal("summary_text"), text: Schema.String })

const Item = Schema.Union([
  Schema.Struct({
    type: Schema.Literal("reasoning"),
    id: Schema.String.check(Schema.isPattern(/^rs_\w+$/)),
    status: Status,
    summary: Schema.Array(SummaryPart),
    encrypted_content: Schema.String
  }),
  Schema.Struct({
    type: Schema.Literal("message"),
    id: Schema.String.check(Schema.isPattern(/^msg_\w+$/)),
    status: Status,
    role: Schema.Literal("assistant"),
    content: Schema.Array(TextPart)
  }),
  Schema.Struct({
    type: Schema.Literal("function_call"),
    id: Schema.String.check(Schema.isPattern(/^fc_\w+$/)),
    status: Status,
    call_id: Schema.String,
    name: Schema.String,
    namespace: Schema.optionalKey(Schema.String),
    arguments: Schema.String
  })
])
type Item = typeof Item.Type

const Usage = Schema.Struct({
  input_tokens: Schema.Int,
  input_tokens_details: Schema.Struct({ cached_tokens: Schema.Int, cache_write_tokens: Schema.Literal(0) }),
  output_tokens: Schema.Int,
  output_tokens_details: Schema.Struct({ reasoning_tokens: Schema.Int }),
  total_tokens: Schema.Int
})

/** A response, whole or so far. */
export const Response = Schema.Struct({
  id: Schema.String.check(Schema.isPattern(/^resp_\w+$/)),
  object: Schema.Literal("response"),
  created_at: Schema.Int,
  status: Schema.Literals(["in_progress", "completed", "incomplete", "failed"]),
  error: Schema.NullOr(Schema.Struct({ code: Schema.String, message: Schema.String })),
  incomplete_details: Schema.NullOr(
    Schema.Struct({ reason: Schema.Literals(["max_output_tokens", "content_filter"]) })
  ),
  model: Schema.String,
  output: Schema.Array(Item),
  usage: Schema.NullOr(Usage),
  instructions: Schema.Null,
  max_output_tokens: Schema.NullOr(Schema.Int),
  metadata: Schema.Record(Schema.String, Schema.Unknown),
  parallel_tool_calls: Schema.Boolean,
  previous_response_id: Schema.Null,
  prompt_cache_key: Schema.NullOr(Schema.String),
  reasoning: Schema.Struct({ effort: Schema.NullOr(Schema.String), summary: Schema.Null }),
  store: Schema.Literal(false),
  temperature: Schema.NullOr(Schema.Finite),
  text: Schema.Struct({ format: Schema.Struct({ type: Schema.String }) }),
  tool_choice: Schema.Unknown,
  tools: Schema.Tuple([]),
  top_p: Schema.NullOr(Schema.Finite),
  truncation: Schema.Literals(["auto", "disabled"])
})
type Response = typeof Response.Type

const event = <const T extends string, F extends Schema.Struct.Fields>(type: T, fields: F) =>
  Schema.Struct({ type: Schema.Literal(type), sequence_number: Schema.Int, ...fields })

const place = { item_id: Schema.String, output_index: Schema.Int }
const content = { ...place, content_index: Schema.Literal(0) }
const summary = { ...place, summary_index: Schema.Literal(0) }
const logprobs = { logprobs: Schema.Tuple([]) }
const response = { response: Response }

const Event = Schema.Union([
  Schema.Struct({
    type: Schema.Literal("error"),
    sequence_number: Schema.Int,
    error: Schema.Struct({
      type: Schema.String,
      message: Schema.String,
      param: Schema.NullOr(Schema.String),
      code: Schema.NullOr(Schema.String)
    })
  }),
  event("response.created", response),
  event("response.in_progress", response),
  event("response.completed", response),
  event("response.incomplete", response),
  event("response.failed", response),
  event("response.output_item.added", { output_index: Schema.Int, item: Item }),
  event("response.output_item.done", { output_index: Schema.Int, item: Item }),
  event("response.content_part.added", { ...content, part: TextPart }),
  event("response.output_text.delta", { ...content, ...logprobs, delta: Schema.String }),
  event("response.output_text.done", { ...content, ...logprobs, text: Schema.String }),
  event("response.content_part.done", { ...content, part: TextPart }),
  event("response.reasoning_summary_part.added", { ...summary, part: SummaryPart }),
  event("response.reasoning_summary_text.delta", { ...summary, delta: Schema.String }),
  event("response.reasoning_summary_text.done", { ...summary, text: Schema.String }),
  event("response.reasoning_summary_part.done", { ...summary, part: SummaryPart }),
  event("response.function_call_arguments.delta", { ...place, delta: Schema.String }),
  event("response.function_call_arguments.done", { ...place, name: Schema.String, arguments: Schema.String })
])
type Event = typeof Event.Type

/** What may follow each event of an item. The last is followed by the next item, or the end. */
const orders: Readonly<Record<Item["type"], Readonly<Record<string, ReadonlyArray<string>>>>> = {
  message: {
    "output_item.added": ["content_part.added"],
    "content_part.added": ["output_text.delta", "output_text.done"],
    "output_text.delta": ["output_text.delta", "output_text.done"],
    "output_text.done": ["content_part.done"],
    "content_part.done": ["output_item.done"]
  },
  reasoning: {
    "output_item.added": ["reasoning_summary_part.added"],
    "reasoning_summary_part.added": ["reasoning_summary_text.delta", "reasoning_summary_text.done"],
    "reasoning_summary_text.delta": ["reasoning_summary_text.delta", "reasoning_summary_text.done"],
    "reasoning_summary_text.done": ["reasoning_summary_part.done"],
    "reasoning_summary_part.done": ["output_item.done"]
  },
  function_call: {
    "output_item.added": ["function_call_arguments.delta", "function_call_arguments.done"],
    "function_call_arguments.delta": ["function_call_arguments.delta", "function_call_arguments.done"],
    "function_call_arguments.done": ["output_item.done"]
  }
}

/** The text of an item, however its kind names it. */
const textOf = (item: Item): string => {
  switch (item.type) {
    case "message":
      return item.content.map(({ text }) => text).join("")
    case "reasoning":
      return item.summary.map(({ text }) => text).join("")
    case "function_call":
      return item.arguments
  }
}

const toCall = (item: Item): ReadonlyArray<ToolCall> => {
  if (item.type !== "function_call") return []
  const value = Result.try((): unknown => JSON.parse(item.arguments))
  if (Result.isFailure(value)) expectThat(item.status === "incomplete", "a call that is not JSON")
  return Result.isFailure(value) ? [] : [{ id: item.call_id, name: item.name, arguments: value.success }]
}

/** What the end of a response means. */
export const readEnding = ({ incomplete_details, output, status, usage }: Response) => {
  expectThat((status === "incomplete") === (incomplete_details !== null), "incomplete without a reason")
  const isCut = incomplete_details?.reason === "max_output_tokens"
  const hasCalls = output.some(({ type }) => type === "function_call")
  const reason = hasCalls ? ("tool-calls" as const) : ("stop" as const)
  return {
    finishReason: isCut ? ("length" as const) : incomplete_details === null ? reason : ("content-filter" as const),
    ...(usage === null
      ? {}
      : {
          usage: {
            promptTokens: usage.input_tokens,
            completionTokens: usage.output_tokens,
            totalTokens: usage.total_tokens,
            cachedTokens: usage.input_tokens_details.cached_tokens
          }
        })
  }
}

/** The chunk that a whole output stands for. */
export const readOutput = (output: ReadonlyArray<Item>) => ({
  content: output
    .filter(({ type }) => type === "message")
    .map(textOf)
    .join(""),
  thinking: output
    .filter(({ type }) => type === "reasoning")
    .map(textOf)
    .join(""),
  toolCalls: output.flatMap(toCall)
})

interface Open {
  readonly item: Item
  last: string
  text: string
}

/** What an event adds to the completion. */
type Parts = Partial<Pick<ContentChunk, "content" | "thinking" | "toolCalls">>

const makeReader = (): ReadEvent<Event> => {
  let sequence = 0
  let phase: "start" | "created" | "open" = "start"
  let open: Open | undefined
  let error: string | undefined
  const done: Array<Item> = []

  const readInItem = (event: Event, name: string): Parts => {
    expectThat(open !== undefined, `${name} without an item`)
    expectThat((orders[open.item.type][open.last] ?? []).includes(name), `${name} after ${open.last}`)
    open.last = name
    if ("item_id" in event) expectThat(event.item_id === open.item.id, `${name} of another item`)
    if ("output_index" in event) expectThat(event.output_index === done.length, `${name}: the index`)
    if ("text" in event) expectThat(event.text === open.text, `${name}: another text`)
    if ("part" in event)
      expectThat(event.part.text === (name.endsWith("done") ? open.text : ""), `${name}: another text`)
    if ("arguments" in event) expectThat(event.arguments === open.text, `${name}: other arguments`)
    if ("item" in event) return readDone(open, event.item)
    if (!("delta" in event)) return {}
    open.text += event.delta
    if (open.item.type === "message") return { content: event.delta }
    return open.item.type === "reasoning" ? { thinking: event.delta } : {}
  }
  const readDone = ({ item, text }: Open, whole: Item): Parts => {
    expectThat(whole.id === item.id && textOf(whole) === text && whole.status !== "in_progress", "another item is done")
    done.push(whole)
    open = undefined
    const toolCalls = toCall(whole)
    return toolCalls.length === 0 ? {} : { toolCalls }
  }
  const readAdded = (item: Item): void => {
    expectThat(open === undefined, "two items at once")
    expectThat(item.status === "in_progress" && textOf(item) === "", "a new item with a text")
    open = { item, last: "output_item.added", text: "" }
  }
  const readEnd = (name: string, response: Response, chunks: Array<StreamingChunk>) => {
    expectThat(response.status === name, `${name}: the status`)
    expectThat(response.error?.message === error, "another error")
    if (response.error !== null)
      return new StreamError({ description: `${response.error.code}: ${response.error.message}` })
    expectThat(open === undefined, `${name} in an item`)
    expectThat(JSON.stringify(response.output) === JSON.stringify(done), "another output")
    chunks.push({ content: "", isFinal: true, model: response.model, ...readEnding(response) })
    return "complete" as const
  }
  return (event, chunks) => {
    expectThat(event.sequence_number === sequence++, `the number ${event.sequence_number}`)
    const name = event.type.slice("response.".length)
    if (event.type === "response.created" || event.type === "response.in_progress") {
      expectThat(phase === (event.type === "response.created" ? "start" : "created"), `${name} at the wrong time`)
      expectThat(event.response.status === "in_progress" && event.response.usage === null, `${name}: not in progress`)
      phase = phase === "start" ? "created" : "open"
      return "open"
    }
    expectThat(phase === "open", `${name} before the beginning`)
    expectThat(error === undefined || name === "failed", `${name} after an error`)
    if (event.type === "error") {
      error = event.error.message
      return "open"
    }
    if ("response" in event) return readEnd(name, event.response, chunks)
    if (event.type === "response.output_item.added") {
      expectThat(event.output_index === done.length, `${name}: the index`)
      readAdded(event.item)
      return "open"
    }
    chunks.push({ content: "", isFinal: false, ...readInItem(event, name) })
    return "open"
  }
}

/** The events of a response. */
export const events = makeProtocol(Event, makeReader)

/** The body of a request, as a client writes it. */
export const encode = (request: ChatRequest): JsonObject => {
  const { format, maxTokens, messages, model, overflow, temperature, think, toolChoice, tools, topP } = request
  const complete = RequestBody.completeMessages(messages)
  return {
    model,
    instructions: complete.find(({ role }) => role === "system")?.content,
    input: complete.filter(({ role }) => role !== "system").flatMap(toItems),
    stream: true,
    store: false,
    max_output_tokens: maxTokens,
    temperature,
    top_p: topP,
    tools: tools?.map(({ description, name, parameters = {} }) => ({
      type: "function",
      name,
      description,
      parameters,
      strict: null
    })),
    tool_choice: toolChoice,
    reasoning: think === undefined ? undefined : { effort: think === true ? null : think === false ? "none" : think },
    text:
      format === undefined
        ? undefined
        : { format: format === "json" ? { type: "json_object" } : { type: "json_schema", name: "x", schema: format } },
    truncation: overflow === "truncate" ? "auto" : "disabled"
  }
}

const toItems = (message: Message): ReadonlyArray<JsonObject> => {
  const { content, images = [], role, thinking = "", toolCallId, toolCalls = [] } = message
  if (role === "tool") return [{ type: "function_call_output", call_id: toolCallId, output: content }]
  const type = role === "assistant" ? "output_text" : "input_text"
  return [
    ...(thinking === "" ? [] : [{ type: "reasoning", summary: [{ type: "summary_text", text: thinking }] }]),
    ...(content === "" && toolCalls.length > 0
      ? []
      : [
          {
            type: "message",
            role,
            content: [
              ...(content === "" && images.length > 0 ? [] : [{ type, text: content }]),
              ...images.map((image) => ({
                type: "input_image",
                detail: "auto",
                image_url: `data:image/png;base64,${RequestBody.toBase64(image)}`
              }))
            ]
          }
        ]),
    ...toolCalls.map(({ arguments: value, id, name }) => ({
      type: "function_call",
      call_id: id,
      name,
      arguments: JSON.stringify(value)
    }))
  ]
}
