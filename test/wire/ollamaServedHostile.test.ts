/** Hostile requests on the routes of Ollama: each is read or refused, whatever its fields have. */
import { describe, expect, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as CompletionRequest from "../../src/CompletionRequest.ts"
import * as Embedding from "../../src/Embedding.ts"
import { chat, generate } from "../../src/protocol/ollama/endpoints.ts"
import * as Models from "../../src/protocol/ollama/servedModels.ts"
import { decodeChat, decodeGenerate } from "../../src/protocol/ollama/servedRequest.ts"
import * as RequestBody from "../../src/protocol/requestBody.ts"
import type { Decode, ReceivedCompletion, ReceivedEmbedding } from "../../src/protocol/served.ts"
import type { JsonObject } from "../../src/values/json.ts"
import * as Json from "../../src/values/json.ts"
import * as Values from "../../src/values/objects.ts"

const deep = (levels: number, open: string, close: string): unknown =>
  JSON.parse(`${open.repeat(levels)}1${close.repeat(levels)}`)

/** The core refuses what is nested more than 500 deep. */
const values: ReadonlyArray<unknown> = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  -1e308,
  Number.MAX_SAFE_INTEGER,
  // As `1e999` is read.
  Infinity,
  "",
  "x",
  "\ud800",
  "\0",
  "__proto__",
  "x".repeat(1_000_000),
  "-".repeat(100_000),
  "1h".repeat(100_000),
  [],
  [[]],
  [null],
  [{}],
  [5],
  ["a", "a"],
  Array.from({ length: 100_000 }, () => "a"),
  Array.from({ length: 10_000 }, () => ({})),
  {},
  JSON.parse('{"__proto__":{"polluted":true}}'),
  JSON.parse('{"constructor":{"prototype":{"polluted":true}},"toString":1,"hasOwnProperty":2}'),
  { length: 5 },
  deep(400, "[", "]"),
  deep(5000, "[", "]"),
  deep(5000, '{"a":', "}"),
  deep(1000, '{"anyOf":[', "]}"),
  { $ref: "#" },
  { $ref: "#/$defs/a", $defs: { a: { $ref: "#/$defs/a" } } }
]

const call = { id: "a", function: { name: "f", arguments: {} } }
const chatBody = {
  model: "m",
  messages: [
    { role: "user", content: "Hi", images: ["iVBORw0KGgo="] },
    { role: "assistant", content: "", thinking: "Hm", tool_calls: [call] },
    { role: "tool", content: "1", tool_call_id: "a", tool_name: "f", name: "f" }
  ],
  tools: [{ type: "function", function: { name: "f", description: "d", parameters: { type: "object" } } }],
  stream: true,
  format: "json",
  think: true,
  keep_alive: "5m",
  truncate: false,
  shift: false,
  logprobs: false,
  top_logprobs: 0,
  _debug_render_only: false,
  options: { temperature: 1, top_p: 1, top_k: 1, seed: 1, stop: ["a"], num_predict: 1, num_ctx: 1, num_gpu: 1 }
}
const { messages: _messages, tools: _tools, ...common } = chatBody
const generateBody = {
  ...common,
  prompt: "Once",
  suffix: "end",
  system: "s",
  template: "t",
  raw: false,
  images: ["iVBORw0KGgo="],
  context: []
}
const embedBody = { model: "m", input: ["a"], truncate: true, dimensions: 2, keep_alive: 5, options: { seed: 1 } }

/** The body with each of its fields, however deep, replaced in turn. */
const replacements = (body: JsonObject, value: unknown): ReadonlyArray<JsonObject> =>
  Object.entries(body).flatMap(([key, inner]) =>
    replace(inner, value).map((each) => Object.fromEntries([...Object.entries(body), [key, each]]))
  )

const replace = (whole: unknown, value: unknown): ReadonlyArray<unknown> => [
  value,
  ...(Array.isArray(whole)
    ? whole.flatMap((inner, i) => replace(inner, value).map((each) => whole.with(i, each)))
    : Json.isObject(whole)
      ? replacements(whole, value)
      : [])
]

/** What the provider behind it does first: it checks the request, and writes it. */
const checkCompletion = ({ only = {}, request, tuning = {} }: ReceivedCompletion) => {
  const whole = { ...request, ...tuning, extra: Values.merge(tuning.extra ?? {}, only) }
  expect(Result.isSuccess(CompletionRequest.validate(whole))).toBe(true)
  const encoded = (whole.messages === undefined ? generate : chat).encode(whole)
  const text = Result.flatMap(encoded, (body) => RequestBody.stringify(body))
  expect(Result.isSuccess(text) || text.failure._tag === "InvalidRequest").toBe(true)
}

/** Reads a body. What is wrong with it is in a field that is named. */
const attack =
  <A>(decode: Decode<A>, check: (received: A) => void) =>
  (body: JsonObject): void => {
    const received = decode(body)
    if (Result.isSuccess(received)) return check(received.success)
    expect(received.failure).toMatchObject({ _tag: "InvalidRequest", field: expect.stringMatching(/^[a-z_]/) })
    expect(received.failure.message.length).toBeLessThan(300)
  }

const checkEmbedding = ({ request, tuning }: ReceivedEmbedding) =>
  expect(Result.isSuccess(Embedding.validate({ ...request, ...tuning }))).toBe(true)

const noCheck = () => undefined

describe.each([
  ["chat", chatBody, attack(decodeChat, checkCompletion)],
  ["generate", generateBody, attack(decodeGenerate, checkCompletion)],
  ["embed", embedBody, attack(Models.decodeEmbed, checkEmbedding)],
  ["embeddings", { model: "m", prompt: "a", keep_alive: 5, options: {} }, attack(Models.decodeEmbeddings, noCheck)],
  ["show", { model: "m", name: "m" }, attack(Models.decodeName, noCheck)],
  ["pull", { model: "m", name: "m", stream: true, insecure: false }, attack(Models.decodePull, noCheck)]
] as const)("%s", (_, body, run) => {
  it.each(Array.from(values, (_, i) => i))("value %i in each field", (i) => {
    for (const hostile of replacements(body, values[i])) run(hostile)
    expect({}).not.toHaveProperty("polluted")
  })
})

it("a conversation of any size is read in linear time", () => {
  const count = 50_000
  const calls = Array.from({ length: count }, () => ({ function: { name: "f", arguments: {} } }))
  const named = Array.from({ length: count / 2 }, () => ({ role: "tool", content: "", tool_name: "f" }))
  const unnamed = Array.from({ length: count / 2 }, () => ({ role: "tool", content: "" }))
  const messages = [{ role: "assistant", tool_calls: calls }, ...named, ...unnamed]
  const { request } = Result.getOrThrow(decodeChat({ model: "m", messages }))
  expect(request.messages?.at(-1)).toEqual({ role: "tool", content: "", toolCallId: `call_${count - 1}` })
}, 20_000)
