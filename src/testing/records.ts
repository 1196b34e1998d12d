/** The records of the four endpoints for completions, in the form in which Ollama 0.33 and LM Studio 0.4 send them. */
import type { FinishReason, ToolCall, Usage } from "../StreamingChunk.ts"
import type { Piece } from "./script.ts"

/** How one completion is written. */
export interface Wire {
  readonly contentType: string
  /** Whether the headers are sent before the first piece. */
  readonly headersAtOnce: boolean
  /** `""` for a piece that the protocol has no record for. */
  readonly piece: (piece: Exclude<Piece, { readonly wait: unknown }>) => string | Uint8Array
  readonly end: (facts: { readonly finishReason: FinishReason; readonly usage: Usage | undefined }) => string
}

type MakeWire = (options: { readonly model: string; readonly withUsage: boolean }) => Wire

/** The same time for all records, so that the same script gives the same bytes. */
const createdAt = new Date("2026-01-02T03:04:05.678Z")

type Content = string | { readonly thinking: string } | { readonly toolCall: ToolCall }

/** The fields of the records of a piece, of which there may be none. `index` is that of the tool call. */
type ToFields = (piece: Content, index: number) => ReadonlyArray<object>

const makePiece = (
  toFields: ToFields,
  write: {
    readonly record: (fields: object) => string
    readonly text: (text: string) => string
    readonly error: (message: string) => string
  }
): Wire["piece"] => {
  let calls = 0
  return (piece) => {
    if (typeof piece === "object") {
      if ("error" in piece) return write.error(piece.error)
      if ("raw" in piece) return piece.raw
      if ("record" in piece) return write.text(piece.record)
    }
    const index = typeof piece === "object" && "toolCall" in piece ? calls++ : calls
    return toFields(piece, index).map(write.record).join("")
  }
}

/** `toFields` has what differs between its two endpoints. */
const ollama =
  (toFields: (content: string, rest?: object) => object): MakeWire =>
  ({ model }) => {
    const line = (fields: object): string => `${JSON.stringify(fields)}\n`
    const head = { model, created_at: createdAt.toISOString() }
    const toPieceFields = (piece: Content, index: number): object => {
      if (typeof piece === "string") return toFields(piece)
      if ("thinking" in piece) return toFields("", { thinking: piece.thinking })
      const { arguments: value, id, name } = piece.toolCall
      return toFields("", { tool_calls: [{ id, function: { index, name, arguments: value } }] })
    }
    return {
      contentType: "application/x-ndjson",
      headersAtOnce: false,
      piece: makePiece((piece, index) => [toPieceFields(piece, index)], {
        record: (fields) => line({ ...head, ...fields, done: false }),
        text: (text) => `${text}\n`,
        error: (error) => line({ error })
      }),
      end: ({ finishReason, usage }) =>
        line({
          ...head,
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

const toDeltas: ToFields = (piece, index) => {
  if (typeof piece === "string") return [{ content: piece }]
  if ("thinking" in piece) return [{ reasoning_content: piece.thinking }]
  const { arguments: value, id, name } = piece.toolCall
  const text = JSON.stringify(value)
  const middle = Math.ceil(text.length / 2)
  return [
    { index, id, type: "function", function: { name, arguments: "" } },
    { index, function: { arguments: text.slice(0, middle) } },
    { index, function: { arguments: text.slice(middle) } }
  ].map((call) => ({ tool_calls: [call] }))
}

const toTexts: ToFields = (piece) => (typeof piece === "string" ? [{ text: piece }] : [])

const lmStudio =
  (kind: "chat" | "completion"): MakeWire =>
  ({ model, withUsage }) => {
    const isChat = kind === "chat"
    const head = {
      id: isChat ? "chatcmpl-fake0000000000000000" : "cmpl-fake0000000000000000",
      object: isChat ? "chat.completion.chunk" : "text_completion",
      created: Math.floor(createdAt.getTime() / 1000),
      model,
      system_fingerprint: model
    }
    const event = (choices: ReadonlyArray<object>, rest: object = {}): string =>
      `data: ${JSON.stringify({ ...head, choices, ...rest })}\n\n`
    // Only the first delta names the role.
    let role: object = { role: "assistant" }
    const choice = (fields: object, finish_reason: string | null = null): object => {
      const choice = isChat ? { delta: { ...role, ...fields } } : fields
      role = {}
      return { index: 0, ...choice, logprobs: null, finish_reason }
    }
    return {
      contentType: "text/event-stream",
      headersAtOnce: true,
      piece: makePiece(isChat ? toDeltas : toTexts, {
        record: (fields) => event([choice(fields)]),
        text: (text) => `data: ${text}\n\n`,
        error: (message) => `event: error\ndata: ${JSON.stringify({ error: { message }, message })}\n\n`
      }),
      end: ({ finishReason, usage }) => {
        const finish = event([choice(isChat ? {} : { text: "" }, finishReason.replaceAll("-", "_"))])
        const { completionTokens, promptTokens, totalTokens } = usage ?? {}
        const counts = {
          prompt_tokens: promptTokens,
          completion_tokens: completionTokens,
          total_tokens: totalTokens ?? (promptTokens ?? 0) + (completionTokens ?? 0)
        }
        const usageEvent = withUsage && usage !== undefined ? event([], { usage: counts }) : ""
        return `${finish}${usageEvent}data: [DONE]\n\n`
      }
    }
  }

/** The endpoints for completions. */
export const wires: { readonly [path: string]: MakeWire } = {
  "/api/chat": ollama((content, rest) => ({ message: { role: "assistant", content, ...rest } })),
  "/api/generate": ollama((response, rest) => ({ response, ...rest })),
  "/v1/chat/completions": lmStudio("chat"),
  "/v1/completions": lmStudio("completion")
}
