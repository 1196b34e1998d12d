/** Answers of Ollama's own routes, in all the forms that servers and versions give them. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { chat, generate } from "../../src/protocol/ollama/endpoints.ts"
import { encode } from "../support/bytes.ts"
import type { Expected } from "../support/decoding.ts"
import { check, decode } from "../support/decoding.ts"
import { record } from "../support/transcript.ts"

const text = (content: string, more: object = {}): object => ({
  message: { role: "assistant", content, ...more },
  done: false
})
const call = (name: string, more: object = {}): object => ({
  function: { name, arguments: { city: "Paris" } },
  ...more
})
const done = { message: { role: "assistant", content: "" }, done: true, done_reason: "stop" }
const doneWith = (more: object): object => ({
  message: { role: "assistant", content: "", ...more },
  done: true,
  done_reason: "stop"
})

const final = (more: object = {}): object => ({ model: "asked", finishReason: "stop", ...more })
const failure = (_tag: string, fields: object = {}): object => ({ _tag, ...fields })
const called = (name: string, id: string): object => ({ id, name, arguments: { city: "Paris" } })

interface Row extends Expected {
  /** Values are written as JSON, texts are written unchanged. */
  readonly lines: ReadonlyArray<unknown>
}

const answers: Readonly<Record<string, Row>> = {
  "text, then the end": { lines: [text("Hi"), done], pieces: "Hi|", final: final() },
  "only the last line": { lines: [done], final: final() },
  "an empty text in the middle": { lines: [text("a"), text(""), text("b"), done], pieces: "a||b|", final: final() },
  "thinking and text in one line": { lines: [text("Hi", { thinking: "Hm" }), done], pieces: "(Hm)Hi|", final: final() },
  "empty thinking is left out": { lines: [text("Hi", { thinking: "" }), done], pieces: "Hi|", final: final() },
  "text, thinking and calls in the last line": {
    lines: [text("a"), doneWith({ content: "b", thinking: "c", tool_calls: [call("f")] })],
    pieces: "a|(c)b",
    calls: [called("f", "call_0")],
    final: final({ finishReason: "tool-calls" })
  },
  "calls before the end": {
    lines: [text("", { tool_calls: [call("f", { id: "call_x" })] }), done],
    pieces: "|",
    calls: [called("f", "call_x")],
    final: final({ finishReason: "tool-calls" })
  },
  "calls in several lines, some without id": {
    lines: [
      text("", { tool_calls: [call("f"), call("g", { id: "" })] }),
      text("", { tool_calls: [call("h", { id: "x" })] }),
      doneWith({ tool_calls: [call("i", { id: null })] })
    ],
    pieces: "||",
    calls: [called("f", "call_0"), called("g", "call_1"), called("h", "x"), called("i", "call_3")],
    final: final({ finishReason: "tool-calls" })
  },
  "a call without arguments": {
    lines: [
      text("", { tool_calls: [{ function: { name: "f" } }, { function: { name: "g", arguments: null } }] }),
      done
    ],
    pieces: "|",
    calls: [
      { id: "call_0", name: "f", arguments: {} },
      { id: "call_1", name: "g", arguments: {} }
    ],
    final: final({ finishReason: "tool-calls" })
  },
  "an empty list of calls is left out": { lines: [text("a", { tool_calls: [] }), done], pieces: "a|", final: final() },

  "done without a reason": { lines: [{ ...done, done_reason: undefined }], final: final({ finishReason: "other" }) },
  "an empty reason": { lines: [{ ...done, done_reason: "" }], final: final({ finishReason: "other" }) },
  "an unknown reason": { lines: [{ ...done, done_reason: "weird" }], final: final({ finishReason: "other" }) },
  length: { lines: [{ ...done, done_reason: "length" }], final: final({ finishReason: "length" }) },
  load: { lines: [{ ...done, done_reason: "load" }], final: final({ finishReason: "other" }) },
  unload: { lines: [{ ...done, done_reason: "unload" }], final: final({ finishReason: "other" }) },
  "a reason without done": { lines: [text("a"), { ...done, done: undefined }], pieces: "a|", final: final() },
  "a reason in a line that is not done": {
    lines: [{ ...text("a"), done_reason: "stop" }, done],
    pieces: "a|",
    final: final()
  },

  "usage and timings": {
    lines: [
      {
        ...done,
        model: "reported",
        prompt_eval_count: 8,
        eval_count: 3,
        total_duration: 4_000_000,
        load_duration: 0,
        prompt_eval_duration: 1,
        eval_duration: 2.6
      }
    ],
    final: final({
      model: "reported",
      usage: [8, 3, 11],
      timings: { total: 4, load: 0, prompt: 0.000001, completion: 0.000003 }
    })
  },
  "counts that are zero are left out by the server": {
    lines: [{ ...done, eval_count: 3 }],
    final: final({ usage: [undefined, 3, undefined] })
  },
  "timings that are left out": { lines: [{ ...done, total_duration: 1e6 }], final: final({ timings: { total: 1 } }) },
  "fields that are null": {
    lines: [
      { model: null, message: { content: null, thinking: null, tool_calls: null }, done: false, error: null },
      {
        message: null,
        done: true,
        done_reason: null,
        model: "",
        prompt_eval_count: null,
        eval_count: null,
        total_duration: null
      }
    ],
    pieces: "|",
    final: final({ finishReason: "other" })
  },
  "unknown keys": {
    lines: [
      { ...text("a"), logprobs: [{}], remote_host: 5, image: "x" },
      { ...done, context: [1, 2] }
    ],
    pieces: "a|",
    final: final()
  },
  "blank lines": { lines: ["", text("a"), "  ", " \t\r", "", done, " "], pieces: "a|", final: final() },
  "text that looks like an error": { lines: [text('{"error":"x"}'), done], pieces: '{"error":"x"}|', final: final() },
  "anything after the end is ignored": { lines: [text("a"), done, "garbage", text("b")], pieces: "a|", final: final() },

  "no end": { lines: [text("a")], pieces: "a|", failure: failure("StreamTruncated") },
  "only the prompt, for debugging": {
    lines: [{ model: "m", done: false, _debug_info: { rendered_template: "x" } }],
    pieces: "|",
    failure: failure("StreamTruncated")
  },

  "an error first": { lines: [{ error: "boom" }, done], failure: failure("StreamError", { detail: "boom" }) },
  "an error in the middle": {
    lines: [text("a"), { error: "an error was encountered while running the model: unexpected EOF" }],
    pieces: "a|",
    failure: failure("StreamError", { detail: "an error was encountered while running the model: unexpected EOF" })
  },
  "an error as an object": {
    lines: [{ error: { message: "boom", code: 500 } }],
    failure: failure("StreamError", { detail: "boom" })
  },
  "an error with an address to sign in": {
    lines: [text("a"), { error: "unauthorized", signin_url: "https://ollama.com/connect?key=k" }],
    pieces: "a|",
    failure: failure("AuthenticationError", { signinUrl: "https://ollama.com/connect?key=k", detail: "unauthorized" })
  },
  "an address to sign in without an error": {
    lines: [{ StatusCode: 401, signin_url: "https://ollama.com/connect?key=k" }],
    failure: failure("AuthenticationError", { signinUrl: "https://ollama.com/connect?key=k" })
  },
  "an error with fields of another type": {
    lines: [text("a"), { error: "unauthorized", signin_url: "https://ollama.com/connect?key=k", message: "no" }],
    pieces: "a|",
    failure: failure("AuthenticationError", { signinUrl: "https://ollama.com/connect?key=k" })
  },
  "an error beside text": {
    lines: [{ ...text("a"), error: "boom" }],
    failure: failure("StreamError", { detail: "boom" })
  },
  "an error that is JSON of the engine": {
    lines: [
      {
        error:
          '{"error":{"code":400,"message":"request (99 tokens) exceeds the available context size (64 tokens)","type":"exceed_context_size_error","n_prompt_tokens":99,"n_ctx":64}}'
      }
    ],
    failure: failure("ContextOverflow", {
      promptTokens: 99,
      contextLength: 64,
      detail: "request (99 tokens) exceeds the available context size (64 tokens)"
    })
  },
  "a missing model, as servers before 0.12.6 report it": {
    lines: [{ error: "model 'nope' not found" }],
    failure: failure("ModelNotAvailable", { model: "asked", detail: "model 'nope' not found" })
  },

  "a line that is not JSON": {
    lines: [text("a"), "{oops", done],
    pieces: "a|",
    failure: failure("ParseError", { description: "not JSON" })
  },
  "an HTML page": { lines: ["<html>", "</html>"], failure: failure("ParseError", { description: "not JSON" }) },
  "a value that is not a record": { lines: ["[1]"], failure: failure("ParseError") },
  "a number": { lines: ["5"], failure: failure("ParseError") },
  "another record": {
    lines: [{ status: "success" }],
    failure: failure("ParseError", { description: "neither a part of an answer nor an error" })
  },
  "text that is not a string": { lines: [{ message: { content: 5 }, done: false }], failure: failure("ParseError") },
  "a call without a function": { lines: [text("", { tool_calls: [{ id: "x" }] })], failure: failure("ParseError") }
}

