/** Tool calls of the OpenAI-compatible routes, also with what servers get wrong, and hostile fragments. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { dialect as lmStudio } from "../../src/servers/lmStudio.ts"
import * as Endpoints from "../../src/protocol/openai/endpoints.ts"
import { encode } from "../support/bytes.ts"
import { decode } from "../support/decoding.ts"
import type { Row } from "../support/openaiEvents.ts"
import {
  calls,
  checkRow,
  chunk,
  DONE,
  failure,
  final,
  finalWithCalls,
  finish,
  fragment
} from "../support/openaiEvents.ts"
import { record } from "../support/transcript.ts"

const chat = Endpoints.chat(lmStudio)

/** The text of an object with that many objects in each other. */
const nested = (depth: number): string => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`

const whole: Readonly<Record<string, Row>> = {
  "a call in fragments": {
    events: [
      calls(fragment("", { index: 0, id: "a" }, "f")),
      calls(fragment('{"x"', { index: 0 })),
      calls(fragment(":1}", { index: 0 })),
      finish("tool_calls"),
      DONE
    ],
    pieces: '[0#a f(]|[0({"x"]|[0(:1}]|',
    calls: [{ id: "a", name: "f", arguments: { x: 1 } }],
    final: finalWithCalls
  },
  "a call with the finish": {
    events: [chunk({ tool_calls: [fragment("{}", { index: 0, id: "a" }, "f")] }, "tool_calls"), DONE],
    pieces: "[0#a f({}]|",
    calls: [{ id: "a", name: "f", arguments: {} }],
    final: finalWithCalls
  },
  "a call that ends with stop": {
    events: [calls(fragment("{}", { index: 0, id: "a" }, "f")), finish("stop"), DONE],
    pieces: "[0#a f({}]|",
    calls: [{ id: "a", name: "f", arguments: {} }],
    final: finalWithCalls
  },
  "fragments without an index": {
    events: [
      calls(fragment("", { id: "a" }, "f")),
      calls(fragment("{}")),
      calls(fragment("", { id: "b" }, "g")),
      calls(fragment('{"y":2}')),
      finish("tool_calls"),
      DONE
    ],
    pieces: '[0#a f(]|[0({}]|[1#b g(]|[1({"y":2}]|',
    calls: [
      { id: "a", name: "f", arguments: {} },
      { id: "b", name: "g", arguments: { y: 2 } }
    ],
    final: finalWithCalls
  },
  "index 0 for every call, with ids": {
    events: [
      calls(fragment("{}", { index: 0, id: "a" }, "f")),
      calls(fragment('{"y"', { index: 0, id: "b" }, "g")),
      calls(fragment(":2}", { index: 0 })),
      finish("tool_calls"),
      DONE
    ],
    pieces: '[0#a f({}]|[1#b g({"y"]|[1(:2}]|',
    calls: [
      { id: "a", name: "f", arguments: {} },
      { id: "b", name: "g", arguments: { y: 2 } }
    ],
    final: finalWithCalls
  },
  "an index that begins at 1": {
    events: [calls(fragment("{}", { index: 1, id: "a" }, "f")), finish("tool_calls"), DONE],
    pieces: "[0#a f({}]|",
    calls: [{ id: "a", name: "f", arguments: {} }],
    final: finalWithCalls
  },
  "calls in parallel with mixed fragments": {
    events: [
      calls(fragment("", { index: 0, id: "a" }, "f"), fragment("", { index: 1, id: "b" }, "g")),
      calls(fragment('{"y":', { index: 1 })),
      calls(fragment('{"x":', { index: 0 }), fragment("2}", { index: 1 })),
      calls(fragment("1}", { index: 0 })),
      finish("tool_calls"),
      DONE
    ],
    pieces: '[0#a f(][1#b g(]|[1({"y":]|[0({"x":][1(2}]|[0(1}]|',
    calls: [
      { id: "a", name: "f", arguments: { x: 1 } },
      { id: "b", name: "g", arguments: { y: 2 } }
    ],
    final: finalWithCalls
  },
  "the id in every fragment": {
    events: [
      calls(fragment("{", { id: "a" }, "f")),
      calls(fragment("{", { id: "b" }, "g")),
      calls(fragment("}", { id: "a" })),
      calls(fragment("}", { id: "b" })),
      finish("tool_calls"),
      DONE
    ],
    pieces: "[0#a f({]|[1#b g({]|[0#a(}]|[1#b(}]|",
    calls: [
      { id: "a", name: "f", arguments: {} },
      { id: "b", name: "g", arguments: {} }
    ],
    final: finalWithCalls
  },
  'an empty id, and "" for a name that was sent before': {
    events: [
      calls(fragment("{", { index: 0, id: "" }, "f")),
      calls(fragment("}", { index: 0, id: "" }, "")),
      finish("tool_calls"),
      DONE
    ],
    pieces: "[0 f({]|[0(}]|",
    calls: [{ id: "call_0", name: "f", arguments: {} }],
    final: finalWithCalls
  },
  "the id and the name after the first fragment": {
    events: [
      calls(fragment("", { index: 0 })),
      calls(fragment("{}", { index: 0, id: "a" }, "f")),
      finish("tool_calls"),
      DONE
    ],
    pieces: "[0(]|[0#a f({}]|",
    calls: [{ id: "a", name: "f", arguments: {} }],
    final: finalWithCalls
  },
  "no id": {
    events: [calls(fragment("{}", { index: 0 }, "f"), fragment("{}", { index: 1 }, "g")), finish("tool_calls"), DONE],
    pieces: "[0 f({}][1 g({}]|",
    calls: [
      { id: "call_0", name: "f", arguments: {} },
      { id: "call_1", name: "g", arguments: {} }
    ],
    final: finalWithCalls
  },
  "empty arguments": {
    events: [
      calls(fragment("", { id: "a" }, "f")),
      calls({ id: "b", function: { name: "g" } }),
      finish("tool_calls"),
      DONE
    ],
    pieces: "[0#a f(]|[1#b g(]|",
    calls: [
      { id: "a", name: "f", arguments: {} },
      { id: "b", name: "g", arguments: {} }
    ],
    final: finalWithCalls
  },
  "arguments that are nested too deeply": {
    events: [calls(fragment(nested(5000), { id: "a" }, "f")), finish(), DONE],
    pieces: `[0#a f(${nested(5000)}]|`,
    failure: failure("ParseError", { description: "the arguments of tool call 0 are nested too deeply" })
  },
  "arguments that change prototypes": {
    events: [
      calls(fragment('{"a":[{"__pro', { id: "a" }, "f")),
      calls(fragment('to__":1}]}', { index: 0 })),
      finish(),
      DONE
    ],
    pieces: `[0#a f({"a":[{"__pro]|[0(to__":1}]}]|`,
    failure: failure("ParseError", { description: "the arguments of tool call 0 are unsafe: the key `__proto__`" })
  },
  "arguments as an object that changes prototypes": {
    events: [calls(fragment(JSON.parse('{"constructor":{"prototype":1}}'), { id: "a" }, "f")), finish(), DONE],
    pieces: `[0#a f({"constructor":{"prototype":1}}]|`,
    failure: failure("ParseError", {
      description: "the arguments of tool call 0 are unsafe: the key `constructor.prototype`"
    })
  },
  "arguments that are not JSON": {
    events: [calls(fragment('{"x":', { id: "a" }, "f")), finish("tool_calls"), DONE],
    pieces: '[0#a f({"x":]|',
    failure: failure("ParseError", { description: "the arguments of tool call 0 are not JSON" })
  },
  "arguments that are not JSON, without [DONE]": {
    events: [calls(fragment('{"x":', { id: "a" }, "f")), finish("tool_calls")],
    pieces: '[0#a f({"x":]|',
    failure: failure("ParseError", { description: "the arguments of tool call 0 are not JSON" })
  }
}

