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
  const decoder = makeDecoder()
  // Pieces that are not read yet, from the byte `offset` of the first one on.
  let pieces: ReadonlyArray<Uint8Array> = []
  let index = 0
  let offset = 0
  // Bytes since the last line end; with whole bodies, since the start.
  let pending = 0
  let isTooLong = false

  const nextBlock = (): Uint8Array => {
    const piece = pieces[index] ?? noBytes
    const block = cutBlock(piece, offset)
    offset += block.length
    if (offset >= piece.length) {
      index++
      offset = 0
    }
    return block
  }
  const fit = (block: Uint8Array): Uint8Array => {
    const room = maxBytes - pending
    if (block.length <= room) return block
    const fitting = hasLines ? fittingBytes(block, room, maxBytes) : room
    isTooLong = fitting < block.length
    return block.subarray(0, fitting)
  }
  const addBlock = (block: Uint8Array, texts: Array<string>): void => {
    const end = hasLines ? lastLineEnd(block) : -1
    if (end === -1) {
      pending += block.length
      decoder.hold(block, texts)
    } else {
      pending = block.length - end - 1
      decoder.flush(texts)
      texts.push(decoder.decode(block))
    }
  }
  const hasNext = (): boolean => index < pieces.length && !isTooLong

  return {
    hasNext,
    isTooLong: () => isTooLong,
    /** Nothing may be left of the pieces before. */
    add: (more: ReadonlyArray<Uint8Array>): void => {
      pieces = more
      index = 0
    },
    read: (): ReadonlyArray<string> => {
      const texts: Array<string> = []
      for (let room = maxBlock; room > 0 && hasNext();) {
        const block = nextBlock()
        room -= block.length
        addBlock(fit(block), texts)
      }
      if (isTooLong) decoder.flush(texts)
      return texts
    },
    end: (): ReadonlyArray<string> => decoder.end()
  }
}

/** The next bytes of a piece that are read at once. */
const cutBlock = (piece: Uint8Array, offset: number): Uint8Array => {
  if (piece.length <= maxBlockWithCr) return piece
  const block = piece.subarray(offset, offset + maxBlock)
  return block.includes(CR) ? block.subarray(0, maxBlockWithCr) : block
}

/** A text decoder that can hold bytes back. */
const makeDecoder = () => {
  const decoder = new TextDecoder()
  const streaming = { stream: true }
  let held = noBytes
  let length = 0

  const decode = (bytes: Uint8Array): string => decoder.decode(bytes, streaming)

  const flush = (texts: Array<string>): void => {
    if (length === 0) return
    texts.push(decode(held.subarray(0, length)))
    length = 0
  }

  return {
    /** Nothing may be held. */
    decode,
    flush,
    /** Holds bytes, at most `maxBlock` at once. Those before become text if there is no room for both. */
    hold: (bytes: Uint8Array, texts: Array<string>): void => {
      if (length + bytes.length > maxBlock) flush(texts)
      if (length + bytes.length > held.length) held = enlarge(held, length, length + bytes.length)
      held.set(bytes, length)
      length += bytes.length
    },
    /** The rest, as text. */
    end: (): ReadonlyArray<string> => {
      const texts: Array<string> = []
      flush(texts)
      const rest = decoder.decode()
      if (rest !== "") texts.push(rest)
      return texts
    }
  }
}

/** The first `length` bytes in an array with room for `needed`. It doubles, so that each byte is copied once on average. */
const enlarge = (bytes: Uint8Array, length: number, needed: number): Uint8Array<ArrayBuffer> => {
  const larger = new Uint8Array(Math.min(maxBlock, Math.max(256, 2 * needed)))
  larger.set(bytes.subarray(0, length))
  return larger
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
