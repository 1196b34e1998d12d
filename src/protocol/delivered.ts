/**
 * What was delivered of an answer. Servers that send an answer in pieces may send all of it again: in another field, or with its
 * last chunk. To tell that, the length and the beginning of the text are kept, not the text.
 */

/** So much of the beginning is compared. */
const headLength = 64

/** `longestPiece`: up to this length, a single piece that comes again may be a word that the model wrote twice. */
export const make = (longestPiece: number) => {
  let head = ""
  let length = 0
  let pieces = 0

  const startsWithAll = (text: string): boolean => length > 0 && text.length >= length && text.startsWith(head)

  return {
    add: (text: string): void => {
      if (head.length < headLength) head += text.slice(0, headLength - head.length)
      length += text.length
      pieces++
    },
    /** Whether a text begins with everything that was delivered, which no model is expected to write again. */
    isRepeatedBy: (text: string): boolean => (pieces > 1 || length > longestPiece) && startsWithAll(text),
    /** What a repetition has beyond that. */
    restOf: (repetition: string): string => (startsWithAll(repetition) ? repetition.slice(length) : "")
  }
}

/** One kind of text of an answer, such as its thinking. `longestPiece` as for `make`. */
export const makeText = (longestPiece: number) => {
  const delivered = make(longestPiece)
  let lowestRank = Infinity

  const add = (text: string, rank = 0): void => {
    if (rank < lowestRank) lowestRank = rank
    delivered.add(text)
  }

  return {
    add,
    /**
     * What is new in a text. `isLast`: the server says that the answer ends. `rank`: a field with a higher one repeats those with
     * lower ones.
     */
    read: (text: string, isLast: boolean, rank = 0): string => {
      if (text === "") return ""
      const isRepetition = rank > lowestRank || (isLast && delivered.isRepeatedBy(text))
      const added = isRepetition ? delivered.restOf(text) : text
      if (added !== "") add(added, rank)
      return added
    }
  }
}