const lengthFinal = final({ finishReason: "length" })
const first = { id: "a", name: "f", arguments: {} }
const cut: Readonly<Record<string, Row>> = {
  "length takes precedence over tool-calls": {
    events: [calls(fragment("{}", { id: "a" }, "f")), finish("length"), DONE],
    pieces: "[0#a f({}]|",
    calls: [first],
    final: lengthFinal
  },
  "a call with cut arguments is left out": {
    events: [calls(fragment('{"x":', { id: "a" }, "f")), finish("length"), DONE],
    pieces: '[0#a f({"x":]|',
    final: lengthFinal
  },
  "the same with Mistral's word for length": {
    events: [calls(fragment('{"x":', { id: "a" }, "f")), finish("model_length"), DONE],
    pieces: '[0#a f({"x":]|',
    final: lengthFinal
  },
  "the complete calls before it are not": {
    events: [calls(fragment("{}", { id: "a" }, "f"), fragment('{"x":', { id: "b" }, "g")), finish("length"), DONE],
    pieces: '[0#a f({}][1#b g({"x":]|',
    calls: [first],
    final: lengthFinal
  },
  "arguments that had not begun are cut too": {
    events: [calls(fragment("", { id: "a" }, "f"), fragment("", { id: "b" }, "g")), finish("length"), DONE],
    pieces: "[0#a f(][1#b g(]|",
    calls: [first],
    final: lengthFinal
  }
}

