/** Text from models and servers, made fit for writing. */

export interface Cleaner {
  /** The part of the text so far that can be written. */
  readonly add: (text: string) => string
  /** The rest, at the end of the text. */
  readonly end: () => string
}

/** Joins characters that were split between two pieces. For a terminal, control characters and invisible ones are replaced as well. */
export const makeCleaner = (isTerminal: boolean): Cleaner => {
  /** The first half of a character, or a carriage return that may belong to a line end. */
  let held = ""
  /** The last character, if it decides about the next one. */
  let before = ""
  const clean = (text: string): string => {
    if (!isTerminal || text === "") return text
    const cleaned = replaceControls(before + text).slice(before.length)
    before = /\p{Ideographic}$/u.exec(text)?.[0] ?? ""
    return cleaned
  }
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
 * Replaces what a terminal would interpret, what would reorder text on it, and what nobody would see there: controls, and characters
 * that are invisible by Unicode's own definition, such as bidirectional controls and tags. Those that emoji and scripts need stay:
 * the joiners, and variation selectors, the supplementary ones after an ideograph.
 */
const unsafe =
  /[\p{Cc}\uFFF9-\uFFFB]|(?!\p{Join_Control}|\p{Variation_Selector})\p{DI}|(?<!\p{Ideographic})[\u{E0100}-\u{E01EF}]/gu

/** Replaces C0 controls and DEL by their symbols, such as ␛, and the other ones by U+FFFD. Tabs and line ends stay. */
export const replaceControls = (text: string): string => text.replaceAll("\r\n", "\n").replaceAll(unsafe, replacement)

const replacement = (character: string): string => {
  if (character === "\n" || character === "\t") return character
  if (character === "\x7F") return "\u2421"
  return character < " " ? String.fromCharCode(0x2400 + character.charCodeAt(0)) : "\uFFFD"
}

/** Writes what `JSON.stringify` leaves of such characters as `\u` and its code, so that the value stays the same. */
export const escapeControls = (json: string): string =>
  json.replaceAll(unsafe, (character) =>
    character === "\n" || character === "\t" ? character : character.split("").map(escapeUnit).join("")
  )

const escapeUnit = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`

/** The same in a single line. */
export const toSingleLine = (text: string): string => replaceControls(text.replaceAll(/[\r\n\u2028\u2029]\s*/g, " "))