const checkRow = ({ lines, ...expected }: Row, route: typeof chat): Effect.Effect<void> =>
  check(route, lines.map((line) => `${typeof line === "string" ? line : JSON.stringify(line)}\n`).join(""), expected)

describe("an answer to a chat", () => {
  for (const [what, row] of Object.entries(answers)) it.effect(what, () => checkRow(row, chat))
})

it.effect("another record without a line end is not read as half a line", () =>
  check(chat, '{"status":"ok"}', { failure: failure("ParseError") })
)

describe("an answer to a prompt", () => {
  const table: Readonly<Record<string, Row>> = {
    "text and thinking at the top": {
      lines: [
        { response: "", done: false },
        { response: "", thinking: "Hm", done: false },
        { response: "Hi", done: false },
        { response: "!", done: true, done_reason: "stop", context: [1] }
      ],
      pieces: "|(Hm)|Hi|!",
      final: final()
    },
    "calls at the top": {
      lines: [{ response: "", done: true, done_reason: "stop", tool_calls: [call("f", { id: "x" })] }],
      calls: [called("f", "x")],
      final: final({ finishReason: "tool-calls" })
    },
    load: { lines: [{ response: "", done: true, done_reason: "load" }], final: final({ finishReason: "other" }) },
    "an error instead of the last line": {
      lines: [{ response: "a", done: false }, { error: "boom" }],
      pieces: "a|",
      failure: failure("StreamError", { detail: "boom" })
    },
    "text that is not a string": { lines: [{ response: ["a"], done: false }], failure: failure("ParseError") }
  }
  for (const [what, row] of Object.entries(table)) it.effect(what, () => checkRow(row, generate))
})

