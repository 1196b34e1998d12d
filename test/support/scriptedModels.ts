/** What the scripted models of `test/real/models` say, piece by piece as their tokens come. */

const words = (
  "The sky is blue because air scatters short waves of sunlight far more than long ones so wherever you look that " +
  "scattered light arrives from every direction at once and our eyes which care little for violet call it while dusk " +
  "its path grows longer leaving red"
).split(" ")

/** `sky`: a sentence of 49 tokens. */
export const sky: ReadonlyArray<string> = [...words.map((word, i) => (i === 0 ? word : ` ${word}`)), "."]

/** `endless`: the same sentence again and again. */
export const endless = (tokens: number): ReadonlyArray<string> =>
  Array.from({ length: tokens }, (_, i) => (i === 0 ? sky[0] : sky[1 + ((i - 1) % (sky.length - 1))]) ?? "")

/** `utf8`: é, 中 and 😀 are several tokens each. */
export const utf8: ReadonlyArray<string> = ["Caf", "é", ", ", "中", "文", " and ", "😀", " end"]

/** `think`: reasoning, then an answer. */
export const think = {
  thinking: ["Let", " me", " see", ": Rayleigh"],
  content: ["Because", " of", " scattering"]
} as const

/** `tool`: one call. */
export const tool = { name: "get_weather", arguments: { city: "Paris", unit: "c" } } as const

/** `json`: an object. */
export const json: ReadonlyArray<string> = ['{"', "city", '": ', '"Par', 'is",', ' "', "celsius", '":', " 21", "}"]

/** `repeat`: never ends; Ollama stops it after 32 tokens without an end marker. */
export const repeat = (tokens: number): ReadonlyArray<string> =>
  Array.from({ length: tokens }, (_, i) => (i === 0 ? "Ha" : " ha"))
