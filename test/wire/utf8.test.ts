import { describe, expect, it } from "@effect/vitest"
import { utf8Length } from "../../src/values/text.ts"

describe("the length in UTF-8 is the length of the encoded text", () => {
  const texts = [
    "",
    "abc",
    "\u0000\u007f\u0080\u07ff\u0800\uffff",
    "é中😀",
    "\ud83d",
    "\ude00",
    "\ude00\ud83d",
    "\ud83d\ud83d\ude00a"
  ]
  for (const text of texts) {
    it(JSON.stringify(text), () => expect(utf8Length(text)).toBe(new TextEncoder().encode(text).length))
  }
})
