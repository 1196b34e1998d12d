/**
 * The parts of a completion: which chunks carry any, and what was delivered. Servers may send empty chunks for as long as they like, and
 * may send all of a completion again, in another field or with its last chunk.
 */
import type { StreamingChunk, ToolCallDelta } from "../StreamingChunk.ts"

const hasText = (chunk: StreamingChunk): boolean =>
  chunk.isFinal ||
  chunk.content !== "" ||
  (chunk.thinking !== undefined && chunk.thinking !== "") ||
  (chunk.toolCalls !== undefined && chunk.toolCalls.length > 0)

const isEmpty = ({ argumentsDelta, id, name }: ToolCallDelta): boolean =>
  argumentsDelta === "" && id === undefined && name === undefined

/** Whether a chunk has a part of the completion. */
export const carries = (chunk: StreamingChunk): boolean =>
  hasText(chunk) || (chunk.toolCallDeltas !== undefined && !chunk.toolCallDeltas.every(isEmpty))

/**
 * For one completion: whether a chunk advances it. Only these chunks count for deadlines. Besides the parts of the completion, prompt
 * progress counts, but not what was reported before.
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

/** Only the beginning of what was delivered is kept, and compared. */
const headLength = 64

/** `longestPiece`: up to this length, a single piece that comes again may be a word that the model wrote twice. */
export const make = (longestPiece: number) => {
  let head = ""
  let length = 0
  let pieces = 0

  const startsWithAll = (text: string): boolean => length > 0 && text.length >= length && text.startsWith(head)

  return {
    add: (text: string): void => {
      if (head.length < headLength) head += text.slice(0, headLength - head.length)
      length += text.length
      pieces++
    },
    /** Whether a text begins with everything that was delivered, which no model is expected to write again. */
    isRepeatedBy: (text: string): boolean => (pieces > 1 || length > longestPiece) && startsWithAll(text),
    /** What a repetition has beyond that. */
    restOf: (repetition: string): string => (startsWithAll(repetition) ? repetition.slice(length) : "")
  }
}

/** One kind of text of a completion, such as its thinking. `longestPiece` as for `make`. */
export const makeText = (longestPiece: number) => {
  const delivered = make(longestPiece)
  let lowestRank = Infinity

  const add = (text: string, rank = 0): void => {
    if (rank < lowestRank) lowestRank = rank
    delivered.add(text)
  }

  return {
    add,
    /**
     * What is new in a text. `isLast`: the server reports the end. `rank`: a field with a higher one repeats those with
     * lower ones.
     */
    read: (text: string, isLast: boolean, rank = 0): string => {
      if (text === "") return ""
      const isRepetition = rank > lowestRank || (isLast && delivered.isRepeatedBy(text))
      const added = isRepetition ? delivered.restOf(text) : text
      if (added !== "") add(added, rank)
      return added
    }
  }
}
