import type { ServerResponse } from "node:http"

function ollamaLine(content: string, end: object): string {
  const head = { model: "llama3.2:3b-instruct-q4_K_M", created_at: "2026-01-02T03:04:05.678901234Z" }
  return `${JSON.stringify({ ...head, message: { role: "assistant", content }, ...end })}\n`
}

function lmStudioEvent(delta: object, finishReason: string | null): string {
  const head = { id: "chatcmpl-p4wz8k1v6q2m9x7c3b5n", object: "chat.completion.chunk", created: 1_767_000_000 }
  const model = "llama-3.2-3b-instruct"
  const choices = [{ index: 0, delta, logprobs: null, finish_reason: finishReason }]
  return `data: ${JSON.stringify({ ...head, model, system_fingerprint: model, choices })}\n\n`
}

const durations = { total_duration: 9e8, load_duration: 5e7, prompt_eval_duration: 3e7, eval_duration: 8e8 }
const counts = { prompt_eval_count: 12, eval_count: 300 }

/** Ollama sends NDJSON, LM Studio sends SSE: tokens with the fields of the real servers, and the final records. */
export const wires = {
  ndjson: {
    path: "/api/chat",
    contentType: "application/x-ndjson",
    token: (text: string) => ollamaLine(text, { done: false }),
    ending: ollamaLine("", { done: true, done_reason: "stop", ...durations, ...counts })
  },
  sse: {
    path: "/v1/chat/completions",
    contentType: "text/event-stream",
    token: (text: string) => lmStudioEvent({ content: text }, null),
    ending: `${lmStudioEvent({}, "stop")}data: [DONE]\n\n`
  }
}

export type Protocol = keyof typeof wires
export type Wire = (typeof wires)[Protocol]

/** The token of all answers that are not paced. */
export const plainToken = " sky"

/** The number of tokens in an answer of this many bytes. */
export function tokensInBytes(protocol: Protocol, bytes: number): number {
  return Math.round(bytes / Buffer.byteLength(wires[protocol].token(plainToken)))
}

/** Part of a body, framed once for chunked transfer encoding. */
export function packet(text: string): Buffer {
  return Buffer.from(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`)
}

/**
 * Sends one packet at once. `response.write` would combine all writes of one turn and costs several times as much CPU,
 * which on a small machine is missing from the measured client.
 */
export function sendPacket(response: ServerResponse, framed: Buffer): void {
  response.socket?.write(framed)
}
