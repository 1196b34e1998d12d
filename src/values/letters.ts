/** The vectors of fakes: how often each letter occurs. Texts with the same letters are near each other. */

/** A vector of `dimensions` numbers with length 1, or of zeros if the text has no letters. Default: 26, one for each letter. */
export const toVector = (text: string, dimensions = 26): ReadonlyArray<number> => {
  const counts = Array.from({ length: dimensions }, () => 0)
  for (const letter of text.toLowerCase()) {
    const index = letter.charCodeAt(0) - 97
    if (index >= 0 && index < 26) counts[index % dimensions] = (counts[index % dimensions] ?? 0) + 1
  }
  const length = Math.hypot(...counts)
  return length === 0 ? counts : counts.map((count) => count / length)
}
