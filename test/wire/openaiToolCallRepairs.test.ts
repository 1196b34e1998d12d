/** Tool calls of the OpenAI-compatible routes: what servers get wrong is repaired, and hostile fragments do no harm. */
import { describe, it } from "@effect/vitest"
import { dialect as lmStudio } from "../../src/servers/lmStudio.ts"
import * as Endpoints from "../../src/protocol/openai/endpoints.ts"
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

const chat = Endpoints.chat(lmStudio)

/** The text of an object with that many objects in each other. */
const nested = (depth: number): string => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`

const answers: Readonly<Record<string, Row>> = {
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

describe("tool calls with faults of the server", () => {
  for (const [what, row] of Object.entries(answers)) it.effect(what, () => checkRow(row, chat))
})
