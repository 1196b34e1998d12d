/**
 * The route of OpenAI's API for responses, and how it writes completions: events of a stream, or a whole response.
 *
 * Facts: https://developers.openai.com/api/reference/resources/responses/streaming-events
 */
import * as Result from "effect/Result"
import type { Completion } from "../../Completion.ts"
import type { ProviderErrorReason } from "../../ProviderError.ts"
import type { FinalChunk, Usage } from "../../StreamingChunk.ts"
import type { JsonObject } from "../../values/json.ts"
import * as Text from "../../values/text.ts"
import type { Block, Format } from "../blocks.ts"
import * as Blocks from "../blocks.ts"
import * as PublicMessage from "../publicMessage.ts"
import type { CompletionRoute, CompletionWriter, WriterContext } from "../served.ts"
import type { Echo } from "./responsesRequest.ts"
import * as Request from "./responsesRequest.ts"
import * as Failures from "./servedFailures.ts"
import type { Place } from "./responsesTools.ts"

/** `POST /v1/responses`. Nothing is stored, whatever `store` says. */
export const responses: CompletionRoute = {
  path: "/v1/responses",
  framing: { contentType: "text/event-stream", keepAlive: ": keep-alive\n\n" },
  decode: (body) =>
    Result.map(Request.decode(body), ({ echo, ...received }) => ({
      ...received,
      isThinkOptional: true,
      makeWriter: (context) => makeWriter(context, echo),
      encode: (completion, context) => encode(completion, context, echo)
    }))
}

type Status = "in_progress" | "completed" | "incomplete"

/** A part of the output under construction. */
interface Item {
  readonly block: Block
  readonly id: string
}

const textPart = (text: string): JsonObject => ({ type: "output_text", annotations: [], logprobs: [], text })
const summaryPart = (text: string): JsonObject => ({ type: "summary_text", text })

/** In what the events of an item differ: a text, and a summary of thinking, is a part of its item, the only one. */
interface Kind {
  /** Of the ids of items. */
  readonly prefix: string
  /** What the names of the events for the text begin with. */
  readonly name: string
  /** Fields of all events for the text and its part, and of those for the text alone. */
  readonly place: JsonObject
  readonly fields?: JsonObject
  /** Absent for a call, whose arguments are not a part. */
  readonly part?: { readonly name: string; readonly encode: (text: string) => JsonObject }
}

const kinds: { readonly [K in Block["kind"]]: Kind } = {
  thinking: {
    prefix: "rs",
    name: "response.reasoning_summary_text",
    place: { summary_index: 0 },
    part: { name: "response.reasoning_summary_part", encode: summaryPart }
  },
  text: {
    prefix: "msg",
    name: "response.output_text",
    place: { content_index: 0 },
    fields: { logprobs: [] },
    part: { name: "response.content_part", encode: textPart }
  },
  call: { prefix: "fc", name: "response.function_call_arguments", place: {} }
}

const makeItem = (block: Block, { id }: WriterContext, index: number): Item => ({
  block,
  id: `${kinds[block.kind].prefix}_${id}${index}`
})

/**
 * Thinking is a summary, because clients show that. It is sent back by those that find the field of encrypted content, which is empty here.
 */
const encodeItem = ({ block, id }: Item, status: Status, text: string, echo: Echo): JsonObject => {
  const isEmpty = status === "in_progress"
  switch (block.kind) {
    case "thinking":
      return { id, type: "reasoning", status, summary: isEmpty ? [] : [summaryPart(text)], encrypted_content: "" }
    case "text":
      return { id, type: "message", status, role: "assistant", content: isEmpty ? [] : [textPart(text)] }
    case "call":
      return { id, type: "function_call", status, call_id: block.id, ...placeOf(block, echo), arguments: text }
  }
}

/** The name of a function, and its group if it has one; `undefined` for a block that is not a call. */
const placeOf = (block: Block, { places }: Echo): Place | undefined =>
  block.kind === "call" ? (places.get(block.name) ?? { name: block.name }) : undefined

/** Clients require numbers, so what the server did not report is 0. */
const encodeUsage = (usage: Usage | undefined): JsonObject | null => {
  if (usage === undefined) return null
  const { cachedTokens = 0, completionTokens = 0, promptTokens = 0, reasoningTokens = 0 } = usage
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens, cache_write_tokens: 0 },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens },
    total_tokens: usage.totalTokens ?? promptTokens + completionTokens
  }
}

const incompleteReasons: { readonly [K in FinalChunk["finishReason"]]?: string } = {
  length: "max_output_tokens",
  "content-filter": "content_filter"
}

type Ending = Pick<FinalChunk, "finishReason" | "usage">

const statusOf = ({ finishReason }: Ending): "completed" | "incomplete" =>
  incompleteReasons[finishReason] === undefined ? "completed" : "incomplete"

const encodeResponse = (
  { createdAt, id, model }: WriterContext,
  { fields }: Echo,
  output: ReadonlyArray<JsonObject>,
  { error = null, ending }: { readonly error?: JsonObject | null; readonly ending?: Ending | undefined } = {}
): JsonObject => {
  const reason = ending === undefined ? undefined : incompleteReasons[ending.finishReason]
  return {
    id: `resp_${id}`,
    object: "response",
    created_at: Math.floor(createdAt / 1000),
    status: error !== null ? "failed" : ending === undefined ? "in_progress" : statusOf(ending),
    error,
    incomplete_details: reason === undefined ? null : { reason },
    model,
    output,
    ...fields,
    usage: encodeUsage(ending?.usage)
  }
}

