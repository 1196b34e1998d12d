/** The prefixes of prompts that a host has in its cache. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { ChatRequest, CompletionRequest, Message } from "../../../src/CompletionRequest.ts"
import * as Prompt from "../../../src/policies/pool/prompt.ts"

const user = (content: string): Message => ({ role: "user", content })
const assistant = (content: string): Message => ({ role: "assistant", content })
const chat = (...messages: ReadonlyArray<Message>): ChatRequest => ({ model: "m", messages })
const long = "A document. ".repeat(1000)

const cachedOf = (read: ReadonlyArray<CompletionRequest>, request: CompletionRequest) => {
  const prefixes = Prompt.makePrefixes()
  for (const each of read) {
    const prompt = Prompt.ofRequest(each)
    prefixes.add(prompt, prefixes.find(prompt, -Infinity, []))
  }
  const prompt = Prompt.ofRequest(request)
  return { prompt, cached: prefixes.find(prompt, -Infinity, []).characters }
}

const rows: ReadonlyArray<
  readonly [what: string, read: CompletionRequest, request: CompletionRequest, cached: number | "none"]
> = [
  ["the same prompt", chat(user("a")), chat(user("a")), 1],
  [
    "the next turn, whatever became of the completion",
    chat(user("abc")),
    chat(user("abc"), assistant("xy"), user("d")),
    5
  ],
  [
    "a system message that is shared",
    chat({ role: "system", content: "be kind" }, user("a")),
    chat({ role: "system", content: "be kind" }, user("b")),
    7
  ],
  ["a document with another question after it", chat(user(`${long}Why?`)), chat(user(`${long}How?`)), 11 * 1024],
  ["a prompt without a template", { model: "m", prompt: `${long}a` }, { model: "m", prompt: `${long}b` }, 11 * 1024],
  ["another model", chat(user(long)), { ...chat(user(long)), model: "n" }, "none"],
  ["another role", chat(user(long)), chat({ role: "system", content: long }), "none"],
  ["another beginning", chat(user(`a${long}`)), chat(user(`b${long}`)), "none"],
  [
    "other tools",
    { ...chat(user(long)), tools: [{ name: "f" }] },
    { ...chat(user(long)), tools: [{ name: "g" }] },
    "none"
  ],
  ["another image", chat({ ...user(""), images: ["aa"] }), chat({ ...user(""), images: ["ab"] }), 0]
]

for (const [what, read, request, expected] of rows) {
  it(`${what}: ${expected === "none" ? "nothing is cached" : `${expected} characters are cached`}`, () => {
    expect(cachedOf([read], request).cached).toBe(expected === "none" ? 0 : expected)
  })
}

it("a result of a tool is new, and what was before it is cached", () => {
  const call: Message = { role: "assistant", content: "", toolCalls: [{ id: "c", name: "f", arguments: {} }] }
  const result: Message = { role: "tool", content: "42", toolCallId: "c", toolName: "f" }
  const { cached, prompt } = cachedOf([chat(user("abc"))], chat(user("abc"), call, result))
  expect([cached, prompt.characters]).toEqual([3, 5])
})

it("a prefix is read again while a request uses the only copy of it", () => {
  const prefixes = Prompt.makePrefixes()
  const prompt = Prompt.ofRequest(chat(user(long)))
  const nothing = prefixes.find(prompt, -Infinity, [])
  prefixes.add(prompt, nothing)
  expect(prefixes.find(prompt, -Infinity, []).characters).toBe(12_000)
  expect(prefixes.find(prompt, -Infinity, [{ prompt }]).characters).toBe(0)
  prefixes.add(prompt, nothing)
  expect(prefixes.find(prompt, -Infinity, [{ prompt }]).characters).toBe(12_000)
})

it("reading before the model was unloaded does not count", () => {
  const prefixes = Prompt.makePrefixes()
  const prompt = Prompt.ofRequest(chat(user(long)))
  prefixes.add(prompt, prefixes.find(prompt, -Infinity, []))
  expect(prefixes.find(prompt, prefixes.read() + 1, []).characters).toBe(0)
})

it("a server that reads everything anew has a smaller cache", () => {
  const prefixes = Prompt.makePrefixes()
  const read = (request: CompletionRequest) => {
    const prompt = Prompt.ofRequest(request)
    const cached = prefixes.find(prompt, -Infinity, [])
    prefixes.add(prompt, cached)
    return { prompt, cached }
  }
  // The server keeps about 50,000 characters, and 100,000 others come between two turns.
  for (let round = 0; round < 12; round++) {
    const { cached, prompt } = read(chat(user(`first ${long}`)))
    prefixes.correct(prompt, cached, 0)
    for (let i = 0; i < 8; i++) read(chat(user(`${round} ${i} ${long}`)))
  }
  expect(prefixes.find(Prompt.ofRequest(chat(user(`first ${long}`))), -Infinity, []).characters).toBe(0)
  // What was read just now is still expected there.
  expect(prefixes.find(Prompt.ofRequest(chat(user(`11 7 ${long}`))), -Infinity, []).characters).toBeGreaterThan(10_000)
})

it("a prompt that is gone at once, by another request, does not show a small cache", () => {
  const prefixes = Prompt.makePrefixes()
  const read = (request: CompletionRequest) => {
    const prompt = Prompt.ofRequest(request)
    const cached = prefixes.find(prompt, -Infinity, [])
    prefixes.add(prompt, cached)
    return { prompt, cached }
  }
  read(chat(user(`first ${long}`)))
  read(chat(user(`second ${long}`)))
  read(chat(user(`third ${long}`)))
  const { cached, prompt } = read(chat(user(`third ${long}`)))
  prefixes.correct(prompt, cached, 0)
  expect(prefixes.find(Prompt.ofRequest(chat(user(`first ${long}`))), -Infinity, []).characters).toBeGreaterThan(10_000)
})

it("the blocks of a host are bounded in number", () => {
  const prefixes = Prompt.makePrefixes()
  const first = Prompt.ofRequest(chat(user("first")))
  prefixes.add(first, prefixes.find(first, -Infinity, []))
  for (let i = 0; i < 10_000; i++) {
    const prompt = Prompt.ofRequest(chat(user(`${i}`)))
    prefixes.add(prompt, prefixes.find(prompt, -Infinity, []))
  }
  expect(prefixes.find(first, -Infinity, []).known).toBe(0)
})

it.effect.prop(
  "for any two conversations: at most what they have in common is cached, and at least all of its whole blocks",
  {
    shared: Schema.Array(Schema.String.check(Schema.isMaxLength(50))).check(Schema.isMaxLength(6)),
    hint: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 12 }))
  },
  ({ hint, shared }) =>
    Effect.sync(() => {
      const messages = shared.map(user)
      const prefixes = Prompt.makePrefixes()
      const read = Prompt.ofRequest(chat(...messages, user("one")))
      prefixes.add(read, prefixes.find(read, -Infinity, []))
      const other = Prompt.ofRequest(chat(...messages, user("two")))
      other.hint = hint
      expect(prefixes.find(other, -Infinity, []).known).toBe(shared.reduce((sum, text) => sum + text.length, 0))
    })
)

it("what hosts share of their blocks is forgotten with the blocks and with the host", () => {
  const readers: Prompt.Readers = new Map()
  const [one, two] = [Prompt.makePrefixes(readers), Prompt.makePrefixes(readers)]
  const shared = Prompt.ofRequest(chat(user("shared")))
  for (const prefixes of [one, two]) prefixes.add(shared, prefixes.find(shared, -Infinity, []))
  expect(one.find(shared, -Infinity, []).known).toBe(6)
  for (let i = 0; i < 10_000; i++) {
    const prompt = Prompt.ofRequest(chat(user(`${i}`)))
    one.add(prompt, one.find(prompt, -Infinity, []))
  }
  expect(one.find(shared, -Infinity, []).known).toBe(0)
  expect(two.find(shared, -Infinity, []).known).toBe(6)
  expect(readers.size).toBeLessThan(8200)
  one.close()
  expect([...readers.values()].map(({ size }) => size)).toEqual([1])
  two.close()
  expect(readers.size).toBe(0)
})

it("characters after the last block that is looked up are counted, not hashed", () => {
  const text = "0123456789".repeat(500_000)
  const { characters, ends, hashes } = Prompt.ofRequest(chat(user(text), user("x")))
  expect({ characters, blocks: hashes.length, end: ends.at(-1) }).toEqual({
    characters: 5_000_001,
    blocks: 4096,
    end: 4096 * 1024
  })
})