const faulty: Readonly<Record<string, Row>> = {
  "the index null, or only on later fragments": {
    events: [
      calls(fragment("{", { index: null }, "f")),
      calls(fragment('"x":', { index: 0 })),
      calls(fragment("1}", { index: null })),
      finish("tool_calls"),
      DONE
    ],
    pieces: '[0 f({]|[0("x":]|[0(1}]|',
    calls: [{ id: "call_0", name: "f", arguments: { x: 1 } }],
    final: finalWithCalls
  },
  "index 0 for every call, without ids": {
    events: [
      calls(fragment('{"x":1}', { index: 0, id: "" }, "f")),
      calls(fragment('{"x":2}', { index: 0, id: "" }, "f")),
      calls(fragment('{"y"', { index: 0, id: "" }, "g")),
      calls(fragment(":3}", { index: 0 })),
      finish("tool_calls"),
      DONE
    ],
    pieces: '[0 f({"x":1}]|[1 f({"x":2}]|[2 g({"y"]|[2(:3}]|',
    calls: [
      { id: "call_0", name: "f", arguments: { x: 1 } },
      { id: "call_1", name: "f", arguments: { x: 2 } },
      { id: "call_2", name: "g", arguments: { y: 3 } }
    ],
    final: finalWithCalls
  },
  "no index for the first call, as of servers that leave out zeros": {
    events: [
      calls(fragment('{"x":', {}, "f")),
      calls(fragment("1}")),
      calls(fragment('{"x":', { index: 1 }, "f")),
      calls(fragment("2}", { index: 1 })),
      finish("tool_calls"),
      DONE
    ],
    pieces: '[0 f({"x":]|[0(1}]|[1 f({"x":]|[1(2}]|',
    calls: [
      { id: "call_0", name: "f", arguments: { x: 1 } },
      { id: "call_1", name: "f", arguments: { x: 2 } }
    ],
    final: finalWithCalls
  },
  "an index of any value": {
    events: [
      calls(
        fragment("{", { index: 1e308 }, "f"),
        fragment("{", { index: -1 }, "g"),
        fragment("{", { index: 0.5 }, "h")
      ),
      calls(fragment("}", { index: 0.5 }), fragment("}", { index: 1e308 }), fragment("}", { index: -1 })),
      finish("tool_calls"),
      DONE
    ],
    pieces: "[0 f({][1 g({][2 h({]|[2(}][0(}][1(}]|",
    calls: ["f", "g", "h"].map((name, i) => ({ id: `call_${i}`, name, arguments: {} })),
    final: finalWithCalls
  },
  "ids that are names of properties": {
    events: [
      calls(fragment("{}", { id: "__proto__" }, "f"), fragment("{}", { id: "constructor" }, "__proto__")),
      finish("tool_calls"),
      DONE
    ],
    pieces: "[0#__proto__ f({}][1#constructor __proto__({}]|",
    calls: [
      { id: "__proto__", name: "f", arguments: {} },
      { id: "constructor", name: "__proto__", arguments: {} }
    ],
    final: finalWithCalls
  },
  "the same id for two calls": {
    events: [
      calls(fragment("{}", { index: 0, id: "a" }, "f")),
      calls(fragment('{"y":', { index: 1, id: "a" }, "g")),
      calls(fragment("2}", { index: 1, id: "a" })),
      finish("tool_calls"),
      DONE
    ],
    pieces: '[0#a f({}]|[1 g({"y":]|[1(2}]|',
    calls: [
      { id: "a", name: "f", arguments: {} },
      { id: "call_1", name: "g", arguments: { y: 2 } }
    ],
    final: finalWithCalls
  },
  "an id that looks like a made one": {
    events: [calls(fragment("{}", { index: 0 }, "f"), fragment("{}", { index: 1, id: "call_0" }, "g")), finish(), DONE],
    pieces: "[0 f({}][1#call_0 g({}]|",
    calls: [
      { id: "call_0_", name: "f", arguments: {} },
      { id: "call_0", name: "g", arguments: {} }
    ],
    final: finalWithCalls
  },
  "a call that is sent twice": {
    events: [
      calls(fragment('{"x"', { index: 0, id: "a" }, "f")),
      calls(fragment(":1}", { index: 0 })),
      calls(fragment('{"x":1}', { index: 0, id: "a" }, "f")),
      finish("tool_calls"),
      DONE
    ],
    pieces: '[0#a f({"x"]|[0(:1}]|[0#a f(]|',
    calls: [{ id: "a", name: "f", arguments: { x: 1 } }],
    final: finalWithCalls
  },
  "a name that is repeated": {
    events: [
      calls(fragment("{", { index: 0, id: "a" }, "f")),
      calls(fragment("}", { index: 0, id: "a" }, "f")),
      finish("tool_calls"),
      DONE
    ],
    pieces: "[0#a f({]|[0#a f(}]|",
    calls: [{ id: "a", name: "f", arguments: {} }],
    final: finalWithCalls
  },
  "a name in fragments": {
    events: [
      calls(fragment("", { index: 0, id: "a" }, "get_")),
      calls(fragment("{}", { index: 0 }, "weather")),
      finish("tool_calls"),
      DONE
    ],
    pieces: "[0#a get_(]|[0 weather({}]|",
    calls: [{ id: "a", name: "get_weather", arguments: {} }],
    final: finalWithCalls
  },
  "a name that is sent longer each time": {
    events: [
      calls(fragment("", { index: 0, id: "a" }, "get")),
      calls(fragment("{}", { index: 0 }, "get_weather")),
      finish("tool_calls"),
      DONE
    ],
    pieces: "[0#a get(]|[0 get_weather({}]|",
    calls: [{ id: "a", name: "get_weather", arguments: {} }],
    final: finalWithCalls
  },
  "arguments before the name": {
    events: [calls(fragment("{}", { index: 0 })), calls(fragment("", { index: 0, id: "a" }, "f")), finish(), DONE],
    pieces: "[0({}]|[0#a f(]|",
    calls: [{ id: "a", name: "f", arguments: {} }],
    final: finalWithCalls
  },
  "arguments as objects": {
    events: [
      calls(fragment({ x: 1 }, { id: "a" }, "f")),
      calls(fragment({ y: 2 }, {}, "g"), fragment({}, {}, "g")),
      finish("tool_calls"),
      DONE
    ],
    pieces: '[0#a f({"x":1}]|[1 g({"y":2}][2 g({}]|',
    calls: [
      { id: "a", name: "f", arguments: { x: 1 } },
      { id: "call_1", name: "g", arguments: { y: 2 } },
      { id: "call_2", name: "g", arguments: {} }
    ],
    final: finalWithCalls
  },
  "arguments that are a list": { events: [calls(fragment([1], {}, "f")), DONE], failure: failure("ParseError") },
  "arguments as an object that is nested too deeply": {
    events: [`data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":${nested(100_000)}}}]}}]}`],
    failure: failure("ParseError")
  },
  "a call without a name": {
    events: [calls(fragment("{}", { index: 0, id: "a" })), finish("tool_calls"), DONE],
    pieces: "[0#a({}]|",
    failure: failure("ParseError", { description: "tool call 0 has no name" })
  },
  "an empty fragment with an index of its own": {
    events: [calls(fragment("{}", { index: 0, id: "a" }, "f")), calls({ index: 1 }), finish("tool_calls"), DONE],
    pieces: "[0#a f({}]|[1(]|",
    calls: [{ id: "a", name: "f", arguments: {} }],
    final: finalWithCalls
  },
  "function_call, the older form": {
    events: [
      chunk({ content: null, function_call: { name: "f", arguments: "" } }),
      chunk({ function_call: { arguments: '{"x":' } }),
      chunk({ function_call: { arguments: "1}" } }),
      finish("function_call"),
      DONE
    ],
    pieces: '[0 f(]|[0({"x":]|[0(1}]|',
    calls: [{ id: "call_0", name: "f", arguments: { x: 1 } }],
    final: finalWithCalls
  },
  "function_call beside tool_calls is the same call": {
    events: [
      chunk({ tool_calls: [fragment("{}", { id: "a" }, "f")], function_call: { name: "f", arguments: "{}" } }),
      finish("tool_calls"),
      DONE
    ],
    pieces: "[0#a f({}]|",
    calls: [{ id: "a", name: "f", arguments: {} }],
    final: finalWithCalls
  },
  "a call in a message": {
    events: [
      {
        choices: [{ message: { content: "", tool_calls: [fragment("{}", { id: "a" }, "f")] }, finish_reason: "stop" }]
      },
      DONE
    ],
    pieces: "[0#a f({}]|",
    calls: [{ id: "a", name: "f", arguments: {} }],
    final: finalWithCalls
  },
  "a content filter is not hidden by calls": {
    events: [calls(fragment("{}", { id: "a" }, "f")), finish("content_filter"), DONE],
    pieces: "[0#a f({}]|",
    calls: [{ id: "a", name: "f", arguments: {} }],
    final: final({ finishReason: "content-filter" })
  }
}

