/** The records of the four endpoints for completions, in the form in which Ollama 0.33 and LM Studio 0.4 send them. */
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

/** `toFields` has what differs between its two endpoints. */
const ollama =
  (toFields: (text: string, rest?: object) => object): MakeWire =>
  ({ model }) => {
    const line = (fields: object): string => `${JSON.stringify(fields)}\n`
    const record = (fields: object): string => line({ model, created_at: createdAt.toISOString(), ...fields })
    const toContent = (content: Content, index: number): object => {
      if (typeof content === "string") return toFields(content)
      if ("thinking" in content) return toFields("", { thinking: content.thinking })
      const { arguments: value, id, name } = content.toolCall
      return toFields("", { tool_calls: [{ id, function: { index, name, arguments: value } }] })
    }
    return {
      contentType: "application/x-ndjson",
      headersAtOnce: false,
      content: (content, index) => record({ ...toContent(content, index), done: false }),
      record: (text) => `${text}\n`,
      error: (error) => line({ error }),
      end: ({ finishReason, usage }) =>
        record({
          ...toFields(""),
          done: true,
          // Ollama has no reason of its own for tool calls.
          done_reason: finishReason === "tool-calls" ? "stop" : finishReason,
          total_duration: 900_000_000,
          load_duration: 50_000_000,
          prompt_eval_count: usage?.promptTokens,
          prompt_eval_duration: 30_000_000,
          eval_count: usage?.completionTokens,
          eval_duration: 800_000_000
        })
    }
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
  "/api/chat": ollama((content, rest) => ({ message: { role: "assistant", content, ...rest } })),
  "/api/generate": ollama((response, rest) => ({ response, ...rest })),
  "/v1/chat/completions": lmStudio(Chunks.chat),
  "/v1/completions": lmStudio(Chunks.completion)
}
