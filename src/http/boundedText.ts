/**
 * From the bytes of a body to text. Memory is bounded by bytes, however small or large the pieces are: small pieces of an unfinished
 * line are collected before they become text, and large ones are cut.
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import type { ProviderErrorReason } from "../ProviderError.ts"
import { LineTooLong } from "../ProviderError.ts"
import * as Parts from "../values/text.ts"

export interface Options<E> {
  /** The most bytes of a line, or of the body if `unit` is `body`. More fail with `LineTooLong`. */
  readonly maxBytes: number
  readonly unit: "line" | "body"
  /** What it means that the body broke. */
  readonly toReason: (failure: E) => ProviderErrorReason
}

/** All of a body. */
export const whole = <E>(
  body: Stream.Stream<Uint8Array, E>,
  options: Omit<Options<E>, "unit">
): Effect.Effect<string, ProviderErrorReason> => Stream.mkString(make(body, { ...options, unit: "body" }))

/**
 * Text as soon as it ends a line, or in large blocks. A failure comes after all text before it. A character that is cut off at
 * the end becomes U+FFFD.
 */
export const make = <E>(
  body: Stream.Stream<Uint8Array, E>,
  { maxBytes, toReason, unit }: Options<E>
): Stream.Stream<string, ProviderErrorReason> =>
  Stream.transformPull(body, (pull) =>
    Effect.sync(() => {
      type TextPull = Pull.Pull<Arr.NonEmptyReadonlyArray<string>, ProviderErrorReason>
      const reader = makeReader(maxBytes, unit === "line")
      // What follows the text, once that is known.
      let ending: TextPull | undefined

      const give = (texts: ReadonlyArray<string>): TextPull => (isNonEmpty(texts) ? Effect.succeed(texts) : next)
      const read = (): TextPull => {
        const texts = reader.read()
        if (reader.isTooLong()) ending = Effect.fail(new LineTooLong({ limit: maxBytes }))
        return give(texts)
      }
      const readMore: TextPull = Effect.matchEffect(pull, {
        onSuccess: (pieces) => {
          reader.add(pieces)
          return read()
        },
        onFailure: (failure) => {
          ending = Effect.fail(Cause.isDone(failure) ? failure : toReason(failure))
          return give(reader.end())
        }
      })
      const next: TextPull = Effect.suspend(() => ending ?? (reader.hasNext() ? read() : readMore))
      return next
    })
  )

const isNonEmpty = (texts: ReadonlyArray<string>): texts is Arr.NonEmptyReadonlyArray<string> => texts.length > 0

const LF = 10
const CR = 13

/** As much is given at once, and held before it becomes text. */
const maxBlock = 64 * 1024

/** After each carriage return, `Stream.splitLines` searches the rest of the text for a line feed. */
const maxBlockWithCr = 4 * 1024

const noBytes = new Uint8Array(0)

/** Reads pieces until a line, or the body without `hasLines`, has more than `maxBytes`. */
const makeReader = (maxBytes: number, hasLines: boolean) => {
  const decoder = new TextDecoder()
  const blocks = makeBlocks()
  // Bytes since the last line end; with whole bodies, since the start.
  let pending = 0
  // The text of small pieces of an unfinished line.
  let held = Parts.make()
  let isTooLong = false

  const fit = (block: Uint8Array): Uint8Array => {
    const room = maxBytes - pending
    if (block.length <= room) return block
    const fitting = hasLines ? fittingBytes(block, room, maxBytes) : room
    isTooLong = fitting < block.length
    return block.subarray(0, fitting)
  }
  const flush = (texts: Array<string>): void => {
    if (held.length === 0) return
    texts.push(Parts.join(held))
    held = Parts.make()
  }
  const addBlock = (block: Uint8Array, texts: Array<string>): void => {
    const end = hasLines ? lastLineEnd(block) : -1
    if (end !== -1 || held.length + block.length > maxBlock) flush(texts)
    const text = decoder.decode(block, streaming)
    if (end === -1) Parts.append(held, text)
    else texts.push(text)
    pending = end === -1 ? pending + block.length : block.length - end - 1
  }

  const hasNext = (): boolean => blocks.hasNext() && !isTooLong

  return {
    add: blocks.add,
    hasNext,
    isTooLong: () => isTooLong,
    read: (): ReadonlyArray<string> => {
      const texts: Array<string> = []
      for (let room = maxBlock; room > 0 && hasNext();) {
        const block = blocks.next()
        room -= block.length
        addBlock(fit(block), texts)
      }
      if (isTooLong) flush(texts)
      return texts
    },
    end: (): ReadonlyArray<string> => {
      Parts.append(held, decoder.decode())
      const texts: Array<string> = []
      flush(texts)
      return texts
    }
  }
}

const streaming = { stream: true }

/** Pieces of any size as blocks that are read at once. */
const makeBlocks = () => {
  let pieces: ReadonlyArray<Uint8Array> = []
  let index = 0
  let offset = 0

  return {
    /** Nothing may be left of the pieces before. */
    add: (more: ReadonlyArray<Uint8Array>): void => {
      pieces = more
      index = 0
    },
    hasNext: () => index < pieces.length,
    next: (): Uint8Array => {
      const piece = pieces[index] ?? noBytes
      const block = cutBlock(piece, offset)
      offset += block.length
      if (offset >= piece.length) {
        index++
        offset = 0
      }
      return block
    }
  }
}

const cutBlock = (piece: Uint8Array, offset: number): Uint8Array => {
  if (piece.length <= maxBlockWithCr) return piece
  const block = piece.subarray(offset, offset + maxBlock)
  return block.includes(CR) ? block.subarray(0, maxBlockWithCr) : block
}

const lastLineEnd = (bytes: Uint8Array): number => {
  const last = bytes.length - 1
  return bytes[last] === LF ? last : Math.max(bytes.lastIndexOf(LF), bytes.lastIndexOf(CR))
}

/** How many bytes of a piece precede the first line that is too long. `room` is what is left for its first line. */
const fittingBytes = (bytes: Uint8Array, room: number, maxBytes: number): number => {
  let start = 0
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] === LF || bytes[i] === CR) {
      start = i + 1
      room = maxBytes
    } else if (room-- === 0) return start
  }
  return bytes.length
}
