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