describe("tool calls of Ollama", () => {
  const deep = `${'{"a":'.repeat(5000)}1${"}".repeat(5000)}`
  const withArguments = (value: unknown): object =>
    text("", { tool_calls: [{ function: { name: "f", arguments: value } }] })
  const doneWord = (done_reason: string): object => ({ ...done, done_reason })
  const cut = final({ finishReason: "length" })
  const table: Readonly<Record<string, Row>> = {
    "length takes precedence over tool-calls": {
      lines: [text("", { tool_calls: [call("f")] }), doneWord("length")],
      pieces: "|",
      calls: [called("f", "call_0")],
      final: cut
    },
    "length takes precedence over calls in the last line": {
      lines: [{ ...doneWith({ tool_calls: [call("f")] }), done_reason: "length" }],
      calls: [called("f", "call_0")],
      final: cut
    },
    "arguments as JSON text": {
      lines: [withArguments('{"city":"Paris"}'), withArguments(""), done],
      pieces: "||",
      calls: [called("f", "call_0"), { id: "call_1", name: "f", arguments: {} }],
      final: final({ finishReason: "tool-calls" })
    },
    "arguments that are nested too deeply": {
      lines: [withArguments(deep), done],
      pieces: "|",
      failure: failure("ParseError", { description: "the arguments of tool call 0 are nested too deeply" })
    },
    "arguments that change prototypes": {
      lines: [withArguments(JSON.parse('{"a":[{"__proto__":{"isAdmin":true}}]}')), done],
      pieces: "|",
      failure: failure("ParseError", { description: "the arguments of tool call 0 are unsafe: the key `__proto__`" })
    },
    "arguments as JSON text that change prototypes": {
      lines: [withArguments('{"constructor":{"prototype":{}}}'), done],
      pieces: "|",
      failure: failure("ParseError", {
        description: "the arguments of tool call 0 are unsafe: the key `constructor.prototype`"
      })
    },
    "a call without a name": {
      lines: [text("", { tool_calls: [call("")] }), done],
      pieces: "|",
      failure: failure("ParseError", { description: "tool call 0 has no name" })
    },
    "arguments that are not JSON": {
      lines: [withArguments('{"city":'), done],
      pieces: "|",
      failure: failure("ParseError", { description: "the arguments of tool call 0 are not JSON" })
    },
    "a call with cut arguments is left out": {
      lines: [text("", { tool_calls: [call("f")] }), withArguments('{"city":'), doneWord("length")],
      pieces: "||",
      calls: [called("f", "call_0")],
      final: cut
    },
    "the same id for two calls, and ids that look like made ones": {
      lines: [
        text("", {
          tool_calls: [call("f", { id: "x" }), call("g", { id: "x" }), call("h", { id: "call_3" }), call("i")]
        }),
        done
      ],
      pieces: "|",
      calls: [called("f", "x"), called("g", "call_1"), called("h", "call_3"), called("i", "call_3_")],
      final: final({ finishReason: "tool-calls" })
    },
    "ids that are names of properties": {
      lines: [text("", { tool_calls: [call("f", { id: "__proto__" }), call("g", { id: "constructor" })] }), done],
      pieces: "|",
      calls: [called("f", "__proto__"), called("g", "constructor")],
      final: final({ finishReason: "tool-calls" })
    },
    "a reason of tool_calls without calls": { lines: [doneWord("tool_calls")], failure: failure("ParseError") },
    "calls at the top beside a message": {
      lines: [{ ...doneWith({}), tool_calls: [call("f")] }],
      calls: [called("f", "call_0")],
      final: final({ finishReason: "tool-calls" })
    }
  }
  for (const [what, row] of Object.entries(table)) it.effect(what, () => checkRow(row, chat))
})

