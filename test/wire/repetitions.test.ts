/** Servers that send an answer in pieces, and then all of it again: no text is delivered twice, and none is lost. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { chat as ollamaChat, generate } from "../../src/protocol/ollama/endpoints.ts"
import { dialect as lmStudio } from "../../src/servers/lmStudio.ts"
import * as Endpoints from "../../src/protocol/openai/endpoints.ts"
import { cutBy, encode } from "../support/bytes.ts"
import type { Expected } from "../support/decoding.ts"
import { check, decode } from "../support/decoding.ts"
import type { Row } from "../support/openaiEvents.ts"
import {
  calls,
  checkRow,
  chunk,
  DONE,
  final,
  finalWithCalls,
  finish,
  fragment,
  text,
  toBody
} from "../support/openaiEvents.ts"
import { record } from "../support/transcript.ts"

const chat = Endpoints.chat(lmStudio)
const completion = Endpoints.completion(lmStudio)

const whole = (message: object, more: object = {}, finish_reason: string | null = "stop"): object => ({
  object: "chat.completion.chunk",
  choices: [{ index: 0, delta: {}, message, finish_reason }],
  ...more
})
const thinks = (reasoning_content: string): object => chunk({ reasoning_content })
const call = (id: string, name: string): object => fragment('{"city":"Paris"}', { id, type: "function" }, name)
const called = (id: string, name: string): object => ({ id, name, arguments: { city: "Paris" } })

const inChat: Readonly<Record<string, Row>> = {
  ...Object.fromEntries(
    ["chat.completion.chunk", "chat.completion", "", 7, null].map((object): [string, Row] => [
      `a message, as the object ${object}`,
      {
        events: [text("Hel"), text("lo"), whole({ role: "assistant", content: "Hello" }, { object }), DONE],
        pieces: "Hel|lo|",
        final: final()
      }
    ])
  ),
  "a message in a chunk of its own, before the finish and after it": {
    events: [
      text("Hel"),
      text("lo"),
      whole({ content: "Hello" }, {}, null),
      finish(),
      whole({ content: "Hello" }),
      DONE
    ],
    pieces: "Hel|lo||",
    final: final()
  },
  "a message that is trimmed": {
    events: [text("\n Hel"), text("lo "), whole({ content: "Hello" }), DONE],
    pieces: "\n Hel|lo |",
    final: final()
  },
  "a message as a list of parts": {
    events: [text("Hel"), text("lo"), whole({ content: [{ type: "text", text: "Hello" }] }), DONE],
    pieces: "Hel|lo|",
    final: final()
  },
  "a message beside each delta": {
    events: [
      { choices: [{ delta: { content: "Hel" }, message: { content: "Hel" } }] },
      { choices: [{ delta: { content: "lo" }, message: { content: "Hello" } }] },
      finish(),
      DONE
    ],
    pieces: "Hel|lo|",
    final: final()
  },
  "a text": {
    events: [text("Hel"), text("lo"), { choices: [{ text: "Hello", finish_reason: "stop" }] }, DONE],
    pieces: "Hel|lo|",
    final: final()
  },
  "a text beside each delta": {
    events: [
      { choices: [{ delta: { content: "Hel" }, text: "Hel" }] },
      { choices: [{ delta: { content: "lo" }, text: "lo" }] },
      finish(),
      DONE
    ],
    pieces: "Hel|lo|",
    final: final()
  },
  "the last delta": {
    events: [text("Hel"), text("lo"), chunk({ content: "Hello" }, "stop"), DONE],
    pieces: "Hel|lo|",
    final: final()
  },
  "one long delta, then the last one": {
    events: [
      text("The sky is blue, as everybody knows."),
      chunk({ content: "The sky is blue, as everybody knows." }, "stop")
    ],
    pieces: "The sky is blue, as everybody knows.|",
    final: final()
  },
  "the last one of the messages in pieces": {
    events: [
      whole({ content: "Hel" }, {}, null),
      whole({ content: "lo" }, {}, null),
      whole({ content: "Hello" }),
      DONE
    ],
    pieces: "Hel|lo|",
    final: final()
  },
  "thinking and text": {
    events: [
      thinks("H"),
      thinks("m"),
      text("Hel"),
      text("lo"),
      whole({ content: "Hello", reasoning_content: "Hm" }),
      DONE
    ],
    pieces: "(H)|(m)|Hel|lo|",
    final: final()
  },
  "thinking under another name": {
    events: [thinks("H"), thinks("m"), text("Hi"), whole({ content: "Hi", reasoning: "Hm" }), DONE],
    pieces: "(H)|(m)|Hi|",
    final: final()
  },
  "a refusal": {
    events: [chunk({ refusal: "I can" }), chunk({ refusal: "not" }), whole({ refusal: "I cannot" }), DONE],
    pieces: "I can|not|",
    final: final({ finishReason: "content-filter" })
  },
  "calls with ids": {
    events: [
      calls({ index: 0, ...call("x", "f") }, { index: 1, ...call("y", "g") }),
      whole({ content: null, tool_calls: [call("x", "f"), call("y", "g")] }, {}, "tool_calls"),
      DONE
    ],
    pieces: '[0#x f({"city":"Paris"}][1#y g({"city":"Paris"}]|',
    calls: [called("x", "f"), called("y", "g")],
    final: finalWithCalls
  },
  "calls with other ids and other spacing": {
    events: [
      calls({ index: 0, ...call("x", "f") }),
      whole({ tool_calls: [fragment('{ "city": "Paris" }', { id: "z" }, "f")] }, {}, "tool_calls"),
      DONE
    ],
    pieces: '[0#x f({"city":"Paris"}]|',
    calls: [called("x", "f")],
    final: finalWithCalls
  },
  "calls, but the text is new": {
    events: [calls({ index: 0, ...call("x", "f") }), whole({ content: "Hi", tool_calls: [call("x", "f")] }), DONE],
    pieces: '[0#x f({"city":"Paris"}]|Hi|',
    calls: [called("x", "f")],
    final: finalWithCalls
  },

  "not thinking that is new": {
    events: [text("Hel"), text("lo"), whole({ content: "Hello", reasoning: "Hm" }), DONE],
    pieces: "Hel|lo|(Hm)|",
    final: final()
  },
  "not text that is new": {
    events: [thinks("Hm"), whole({ content: "Hello", reasoning_content: "Hm" }), DONE],
    pieces: "(Hm)|Hello|",
    final: final()
  },
  "not calls that are new": {
    events: [text("Hi"), whole({ content: "Hi", tool_calls: [call("x", "f")] }, {}, "tool_calls"), DONE],
    pieces: 'Hi|[0#x f({"city":"Paris"}]|',
    calls: [called("x", "f")],
    final: finalWithCalls
  },
  "not a further call": {
    events: [
      calls({ index: 0, ...call("x", "f") }),
      whole({ tool_calls: [call("x", "f"), call("y", "g")] }, {}, "tool_calls"),
      DONE
    ],
    pieces: '[0#x f({"city":"Paris"}]|[1#y g({"city":"Paris"}]|',
    calls: [called("x", "f"), called("y", "g")],
    final: finalWithCalls
  },
  "not the end that only the message has": {
    events: [text("Hel"), whole({ content: "Hello" }), DONE],
    pieces: "Hel|lo|",
    final: final()
  },
  "not a word that the model wrote twice": {
    events: [text("ha"), chunk({ content: "ha" }, "stop"), DONE],
    pieces: "ha|ha|",
    final: final()
  },
  "not words of a server that sends a finish reason with each": {
    events: [...["ha", "ha", "haha", "hahahaha"].map((content) => chunk({ content }, "stop")), DONE],
    pieces: "ha|ha|haha|hahahaha|",
    final: final()
  },
  "not a text that only begins alike": {
    events: [text("ha"), text("ha"), chunk({ content: "ha!" }, "stop"), DONE],
    pieces: "ha|ha|ha!|",
    final: final()
  }
}

const plain = (text: string, finish_reason: string | null = null): object => ({
  object: "text_completion",
  choices: [{ index: 0, text, finish_reason }]
})

const inCompletion: Readonly<Record<string, Row>> = {
  "the last text": {
    events: [plain("Hel"), plain("lo"), plain("Hello", "stop"), DONE],
    pieces: "Hel|lo|",
    final: final()
  },
  "a message": {
    events: [
      plain("Hel"),
      plain("lo"),
      { choices: [{ text: "", message: { content: "Hello" }, finish_reason: "stop" }] }
    ],
    pieces: "Hel|lo|",
    final: final()
  }
}

describe("a repetition in a chat", () => {
  for (const [what, row] of Object.entries(inChat)) {
    it.effect(what, () =>
      Effect.gen(function* () {
        yield* checkRow(row, chat)
        const bytes = encode(toBody(row.events))
        const cut = yield* record(decode(chat, cutBy(bytes, [1, 7, 64])))
        expect(cut).toEqual(yield* record(decode(chat, [bytes])))
      })
    )
  }
})

describe("a repetition in a plain completion", () => {
  for (const [what, row] of Object.entries(inCompletion)) it.effect(what, () => checkRow(row, completion))
})

interface Lines extends Expected {
  readonly lines: ReadonlyArray<{ readonly text?: string; readonly thinking?: string; readonly tool_calls?: unknown }>
}

const wireCall = (name: string, more: object = {}): object => ({
  function: { name, arguments: { city: "Paris" } },
  ...more
})
const sentence = "The sky is blue, as everybody knows."

const ofOllama: Readonly<Record<string, Lines>> = {
  "the text": { lines: [{ text: "Hel" }, { text: "lo" }, { text: "Hello" }], pieces: "Hel|lo|", final: final() },
  "a long text in one piece": {
    lines: [{ text: sentence }, { text: sentence }],
    pieces: `${sentence}|`,
    final: final()
  },
  "a text of many pieces": {
    lines: [...Array.from({ length: 100 }, () => ({ text: "0123" })), { text: "0123".repeat(100) }],
    pieces: "0123|".repeat(100),
    final: final()
  },
  "the text, and its end": {
    lines: [{ text: "Hel" }, { text: "lo" }, { text: "Hello!" }],
    pieces: "Hel|lo|!",
    final: final()
  },
  "thinking and text": {
    lines: [{ thinking: "H" }, { thinking: "m" }, { text: "Hel" }, { text: "lo" }, { text: "Hello", thinking: "Hm" }],
    pieces: "(H)|(m)|Hel|lo|",
    final: final()
  },
  "not thinking that is new": {
    lines: [{ text: "Hel" }, { text: "lo" }, { text: "Hello", thinking: "Hm" }],
    pieces: "Hel|lo|(Hm)",
    final: final()
  },
  calls: {
    lines: [
      { tool_calls: [wireCall("f")] },
      { tool_calls: [wireCall("g")] },
      { tool_calls: [wireCall("f"), wireCall("g")] }
    ],
    pieces: "||",
    calls: [called("call_0", "f"), called("call_1", "g")],
    final: finalWithCalls
  },
  "calls with ids, and one more": {
    lines: [{ tool_calls: [wireCall("f", { id: "x" })] }, { tool_calls: [wireCall("f", { id: "x" }), wireCall("g")] }],
    pieces: "|",
    calls: [called("x", "f"), called("call_1", "g")],
    final: finalWithCalls
  },
  "not a call with another id": {
    lines: [{ tool_calls: [wireCall("f", { id: "x" })] }, { tool_calls: [wireCall("f", { id: "y" })] }],
    pieces: "|",
    calls: [called("x", "f"), called("y", "f")],
    final: finalWithCalls
  },
  "not the last piece": { lines: [{ text: "Hel" }, { text: "lo" }], pieces: "Hel|lo", final: final() },
  "not a word that the model wrote twice": { lines: [{ text: "ha" }, { text: "ha" }], pieces: "ha|ha", final: final() },
  "not a piece as long as a word may be": {
    lines: [{ text: "a".repeat(4) }, { text: "a".repeat(4) }],
    pieces: `${"a".repeat(4)}|${"a".repeat(4)}`,
    final: final()
  },
  "a piece longer than a word": {
    lines: [{ text: "Hello" }, { text: "Hello" }],
    pieces: "Hello|",
    final: final()
  }
}

describe.each([
  ["chat", ollamaChat, (text: string, more: object) => ({ message: { role: "assistant", content: text, ...more } })],
  ["generate", generate, (response: string, more: object) => ({ response, ...more })]
] as const)("a repetition in the last record of Ollama, %s", (_, route, toRecord) => {
  for (const [what, { lines, ...expected }] of Object.entries(ofOllama)) {
    const body = lines.map(({ text = "", ...more }, i) => {
      const end = i === lines.length - 1 ? { done: true, done_reason: "stop" } : { done: false }
      return `${JSON.stringify({ ...toRecord(text, more), ...end })}\n`
    })
    it.effect(what, () => check(route, body.join(""), expected))
  }
})
