/** Parts that servers send mixed are written one after the other, and none is lost or written twice. */
import { describe, expect, it } from "@effect/vitest"
import type { Format } from "../../src/protocol/blocks.ts"
import { makeWriter } from "../../src/protocol/blocks.ts"
import { StreamError } from "../../src/ProviderError.ts"
import type { ContentChunk, FinishReason, ToolCall, ToolCallDelta } from "../../src/StreamingChunk.ts"

/** Writes `(begin)`, `text[…]` for each block, with `|` between its parts and `!` if it is cut, and the finish reason. */
const format: Format = {
  begin: () => "(begin)",
  open: (block) => `${block.kind === "call" ? `${block.name}#${block.id}` : block.kind}[`,
  delta: (text) => (text === "too long" ? undefined : `${text}|`),
  close: (isCut) => (isCut ? "!]" : "]"),
  end: ({ finishReason }) => `(${finishReason})`,
  failure: ({ _tag }) => `(${_tag})`
}

type Step = string | Partial<ContentChunk>

const toChunk = (step: Step): ContentChunk => ({
  content: typeof step === "string" ? step : "",
  isFinal: false,
  ...(typeof step === "string" ? {} : step)
})

/** What is written, with a space after each chunk. */
const write = (steps: ReadonlyArray<Step>, finishReason: FinishReason = "stop"): string => {
  const writer = makeWriter(format)
  const final = { content: "", isFinal: true, model: "m", finishReason } as const
  return [...steps.map(toChunk).map(writer.chunk), writer.chunk(final)].join(" ")
}

const fragments = (...toolCallDeltas: ReadonlyArray<ToolCallDelta>): Step => ({ toolCallDeltas })
const whole = (...toolCalls: ReadonlyArray<ToolCall>): Step => ({ toolCalls })
const a = { id: "a", name: "f" }
const b = { id: "b", name: "g" }

