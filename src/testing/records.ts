/** The records of the four endpoints for completions, in the form in which Ollama 0.33 and LM Studio 0.4 send them. */
import * as Duration from "effect/Duration"
import * as Lines from "../protocol/ollama/servedResponse.ts"
import * as Chunks from "../protocol/openai/servedChunks.ts"
import type { FinishReason, StreamingChunk, ToolCall, Usage } from "../StreamingChunk.ts"

/** What the model generates. */
export type Content = string | { readonly thinking: string } | { readonly toolCall: ToolCall }

/** How one completion is written. */
export interface Wire {
  readonly contentType: string
  /** Whether the headers are sent before the first piece. */
  readonly headersAtOnce: boolean
  /** The records of content, of which there may be none. `index` is that of the tool call. */
  readonly content: (content: Content, index: number) => string
  /** The record with this text in place of its JSON. */
  readonly record: (text: string) => string
  readonly error: (message: string) => string
  readonly end: (facts: { readonly finishReason: FinishReason; readonly usage: Usage | undefined }) => string
}

type MakeWire = (options: { readonly model: string; readonly withUsage: boolean }) => Wire

/** The same time for all records, so that the same script gives the same bytes. */
const createdAt = new Date("2026-01-02T03:04:05.678Z")

/** How long the server took, whatever the delays of the script. */
const timings = {
  total: Duration.millis(900),
  load: Duration.millis(50),
  prompt: Duration.millis(30),
  completion: Duration.millis(800)
}

const ollama =
  (form: Lines.Form): MakeWire =>
  ({ model }) => {
    const { content, end } = Lines.makeRecords(form, { model, createdAt: createdAt.getTime() })
    return {
      contentType: "application/x-ndjson",
      headersAtOnce: false,
      content: (piece, index) => content(toParts(piece), index),
      record: (text) => `${text}\n`,
      error: Lines.error,
      end: (facts) => end({ ...facts, timings })
    }
  }

const toParts = (piece: Content): Lines.Parts => {
  if (typeof piece === "string") return { content: piece }
  return "thinking" in piece ? { content: "", ...piece } : { content: "", toolCalls: [piece.toolCall] }
}

const lmStudio =
  (form: Chunks.Form): MakeWire =>
  ({ model, withUsage }) => {
    const context = { model, id: "fake0000000000000000", createdAt: createdAt.getTime() }
    const writer = Chunks.makeWriter(form, context, withUsage)
    return {
      contentType: "text/event-stream",
      headersAtOnce: true,
      content: (content, index) => toChunks(content, index).map(writer.chunk).join(""),
      record: (text) => `data: ${text}\n\n`,
      error: (message) => `event: error\ndata: ${JSON.stringify({ error: { message }, message })}\n\n`,
      end: ({ finishReason, usage }) => writer.chunk({ content: "", isFinal: true, model, finishReason, usage })
    }
  }

const toChunks = (content: Content, index: number): ReadonlyArray<StreamingChunk> => {
  if (typeof content === "string") return [{ content, isFinal: false }]
  if ("thinking" in content) return [{ content: "", isFinal: false, thinking: content.thinking }]
  const { arguments: value, id, name } = content.toolCall
  const text = JSON.stringify(value)
  const middle = Math.ceil(text.length / 2)
  const deltas = [
    { index, id, name, argumentsDelta: "" },
    { index, argumentsDelta: text.slice(0, middle) },
    { index, argumentsDelta: text.slice(middle) }
  ]
  return deltas.map((delta) => ({ content: "", isFinal: false, toolCallDeltas: [delta] }))
}

/** The endpoints for completions. */
export const wires: { readonly [path: string]: MakeWire } = {
  "/api/chat": ollama(Lines.message),
  "/api/generate": ollama(Lines.response),
  "/v1/chat/completions": lmStudio(Chunks.chat),
  "/v1/completions": lmStudio(Chunks.completion)
}