describe.each(Object.entries({ whole, cut, faulty }))("tool calls, %s", (_, table) => {
  for (const [what, row] of Object.entries(table)) it.effect(what, () => checkRow(row, chat))
})

describe("200,000 fragments in one event take linear time", () => {
  const count = 200_000
  const text = (i: number): string => (i === 0 ? '{"x":"' : i === count - 1 ? '"}' : "ab")
  const table: Readonly<Record<string, readonly [toFragment: (i: number) => object, calls: number]>> = {
    "of one call": [(i) => fragment(text(i), { index: 0 }, i === 0 ? "f" : ""), 1],
    "of one call, with its id and name each": [(i) => fragment(text(i), { index: 0, id: "a" }, "f"), 1],
    "of one call, without index": [(i) => fragment(text(i), i === 0 ? { id: "a" } : {}, i === 0 ? "f" : ""), 1],
    "of one call that is sent again and again": [() => fragment('{"x":1}', { index: 0, id: "a" }, "f"), 1],
    "of a name": [(i) => fragment("", { index: 0, id: "a" }, `${i}`), 1],
    "of calls with ids": [(i) => fragment("{}", { id: `${i}` }, "f"), count],
    "of calls with indices": [(i) => fragment("{}", { index: i }, "f"), count],
    "of calls with objects": [(i) => fragment({ i }, {}, "f"), count]
  }
  for (const [what, [toFragment, expected]] of Object.entries(table)) {
    it.effect(what, () =>
      Effect.gen(function* () {
        const tool_calls = Array.from({ length: count }, (_, i) => toFragment(i))
        const events = [chunk({ tool_calls }), finish("tool_calls")]
        const bytes = encode(events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(""))
        const chunks = yield* Stream.runCollect(decode(chat, [bytes], { maxLineBytes: 100_000_000 }))
        expect(chunks.at(-1)?.toolCalls?.length).toBe(expected)
        expect(new Set(chunks.at(-1)?.toolCalls?.map((call) => call.id)).size).toBe(expected)
      })
    )
  }
})

