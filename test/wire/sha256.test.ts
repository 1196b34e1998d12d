import { expect, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import { sha256 } from "../../src/values/sha256.ts"

const reference = (text: string) => createHash("sha256").update(text).digest("hex")

it.prop("the SHA-256 of any text", { text: Schema.String }, ({ text }) => {
  expect(sha256(text)).toBe(reference(text))
})

it("the SHA-256 of texts of each length around the blocks", () => {
  for (let length = 0; length < 260; length++) {
    const text = "x".repeat(length)
    expect(sha256(text)).toBe(reference(text))
  }
  const long = "é𝄞".repeat(100_000)
  expect(sha256(long)).toBe(reference(long))
})
