/** Texts: how parts are joined, lengths in UTF-8, vectors of letters, how addresses are left out, and what a log may have of an exception. */
import * as Cause from "effect/Cause"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"

/** A text that arrives in many parts. Keeping every part until the end would take many times the memory of the text. */
export interface Parts {
  /** The parts that are joined already. */
  joined: string
  /** Those that are not. */
  latest: Array<string>
  /** Length of all parts. */
  length: number
}

export const make = (): Parts => ({ joined: "", latest: [], length: 0 })

/** A part may keep the larger text in memory that it was cut from. */
const maxParts = 64

export const append = (parts: Parts, text: string): void => {
  parts.length += text.length
  if (parts.latest.push(text) === maxParts) join(parts)
}

/** The text so far. Each join makes one flat text of the latest parts, so each character is copied a few times only. */
export const join = (parts: Parts): string => {
  if (parts.latest.length > 0) {
    parts.joined += parts.latest.join("")
    parts.latest = []
  }
  return parts.joined
}

/** Length of a text in bytes of UTF-8, without encoding it. A lone surrogate counts as the replacement character. */
export const utf8Length = (text: string): number => {
  let length = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit <= 0x7f) continue
    length += unit <= 0x7ff ? 1 : 2
    // A pair of surrogates is two units and four bytes.
    if (unit >= 0xd800 && unit <= 0xdbff && isLowSurrogate(text.charCodeAt(i + 1))) i++
  }
  return length
}

const isLowSurrogate = (unit: number): boolean => unit >= 0xdc00 && unit <= 0xdfff

/**
 * The vector of a fake model: how often each letter occurs, with length 1, or zeros for a text without letters. Default: 26 numbers, one
 * for each letter.
 */
export const countLetters = (text: string, dimensions = 26): ReadonlyArray<number> => {
  const counts = Array.from({ length: dimensions }, () => 0)
  for (const letter of text.toLowerCase()) {
    const index = letter.charCodeAt(0) - 97
    if (index >= 0 && index < 26) counts[index % dimensions] = (counts[index % dimensions] ?? 0) + 1
  }
  const length = Math.hypot(...counts)
  return length === 0 ? counts : counts.map((count) => count / length)
}

/** What stands for an address that was left out. */
const addressMark = "<address>"

/** A URL, an IP address, or what follows the code of a failed connection. A name with a port may also be the name of a model. */
const addresses =
  /\bhttps?:\/\/[^\s"'`<>;,()]+|\[(?=[^\]]{0,45}:)[\da-fA-F:.]{2,45}\](?::\d+)?|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b|(?<=^(?:E[A-Z\d]{3,60}|[A-Z]{3,9}_[A-Z\d_]{2,60}|ConnectionRefused|ConnectionClosed) )[^\s()]+(?= \(|$)/g

/** With a mark in the place of each address. */
export const withoutAddresses = (text: string): string => text.replace(addresses, addressMark)

/** A text that is encoded without addresses, since what is encoded goes to other processes. */
export const EncodedWithoutAddresses = Schema.String.pipe(
  Schema.encodeTo(Schema.String, {
    decode: SchemaGetter.passthrough(),
    encode: SchemaGetter.transform(withoutAddresses)
  })
)

/** The name of an exception, and where it was thrown. Its message may quote a completion or a credential, so it is not logged. */
export const placeOf = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  if (!(error instanceof Error)) return "a thrown value that is not an Error"
  const stack = (error.stack ?? "").replace(error.message, "").split("\n")
  return [error.name, ...stack.filter((line) => /^\s+at /.test(line))].join("\n")
}