it.effect("60,000 calls in one event fit into the default bound", () =>
  Effect.gen(function* () {
    const tool_calls = Array.from({ length: 60_000 }, (_, i) => fragment("{}", { index: i, id: `call_${i}` }, "f"))
    const body = [chunk({ tool_calls }), finish("tool_calls")].map((event) => `data: ${JSON.stringify(event)}\n\n`)
    const chunks = yield* Stream.runCollect(decode(chat, [encode(body.join(""))], { maxLineBytes: 8 * 1024 * 1024 }))
    expect(chunks.at(-1)?.toolCalls?.length).toBe(60_000)
  })
)

describe("the memory for records that are not complete is bounded", () => {
  const maxLineBytes = 1000
  const endless = (line: string): ReadonlyArray<Uint8Array> => Array.from({ length: 200 }, () => encode(line))
  const line = (value: object): string => `data: ${JSON.stringify(value)}\n`
  const table: Readonly<Record<string, ReadonlyArray<Uint8Array>>> = {
    "an event of many lines": endless("data: aaaaaaaaaa\n"),
    "the arguments of a call": endless(`${line(calls(fragment("aaaaaaaaaa", { index: 0 }, "f")))}\n`),
    "a name without end": Array.from({ length: 200 }, (_, i) =>
      encode(`${line(calls(fragment("", { index: 0 }, `part ${i}`)))}\n`)
    ),
    "long ids": Array.from({ length: 5 }, (_, i) =>
      encode(`${line(calls(fragment("", { id: `${i}`.repeat(300) })))}\n`)
    ),
    "calls without end": Array.from({ length: 200 }, (_, i) => encode(`${line(calls(fragment("", { id: `${i}` })))}\n`))
  }
  const fits = (text: string): object => fragment(text, { index: 0, id: "a" }, "f")
  it.effect("it is counted in bytes, not in characters", () =>
    Effect.gen(function* () {
      // 450 characters of three bytes each.
      const arguments_ = `{"x":"${"中".repeat(450)}"}`
      const parts = Array.from({ length: 5 }, (_, i) => arguments_.slice(i * 100, (i + 1) * 100))
      const events = parts.map((part) => encode(`${line(calls(fits(part)))}\n`))
      const seen = yield* record(decode(chat, events, { maxLineBytes }))
      expect(seen.failure).toEqual({ _tag: "LineTooLong", limit: maxLineBytes })
    })
  )

  for (const [what, pieces] of Object.entries(table)) {
    it.effect(what, () =>
      Effect.map(record(decode(chat, pieces, { maxLineBytes })), ({ failure }) => {
        expect(failure).toEqual({ _tag: "LineTooLong", limit: maxLineBytes })
      })
    )
  }
})
