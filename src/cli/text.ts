/** Text from models and servers, made fit for writing. */

export interface Cleaner {
  /** The part of the text so far that can be written. */
  readonly add: (text: string) => string
  /** The rest, at the end of the text. */
  readonly end: () => string
}

/**
 * Cleans a text that arrives in pieces. Characters that were split between two pieces are joined. For a terminal, control
 * characters are replaced as well.
 */
export const makeCleaner = (isTerminal: boolean): Cleaner => {
  const clean = isTerminal ? replaceControls : (text: string) => text
  // The first half of a character, or a carriage return that may belong to a line end.
  let held = ""
  return {
    add: (text) => {
      const all = held + text
      held = (isTerminal ? /[\uD800-\uDBFF\r]$/ : /[\uD800-\uDBFF]$/).exec(all)?.[0] ?? ""
      return clean(all.slice(0, all.length - held.length))
    },
    end: () => {
      const rest = held
      held = ""
      return clean(rest)
    }
  }
}

/**
 * Replaces what a terminal would interpret, and what would reorder text on it: C0 controls and DEL by their symbols, such as ␛;
 * C1 controls and bidirectional embeddings, overrides and isolates by U+FFFD. Tabs and line ends stay.
 */
export const replaceControls = (text: string): string =>
  text.replaceAll("\r\n", "\n").replaceAll(/[\p{Cc}\u202A-\u202E\u2066-\u2069]/gu, replacement)

const replacement = (character: string): string => {
  if (character === "\n" || character === "\t") return character
  if (character === "\x7F") return "\u2421"
  return character < " " ? String.fromCharCode(0x2400 + character.charCodeAt(0)) : "\uFFFD"
}

/**
 * The same for the text of JSON, whose value stays the same: what `JSON.stringify` leaves of such characters is written as
 * `\u` and its code.
 */
export const escapeControls = (json: string): string =>
  json.replaceAll(
    /[\x7F-\x9F\u202A-\u202E\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
  )

/** The same in a single line. */
export const toSingleLine = (text: string): string => replaceControls(text.replaceAll(/[\r\n\u2028\u2029]\s*/g, " "))
