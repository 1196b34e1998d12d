/**
 * The way from bytes to chunks: text, lines, records. Three stages, each working on whole arrays, since every further one
 * costs microseconds on each line that arrives alone.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import type { ProviderErrorReason } from "../../ProviderError.ts"
import { LineTooLong, StreamTruncated } from "../../ProviderError.ts"
import type { StreamingChunk } from "../../StreamingChunk.ts"
import * as Json from "./json.ts"
import type { LineDecoder, Progress } from "./endpoint.ts"

export interface Options<EBody, E> {
  readonly decoder: LineDecoder
  /** A line of more bytes fails; no more than that is ever kept. */
  readonly maxLineBytes: number
  /** What it means that the body broke. */
  readonly toReason: (failure: EBody) => ProviderErrorReason
  /** What the stream fails with. */
  readonly toError: (reason: ProviderErrorReason) => E
  /** Called when the body was read to its end. */
  readonly onEnd?: (() => void) | undefined
}

/**
 * Decodes one body. Fails with what broke the body, or with what is wrong in it, after all chunks that came before; ends
 * only behind a final chunk.
 */
export const decode = <EBody, E, R>(
  body: Stream.Stream<Uint8Array, EBody, R>,
  options: Options<EBody, E>
): Stream.Stream<StreamingChunk, E, R> => {
  const ending: Ending = { reached: false, cut: undefined }
  return toChunks(Stream.splitLines(toText(body, options, ending)), options, ending)
}

/**
 * How the body ended. A failure below `splitLines` would take the unterminated last line with it, though that line may be
 * the whole final record: so it is noted here, the text ends, and the last stage decides.
 */
interface Ending {
  reached: boolean
  cut: ProviderErrorReason | undefined
}

/** How long the end of the body is waited for behind the final chunk, so that the connection can be used again. */
const drainTime = "50 millis"

/** Bytes to text, and the bound: it stops an endless line before `splitLines` collects it. */
const toText = <EBody, R>(
  body: Stream.Stream<Uint8Array, EBody, R>,
  { maxLineBytes, onEnd, toReason }: Options<EBody, unknown>,
  ending: Ending
): Stream.Stream<string, never, R> =>
  Stream.transformPull(body, (pull) =>
    Effect.sync(() => {
      const decoder = new TextDecoder()
      const streaming = { stream: true }
      // Bytes of the line that is not ended yet.
      let pending = 0
      let tooLong: LineTooLong | undefined

      const end = (cut: ProviderErrorReason | undefined): Pull.Pull<Arr.NonEmptyReadonlyArray<string>> => {
        if (ending.reached) return Cause.done()
        ending.reached = true
        ending.cut = cut
        return Effect.succeed([decoder.decode()])
      }

      const next: Pull.Pull<Arr.NonEmptyReadonlyArray<string>, never, void, R> = Effect.matchEffect(pull, {
        onSuccess: (pieces) => {
          const texts: Array<string> = []
          for (const bytes of pieces) {
            if (pending + bytes.length > maxLineBytes) {
              const fitting = fittingBytes(bytes, maxLineBytes - pending, maxLineBytes)
              if (fitting < bytes.length) {
                tooLong = new LineTooLong({ limit: maxLineBytes })
                texts.push(decoder.decode(bytes.subarray(0, fitting), streaming))
                break
              }
            }
            const lastEnd = lastLineEnd(bytes)
            pending = lastEnd === -1 ? pending + bytes.length : bytes.length - lastEnd - 1
            texts.push(decoder.decode(bytes, streaming))
          }
          return Arr.isReadonlyArrayNonEmpty(texts) ? Effect.succeed(texts) : next
        },
        onFailure: (failure) => {
          if (!Cause.isDone(failure)) return end(toReason(failure))
          onEnd?.()
          return end(undefined)
        }
      })
      // The lines before the one that is too long go ahead of the end.
      return Effect.suspend(() => (ending.reached ? Cause.done() : tooLong === undefined ? next : end(tooLong)))
    })
  )

const LF = 10
const CR = 13

const lastLineEnd = (bytes: Uint8Array): number => {
  const lf = bytes.lastIndexOf(LF)
  return lf === bytes.length - 1 ? lf : Math.max(lf, bytes.lastIndexOf(CR))
}

/** How many bytes of a piece may pass: all, or those before the line that is too long. `room` is what its first line may take. */
const fittingBytes = (bytes: Uint8Array, room: number, maxLineBytes: number): number => {
  let start = 0
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] === LF || bytes[i] === CR) {
      start = i + 1
      room = maxLineBytes
    } else if (room-- === 0) return start
  }
  return bytes.length
}

/** Lines to chunks: the decoder's word decides how the stream ends. */
const toChunks = <E, R>(
  lines: Stream.Stream<string, never, R>,
  { decoder, toError }: Pick<Options<never, E>, "decoder" | "toError">,
  ending: Ending
): Stream.Stream<StreamingChunk, E, R> =>
  Stream.transformPull(lines, (pull) =>
    Effect.sync(() => {
      type ChunkPull = Pull.Pull<Arr.NonEmptyReadonlyArray<StreamingChunk>, E>
      // What the next pull gives, once the answer is over.
      let over: ChunkPull | undefined

      const settle = (progress: Progress): void => {
        if (progress === "complete") over = drain
        else if (progress !== "open") over = Effect.fail(toError(progress))
      }

      // Once the end is reached, only the unterminated line is left. If that is half a line, or the beginning of one that
      // is too long, the end is what went wrong, not the line.
      const read = (line: string, chunks: Array<StreamingChunk>): Progress => {
        if (!ending.reached) return decoder.line(line, chunks)
        if (ending.cut?._tag === "LineTooLong") return "open"
        const progress = decoder.line(line, chunks)
        const isHalf = typeof progress === "object" && progress._tag === "ParseError" && Json.parse(line) === undefined
        return isHalf ? "open" : progress
      }

      const give = (chunks: Array<StreamingChunk>): ChunkPull =>
        Arr.isArrayNonEmpty(chunks) ? Effect.succeed(chunks) : (over ?? next)

      const next: ChunkPull = Effect.matchEffect(pull, {
        onSuccess: (lines) => {
          const chunks: Array<StreamingChunk> = []
          for (const line of lines) {
            settle(read(line, chunks))
            if (over !== undefined) break
          }
          return give(chunks)
        },
        onFailure: () => {
          const chunks: Array<StreamingChunk> = []
          const progress = decoder.end(chunks)
          settle(progress === "open" ? (ending.cut ?? new StreamTruncated()) : progress)
          return give(chunks)
        }
      })

      const drain: ChunkPull = Effect.forever(pull).pipe(
        Effect.timeoutOption(drainTime),
        Effect.matchEffect({ onSuccess: () => Cause.done(), onFailure: () => Cause.done() })
      )

      return Effect.suspend(() => over ?? next)
    })
  )
