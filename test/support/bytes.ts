/** Ways to cut an answer into the pieces that a network might deliver. */

export const encode = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Pieces of these lengths, again and again. */
export const cutBy = (bytes: Uint8Array, lengths: ReadonlyArray<number>): Array<Uint8Array> => {
  const pieces: Array<Uint8Array> = []
  for (let start = 0, i = 0; start < bytes.length; i++) {
    const length = Math.max(1, lengths[i % lengths.length] ?? bytes.length)
    pieces.push(bytes.subarray(start, start + length))
    start += length
  }
  return pieces
}

export const cuttings = {
  whole: (bytes) => [bytes],
  "byte by byte": (bytes) => cutBy(bytes, [1]),
  "odd pieces": (bytes) => cutBy(bytes, [1, 61, 2, 211, 3, 7, 1021, 5])
} satisfies Record<string, (bytes: Uint8Array) => Array<Uint8Array>>
