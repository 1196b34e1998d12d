/** Pieces of an answer as the records of the four protocols, in the form in which Ollama 0.33 and LM Studio 0.4 send them. */
import type { FinishReason, ToolCall, Usage } from "../StreamingChunk.ts"
import type { Piece } from "./answer.ts"

/** How one answer is written. */
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

/** Pieces as the parts of a record that differ between the two endpoints of a server. */
interface Shape {
  readonly text: (text: string) => object
  readonly thinking: (thinking: string) => object | undefined
  readonly toolCall: (call: ToolCall, index: number) => ReadonlyArray<object>
}

const ollama =
  (shape: Shape): MakeWire =>
  ({ model }) => {
    const line = (rest: object): string =>
      `${JSON.stringify({ model, created_at: createdAt.toISOString(), ...rest })}\n`
    return {
      contentType: "application/x-ndjson",
      headersAtOnce: false,
      piece: makePiece(shape, {
        record: (fields) => line({ ...fields, done: false }),
        text: (text) => `${text}\n`,
        error: (message) => `${JSON.stringify({ error: message })}\n`
      }),
      end: ({ finishReason, usage }) =>
        line({
          ...shape.text(""),
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

const ollamaToolCall = (call: ToolCall, index: number): object => ({
  id: call.id,
  function: { index, name: call.name, arguments: call.arguments }
})

const ollamaChat = ollama({
  text: (content) => ({ message: { role: "assistant", content } }),
  thinking: (thinking) => ({ message: { role: "assistant", content: "", thinking } }),
  toolCall: (call, index) => [
    { message: { role: "assistant", content: "", tool_calls: [ollamaToolCall(call, index)] } }
  ]
})

const ollamaGenerate = ollama({
  text: (response) => ({ response }),
  thinking: (thinking) => ({ response: "", thinking }),
  toolCall: (call, index) => [{ response: "", tool_calls: [ollamaToolCall(call, index)] }]
})

const lmStudio =
  (kind: "chat" | "completion", shape: Shape): MakeWire =>
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
      piece: makePiece(shape, {
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

const lmStudioChat = lmStudio("chat", {
  text: (content) => ({ content }),
  thinking: (reasoning_content) => ({ reasoning_content }),
  toolCall: ({ arguments: value, id, name }, index) => {
    const text = JSON.stringify(value)
    const middle = Math.ceil(text.length / 2)
    return [
      { tool_calls: [{ index, id, type: "function", function: { name, arguments: "" } }] },
      { tool_calls: [{ index, function: { arguments: text.slice(0, middle) } }] },
      { tool_calls: [{ index, function: { arguments: text.slice(middle) } }] }
    ]
  }
})

const lmStudioCompletion = lmStudio("completion", {
  text: (text) => ({ text }),
  thinking: () => undefined,
  toolCall: () => []
})

const makePiece = (
  shape: Shape,
  write: {
    readonly record: (fields: object) => string
    readonly text: (text: string) => string
    readonly error: (message: string) => string
  }
): Wire["piece"] => {
  let calls = 0
  return (piece) => {
    if (typeof piece === "string") return write.record(shape.text(piece))
    if ("raw" in piece) return piece.raw
    if ("record" in piece) return write.text(piece.record)
    if ("error" in piece) return write.error(piece.error)
    if ("toolCall" in piece) return shape.toolCall(piece.toolCall, calls++).map(write.record).join("")
    const fields = shape.thinking(piece.thinking)
    return fields === undefined ? "" : write.record(fields)
  }
}

/** The endpoints that give completions. */
export const wires: { readonly [path: string]: MakeWire } = {
  "/api/chat": ollamaChat,
  "/api/generate": ollamaGenerate,
  "/v1/chat/completions": lmStudioChat,
  "/v1/completions": lmStudioCompletion
}
