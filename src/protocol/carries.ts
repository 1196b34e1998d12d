/** Which chunks carry something. Servers may also send empty ones, for as long as they like. */
import type { StreamingChunk, ToolCallDelta } from "../StreamingChunk.ts"

const hasText = (chunk: StreamingChunk): boolean =>
  chunk.isFinal ||
  chunk.content !== "" ||
  (chunk.thinking !== undefined && chunk.thinking !== "") ||
  (chunk.toolCalls !== undefined && chunk.toolCalls.length > 0)

const isEmpty = ({ argumentsDelta, id, name }: ToolCallDelta): boolean =>
  argumentsDelta === "" && id === undefined && name === undefined

/** Whether a chunk has something of the answer. */
export const carries = (chunk: StreamingChunk): boolean =>
  hasText(chunk) || (chunk.toolCallDeltas !== undefined && !chunk.toolCallDeltas.every(isEmpty))

/**
 * For one answer: whether a chunk brings it on. Deadlines count these chunks only, so that a server which repeats itself or sends
 * empty chunks is late. Besides what commits an answer, prompt progress counts, but not what was reported before.
 */
export const makeAdvances = (): ((chunk: StreamingChunk) => boolean) => {
  let processed = -1
  let calls = 0
  return (chunk) => {
    if (chunk.isFinal || hasText(chunk)) return true
    let isFurther = false
    for (const delta of chunk.toolCallDeltas ?? []) {
      if (delta.argumentsDelta !== "" || (delta.index >= calls && !isEmpty(delta))) isFurther = true
      calls = Math.max(calls, delta.index + 1)
    }
    const reported = chunk.promptProgress?.processed ?? -1
    if (reported > processed) {
      processed = reported
      isFurther = true
    }
    return isFurther
  }
}
