/** How much room text takes on a terminal. */

const segmenter = new Intl.Segmenter()

/** The East Asian wide characters, and emoji. */
const wide =
  /^[\p{Emoji_Presentation}\u1100-\u115F\u2E80-\u303E\u3041-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\uFFE0-\uFFE6\u{20000}-\u{3FFFD}]|\uFE0F/u

const widthOf = (character: string): number => (/^[\p{M}\p{Cf}]+$/u.test(character) ? 0 : wide.test(character) ? 2 : 1)

const isAscii = (text: string): boolean => /^[ -~]*$/.test(text)

export const width = (text: string): number => {
  if (isAscii(text)) return text.length
  let columns = 0
  for (const { segment } of segmenter.segment(text)) columns += widthOf(segment)
  return columns
}

/** Fills text up with spaces. */
export const pad = (text: string, columns: number): string => text + " ".repeat(Math.max(0, columns - width(text)))

/** Cuts text that is too wide, and marks that. Divides no character. */
export const cut = (text: string, columns: number): string => {
  if (width(text) <= columns) return text
  let kept = ""
  let room = columns - 1
  for (const { segment } of segmenter.segment(text)) {
    room -= widthOf(segment)
    if (room < 0) break
    kept += segment
  }
  return columns < 1 ? "" : `${kept}…`
}

/** The size of a terminal. Some report none. */
export const sizeOf = (stream: NodeJS.WriteStream): { readonly columns: number; readonly rows: number } => ({
  columns: stream.columns || 80,
  rows: stream.rows || 24
})