const table: Readonly<Record<string, readonly [steps: ReadonlyArray<Step>, written: string, reason?: FinishReason]>> = {
  nothing: [[], "(begin)(stop)"],
  "empty chunks": [["", { thinking: "" }], "  (begin)(stop)"],
  texts: [["x", "y"], "(begin)text[x| y| ](stop)"],
  "thinking and text in turns": [
    [{ thinking: "t", content: "x" }, { thinking: "u" }],
    "(begin)thinking[t|]text[x| ]thinking[u| ](stop)"
  ],
  "whole calls": [
    ["x", whole({ ...a, arguments: { n: 1 } }, { ...b, arguments: {} })],
    '(begin)text[x| ]f#a[{"n":1}|]g#b[{}|] (stop)'
  ],
  "calls of the same id": [[whole({ ...a, arguments: 1 }, { ...a, arguments: 2 })], "(begin)f#a[1|]f#a[2|] (stop)"],
  fragments: [
    [
      fragments({ index: 0, ...a, argumentsDelta: "" }),
      fragments({ index: 0, argumentsDelta: '{"n":' }),
      fragments({ index: 0, argumentsDelta: "1}" }),
      whole({ ...a, arguments: { n: 1 } })
    ],
    ' (begin)f#a[{"n":| 1}| ] (stop)'
  ],
  "a second call after the first is complete": [
    [
      fragments({ index: 0, ...a, argumentsDelta: "{}" }),
      fragments({ index: 1, ...b, argumentsDelta: "[" }),
      fragments({ index: 1, argumentsDelta: "]" }),
      whole({ ...a, arguments: {} }, { ...b, arguments: [] })
    ],
    "(begin)f#a[{}| ]g#b[[| ]| ] (stop)"
  ],
  "calls whose fragments are mixed": [
    [
      fragments({ index: 0, ...a, argumentsDelta: '{"n":' }),
      fragments({ index: 1, ...b, argumentsDelta: '{"m":' }),
      fragments({ index: 0, argumentsDelta: "1}" }),
      fragments({ index: 1, argumentsDelta: "2}" }),
      whole({ ...a, arguments: { n: 1 } }, { ...b, arguments: { m: 2 } })
    ],
    '(begin)f#a[{"n":|  1}|  ]g#b[{"m":2}|] (stop)'
  ],
  "a text amid a call": [
    [
      fragments({ index: 0, ...a, argumentsDelta: "{" }),
      "x",
      { thinking: "t" },
      fragments({ index: 0, argumentsDelta: "}" }),
      "y",
      whole({ ...a, arguments: {} }),
      "z"
    ],
    "(begin)f#a[{|   }|  ]text[x|]thinking[t|]text[y| z| ](stop)"
  ],
  "a text after a call that is complete": [
    [fragments({ index: 0, ...a, argumentsDelta: "{}" }), "x", whole({ ...a, arguments: {} })],
    "(begin)f#a[{}| ]text[x|  ](stop)"
  ],
  "another call while one is open": [
    [
      fragments({ index: 0, ...a, argumentsDelta: "{" }),
      whole({ ...b, arguments: {} }),
      whole({ ...a, arguments: {} })
    ],
    "(begin)f#a[{|  ]g#b[{}|] (stop)"
  ],
  "fragments of a call that has no id": [
    [fragments({ index: 0, name: "f", argumentsDelta: "{}" }), whole({ id: "call_0", name: "f", arguments: {} })],
    " (begin)f#call_0[{}|] (stop)"
  ],
  "an id and a name one after the other": [
    [
      fragments({ index: 0, id: "a", argumentsDelta: "" }),
      fragments({ index: 0, name: "f", argumentsDelta: "" }),
      fragments({ index: 0, argumentsDelta: "{}" }),
      whole({ ...a, arguments: {} })
    ],
    "  (begin)f#a[{}| ] (stop)"
  ],
  "a name in parts": [
    [
      fragments({ index: 0, id: "a", name: "get", argumentsDelta: "" }),
      fragments({ index: 0, name: "_it", argumentsDelta: "" }),
      fragments({ index: 0, argumentsDelta: "{}" }),
      whole({ id: "a", name: "get_it", arguments: {} })
    ],
    "   (begin)get_it#a[{}|] (stop)"
  ],
  "a name that changes after the arguments began": [
    [fragments({ index: 0, ...a, argumentsDelta: "{}" }), whole({ ...a, name: "ff", arguments: {} }), "x"],
    "(begin)f#a[{}| (StreamError)  "
  ],
  "a later call before the first": [
    [fragments({ index: 1, ...b, argumentsDelta: "{}" }), whole({ ...a, arguments: {} }, { ...b, arguments: {} })],
    " (begin)f#a[{}|]g#b[{}|] (stop)"
  ],
  "a call that is cut": [
    ["x", fragments({ index: 0, ...a, argumentsDelta: '{"n' })],
    '(begin)text[x| ]f#a[{"n| !](length)',
    "length"
  ],
  "a text that is cut": [["x"], "(begin)text[x| !](length)", "length"],
  "arguments without a JSON text": [[whole({ ...a, arguments: undefined })], "(begin)f#a[{}|] (stop)"],
  "a text that is too long": [["x", "too long", "y"], "(begin)text[x| (StreamError)  "]
}

describe("the records of", () => {
  it.each(Object.entries(table))("%s", (_, [steps, written, reason]) => expect(write(steps, reason)).toBe(written))
})

describe("a failure", () => {
  it("is written once, after the beginning", () => {
    const writer = makeWriter(format)
    expect(writer.failure(new StreamError({}))).toBe("(begin)(StreamError)")
    expect(writer.failure(new StreamError({}))).toBe("")
    expect(writer.chunk(toChunk("x"))).toBe("")
  })

  it("comes after all that arrived before it", () => {
    const writer = makeWriter(format)
    writer.chunk(toChunk(fragments({ index: 0, ...a, argumentsDelta: "{" })))
    writer.chunk(toChunk("x"))
    expect(writer.failure(new StreamError({}))).toBe("!]text[x|(StreamError)")
  })
})