/** The whole response. */
const encode = (completion: Completion, context: WriterContext, echo: Echo): JsonObject => {
  const output: Array<JsonObject> = []
  const add = (block: Block, text: string, status: Status = "completed"): void => {
    output.push(encodeItem(makeItem(block, context, output.length), status, text, echo))
  }
  const { content, finishReason, thinking = "", toolCalls } = completion
  if (thinking !== "") add({ kind: "thinking" }, thinking)
  if (content !== "") add({ kind: "text" }, content, finishReason === "length" ? "incomplete" : "completed")
  for (const call of toolCalls) add({ kind: "call", id: call.id, name: call.name }, Blocks.argumentsOf(call))
  return encodeResponse(context, echo, output, { ending: completion })
}

/**
 * The most characters of a response, about a million tokens. Its last events repeat all of its text four times, so it is kept: up to 8 MB
 * of memory while it is generated, and 120 MB for a moment at its end.
 */
const maxLength = 4 * 1024 * 1024

/** A writer of the events of one response. */
const makeWriter = (context: WriterContext, echo: Echo): CompletionWriter => {
  const format = makeFormat(context, echo)
  return { ...Blocks.makeWriter(format), isOver: format.isOver }
}

const makeFormat = (context: WriterContext, echo: Echo): Format & { readonly isOver: () => boolean } => {
  const events = makeEvents()
  const output: Array<JsonObject> = []
  let item: Item = { block: { kind: "text" }, id: "" }
  let text = Text.make()
  let length = 0
  let head = ""

  const places = (): JsonObject => ({ item_id: item.id, output_index: output.length })
  return {
    isOver: () => length > maxLength,
    begin: () => {
      const response = encodeResponse(context, echo, [])
      return events.write("response.created", { response }) + events.write("response.in_progress", { response })
    },
    open: (block) => {
      item = makeItem(block, context, output.length)
      text = Text.make()
      const { fields, name, part, place } = kinds[block.kind]
      head = events.head(`${name}.delta`, { ...places(), ...place, ...fields })
      const added = { output_index: output.length, item: encodeItem(item, "in_progress", "", echo) }
      const records = events.write("response.output_item.added", added)
      if (part === undefined) return records
      return records + events.write(`${part.name}.added`, { ...places(), ...place, part: part.encode("") })
    },
    delta: (part) => {
      length += part.length
      if (length > maxLength) return undefined
      Text.append(text, part)
      return events.delta(head, part)
    },
    close: (isCut) => {
      const whole = Text.join(text)
      const { fields, name, part, place } = kinds[item.block.kind]
      const content = part === undefined ? { arguments: whole, name: placeOf(item.block, echo)?.name } : { text: whole }
      let records = events.write(`${name}.done`, { ...places(), ...place, ...content, ...fields })
      if (part !== undefined) {
        records += events.write(`${part.name}.done`, { ...places(), ...place, part: part.encode(whole) })
      }
      const done = encodeItem(item, isCut ? "incomplete" : "completed", whole, echo)
      records += events.write("response.output_item.done", { output_index: output.length, item: done })
      output.push(done)
      return records
    },
    end: (final) =>
      events.write(`response.${statusOf(final)}`, {
        response: encodeResponse(context, echo, output, { ending: final })
      }),
    failure: (reason) =>
      events.error(reason) +
      events.write("response.failed", {
        response: encodeResponse(context, echo, output, { error: encodeError(reason) })
      })
  }
}

/** Events with their numbers. */
const makeEvents = () => {
  let count = 0
  return {
    write: (type: string, fields: JsonObject): string =>
      `event: ${type}\ndata: ${JSON.stringify({ type, ...fields, sequence_number: count++ })}\n\n`,
    /** OpenAI sends it before a response fails. Its SDKs throw for it, and ignore that the response failed. */
    error: (reason: ProviderErrorReason): string =>
      `event: error\ndata: ${JSON.stringify({ type: "error", ...Failures.fail(reason).body, sequence_number: count++ })}\n\n`,
    /** The beginning of an event with a part of the text. */
    head: (type: string, fields: JsonObject): string =>
      `event: ${type}\ndata: ${JSON.stringify({ type, ...fields }).slice(0, -1)},"delta":`,
    delta: (head: string, text: string): string => `${head}${JSON.stringify(text)},"sequence_number":${count++}}\n\n`
  }
}

/** Codex compacts the conversation, or waits, if it reads the first two codes. */
const codes: { readonly [Tag in ProviderErrorReason["_tag"]]?: string } = {
  ContextOverflow: "context_length_exceeded",
  RateLimited: "rate_limit_exceeded",
  InvalidRequest: "invalid_prompt",
  Unsupported: "invalid_prompt"
}

const encodeError = (reason: ProviderErrorReason): JsonObject => ({
  code: codes[reason._tag] ?? "server_error",
  message: PublicMessage.make(reason)
})
