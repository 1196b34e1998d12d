/**
 * The parts of an answer for a user interface: text, thinking, the states of tools, and how it ended. `Agent.stream` emits
 * them, and `fromChunks` makes them of a completion. They have a codec, so that a page or another process can read them.
 *
 * @category Adapters
 * @since 0.3.0
 */
import * as Stream from "effect/Stream"
import * as Errors from "./ai/errors.ts"
import type { UiPart } from "./protocol/uiPart.ts"
import type { FinalChunk, StreamingChunk } from "./StreamingChunk.ts"

export {
  End,
  Failure,
  FromJsonString,
  Text,
  Thinking,
  ToolApproval,
  ToolCalled,
  ToolFailed,
  ToolProgress,
  ToolResult,
  ToolRunning,
  UiPart
} from "./protocol/uiPart.ts"

/**
 * The parts of a completion, such as `Provider.stream` emits it. A chunk without text, such as the progress of the prompt,
 * has no part. A failure is passed on.
 *
 * @category constructors
 */
export const fromChunks = <E, R>(chunks: Stream.Stream<StreamingChunk, E, R>): Stream.Stream<UiPart, E, R> =>
  Stream.mapAccumArray(chunks, makeReader, (read, chunks) => {
    const parts: Array<UiPart> = []
    for (const chunk of chunks) read(chunk, parts)
    return [read, parts]
  })

/**
 * Ends a stream that fails, or that ends without an `End`, with a part `Failure`. For a transport that has no failures of
 * its own, such as a WebSocket. A defect is passed on.
 *
 * @category combinators
 */
export const settle = <E, R>(parts: Stream.Stream<UiPart, E, R>): Stream.Stream<UiPart, never, R> =>
  Stream.suspend(() => {
    let isOver = false
    return parts.pipe(
      Stream.mapArray((parts) => {
        isOver ||= parts.some(({ _tag }) => _tag === "End" || _tag === "Failure")
        return parts
      }),
      Stream.catch((error) =>
        Stream.sync((): UiPart => {
          isOver = true
          return Errors.toFailure(error)
        })
      ),
      Stream.concat(Stream.suspend(() => (isOver ? Stream.empty : Stream.succeed(Errors.truncated))))
    )
  })

/** Reads the chunks of one completion. */
const makeReader = (): ((chunk: StreamingChunk, parts: Array<UiPart>) => void) => {
  /** The calls of which no whole has arrived, by their ids. */
  const begun = new Map<string, string>()
  const begin = (id: string, name: string, parts: Array<UiPart>): void => {
    if (begun.has(id)) return
    begun.set(id, name)
    parts.push({ _tag: "ToolCalled", id, name })
  }
  return (chunk, parts) => {
    if (chunk.thinking !== undefined && chunk.thinking !== "") parts.push({ _tag: "Thinking", text: chunk.thinking })
    if (chunk.content !== "") parts.push({ _tag: "Text", text: chunk.content })
    for (const { id, name } of chunk.toolCallDeltas ?? []) {
      if (id !== undefined && name !== undefined && name !== "") begin(id, name, parts)
    }
    for (const { arguments: input, id, name } of chunk.toolCalls ?? []) {
      begin(id, name, parts)
      begun.delete(id)
      parts.push({ _tag: "ToolRunning", id, name, arguments: input })
    }
    if (!chunk.isFinal) return
    for (const [id, name] of begun)
      parts.push({ _tag: "ToolFailed", id, name, failure: "The arguments are not complete." })
    parts.push(toEnd(chunk))
  }
}

const toEnd = ({ finishReason, model, usage }: FinalChunk): UiPart => ({
  _tag: "End",
  finishReason,
  ...(usage && { usage }),
  model,
  rounds: 1
})