it.effect("100,000 calls with missing or colliding ids take linear time", () =>
  Effect.gen(function* () {
    const count = 50_000
    const tool_calls = Array.from({ length: 2 * count }, (_, i) =>
      call("f", i < count ? { id: `call_${i + count}` } : {})
    )
    const bytes = encode(`${JSON.stringify(doneWith({ tool_calls }))}\n`)
    const chunks = yield* Stream.runCollect(decode(chat, [bytes], { maxLineBytes: 100_000_000 }))
    expect(new Set(chunks.flatMap((chunk) => chunk.toolCalls ?? []).map(({ id }) => id)).size).toBe(2 * count)
  })
)

it.effect("the memory for ids is bounded", () =>
  Effect.gen(function* () {
    const lines = Array.from({ length: 200 }, () =>
      encode(`${JSON.stringify(text("", { tool_calls: [call("f")] }))}\n`)
    )
    const { failure } = yield* record(decode(chat, lines, { maxLineBytes: 1000 }))
    expect(failure).toEqual({ _tag: "LineTooLong", limit: 1000 })
  })
)

it.effect("the memory for arguments is bounded", () =>
  Effect.gen(function* () {
    const fn = { name: "f", arguments: { text: "x".repeat(300) } }
    const lines = Array.from({ length: 5 }, () =>
      encode(`${JSON.stringify(text("", { tool_calls: [{ function: fn }] }))}\n`)
    )
    const seen = yield* record(decode(chat, lines, { maxLineBytes: 1000 }))
    expect(seen).toMatchObject({ pieces: "||", failure: { _tag: "LineTooLong", limit: 1000 } })
  })
)

describe("an answer that the server ended early", () => {
  for (const word of ["error", "abort", "aborted", "cancelled", "canceled"]) {
    it.effect(`fails with done_reason ${word}, after its text`, () =>
      checkRow(
        {
          lines: [text("a"), { ...doneWith({ content: "b" }), done_reason: word }],
          pieces: "a|b|",
          failure: failure("StreamError", { description: `the server ended the answer with "${word}"` })
        },
        chat
      )
    )
  }
})

describe("an answer in a field that is not read", () => {
  const notRead = failure("ParseError", { description: "an answer only in fields that are not read" })
  const lost = failure("ParseError", { description: "a part of the answer is an image or a refusal" })
  const table: Readonly<Record<string, Row>> = {
    "fails if there is no other text": {
      lines: [text("", { output: ["aGk="] }), done],
      pieces: "|",
      failure: notRead
    },
    "fails beside text, if it is an image": {
      lines: [text("Look:", { images: ["aGk="] }), text("!"), done],
      pieces: "Look:|!|",
      failure: lost
    },
    "fails beside thinking, if it is a refusal": {
      lines: [doneWith({ thinking: "Hm", refusal: "No" })],
      pieces: "(Hm)|",
      failure: lost
    },
    "is not an image that is empty": {
      lines: [text("Hi", { images: null, refusal: "" }), done],
      pieces: "Hi|",
      final: final()
    },
    "is not a call beside an empty list": {
      lines: [{ ...text("", { tool_calls: [] }), tool_calls: [call("f")] }, done],
      pieces: "|",
      calls: [called("f", "call_0")],
      final: final({ finishReason: "tool-calls" })
    },
    "fails in the form of another protocol": {
      lines: [{ choices: [{ delta: { content: "Hi" } }], done: false }, done],
      pieces: "|",
      failure: notRead
    },
    "fails in the last line": { lines: [{ ...done, image: "aGk=" }], failure: notRead },
    "is not response beside an empty message": {
      lines: [{ ...text(""), response: "Hi" }, done],
      pieces: "Hi|",
      final: final()
    }
  }
  for (const [what, row] of Object.entries(table)) it.effect(what, () => checkRow(row, chat))
})
