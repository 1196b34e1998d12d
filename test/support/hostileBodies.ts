/** Bodies that no client should send: valid ones with a wrong value at each place. */
import * as Json from "../../src/values/json.ts"

/** A value of that depth. */
export const nested = (depth: number): unknown => JSON.parse(`${"[".repeat(depth)}${"]".repeat(depth)}`)

const values: ReadonlyArray<unknown> = [
  null,
  true,
  -1,
  // As `1e999` is read.
  Infinity,
  "",
  "\ud83d",
  [null],
  {},
  { type: 5 },
  { type: "__proto__" },
  JSON.parse('{"__proto__":{"type":"text","text":"x"},"constructor":{"prototype":{}}}'),
  nested(10_000)
]

/** Copies of a value, each with another value at one place, or without it. */
export function* mutate(value: unknown): Generator<unknown> {
  yield* values
  if (Array.isArray(value)) {
    for (const [i, each] of value.entries()) {
      for (const other of mutate(each)) yield value.toSpliced(i, 1, other)
      yield value.toSpliced(i, 1)
    }
  } else if (Json.isObject(value)) {
    for (const [key, each] of Object.entries(value)) {
      for (const other of mutate(each)) yield { ...value, [key]: other }
      const { [key]: _, ...rest } = value
      yield rest
    }
  }
}
