/** Errors inside an answer of the OpenAI-compatible routes, and records that violate the protocol. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { dialect as lmStudio } from "../../src/servers/lmStudio.ts"
import * as Endpoints from "../../src/protocol/openai/endpoints.ts"
import { read } from "../support/decoding.ts"
import type { Row } from "../support/openaiEvents.ts"
import { checkRow, chunk, DONE, failure, final, finish, text, toBody, usageChunk } from "../support/openaiEvents.ts"

const chat = Endpoints.chat(lmStudio)

const errors: Readonly<Record<string, Row>> = {
  "event: error first": {
    events: ['event: error\ndata: {"error":{"message":"The model has crashed"},"message":"The model has crashed"}'],
    failure: failure("StreamError", { detail: "The model has crashed" })
  },
  "event: Error": {
    events: ['event: Error\ndata: {"message":"boom"}'],
    failure: failure("StreamError", { detail: "boom" })
  },
  "event: error in the middle ends the answer": {
    events: [text("Hi"), 'event: error\ndata: {"error":{"message":"Channel Error"}}', finish(), DONE],
    pieces: "Hi|",
    failure: failure("StreamError", { detail: "Channel Error" })
  },
  "event: error with text": {
    events: ["event: error\ndata: boom"],
    failure: failure("StreamError", { detail: "boom" })
  },
  "event: error without data": { events: ["event: error\ndata:"], failure: failure("StreamError") },
  "event: error without an empty line": {
    events: [text("Hi")],
    rest: 'event: error\ndata: {"error":"boom"}',
    pieces: "Hi|",
    failure: failure("StreamError", { detail: "boom" })
  },
  "an error as text": { events: [{ error: "boom" }], failure: failure("StreamError", { detail: "boom" }) },
  "an error as an object": {
    events: [{ error: { message: "boom", code: 500, type: "server_error" } }],
    failure: failure("StreamError", { detail: "boom" })
  },
  "an error of vLLM": {
    events: [text("Hi"), { object: "error", message: "boom", type: "InternalServerError", param: null, code: 500 }],
    pieces: "Hi|",
    failure: failure("StreamError", { detail: "boom" })
  },
  "an error beside a chunk": {
    events: [{ ...text("Hi"), error: { message: "boom" } }],
    failure: failure("StreamError", { detail: "boom" })
  },
  "error: null is not an error": {
    events: [{ ...text("Hi"), error: null }, finish(), DONE],
    pieces: "Hi|",
    final: final()
  },
  "an error after the finish": {
    events: [text("Hi"), finish(), { error: "boom" }],
    pieces: "Hi|",
    failure: failure("StreamError")
  },
  "an error with an address to sign in": {
    events: [text("Hi"), { error: "unauthorized", signin_url: "https://ollama.com/connect?key=k" }],
    pieces: "Hi|",
    failure: failure("AuthenticationError", { signinUrl: "https://ollama.com/connect?key=k" })
  },
  "an address to sign in without an error": {
    events: [{ StatusCode: 401, error: "", signin_url: "https://ollama.com/connect?key=k" }],
    failure: failure("AuthenticationError", { signinUrl: "https://ollama.com/connect?key=k" })
  },
  "an error of the choice": {
    events: [text("Hi"), { choices: [{ index: 0, delta: {}, error: { message: "boom" }, finish_reason: "error" }] }],
    pieces: "Hi|",
    failure: failure("StreamError", { detail: "boom" })
  },
  "an error without a data field": {
    events: [text("Hi"), '{"error":{"message":"boom"}}'],
    pieces: "Hi|",
    failure: failure("StreamError", { detail: "boom" })
  },
  "an error without a data field and without a line end": {
    events: [text("Hi")],
    rest: '{"error":"boom"}',
    pieces: "Hi|",
    failure: failure("StreamError", { detail: "boom" })
  },
  "a chunk without a data field": {
    events: [text("Hi"), JSON.stringify(text("!")), finish(), DONE],
    pieces: "Hi|",
    failure: failure("ParseError", { description: "JSON without a data field" })
  },
  "half a record without a data field": {
    events: [text("Hi")],
    rest: '{"err',
    pieces: "Hi|",
    failure: failure("StreamTruncated")
  },
  "an error with JSON of the engine inside": {
    events: [
      `event: error\ndata: ${JSON.stringify({
        error: {
          message:
            'Engine protocol predict request returned 400: {"error":{"code":400,"message":"request (99 tokens) exceeds the available context size (64 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":99,"n_ctx":64}}'
        }
      })}`
    ],
    failure: failure("ContextOverflow", { promptTokens: 99, contextLength: 64 })
  },
  "an error about a missing model": {
    events: ["event: error\ndata: " + JSON.stringify({ error: { message: "No models loaded. Please load a model" } })],
    failure: failure("ModelNotAvailable", { model: "asked" })
  },

  "data that is not JSON": {
    events: [text("Hi"), "data: {oops"],
    pieces: "Hi|",
    failure: failure("ParseError", { description: "not JSON" })
  },
  "data that is not an object": { events: ["data: [1]"], failure: failure("ParseError") },
  "an object that is not a chunk": { events: [{ status: "ok" }], failure: failure("ParseError") },
  "content that is not text": { events: [chunk({ content: 5 })], failure: failure("ParseError") }
}

describe("an error in an answer to a chat", () => {
  for (const [what, row] of Object.entries(errors)) it.effect(what, () => checkRow(row, chat))
})

describe("an answer that the server ended early", () => {
  for (const word of ["error", "abort", "aborted", "cancelled", "canceled"]) {
    it.effect(`fails with finish_reason ${word}, after its text`, () =>
      checkRow(
        {
          events: [text("Hi"), chunk({ content: "!" }, word), usageChunk, DONE],
          pieces: "Hi|!|",
          failure: failure("StreamError", { description: `the server ended the answer with "${word}"` })
        },
        chat
      )
    )
  }
})

describe("an error of the server comes first", () => {
  const table: Readonly<Record<string, ReadonlyArray<object>>> = {
    "before arguments that are not JSON": [chunk({ tool_calls: [{ function: { name: "f", arguments: "{" } }] })],
    "before a refusal": [chunk({ refusal: "No" })],
    "before another finish reason": [finish("abort")]
  }
  for (const [what, events] of Object.entries(table)) {
    it.effect(what, () =>
      Effect.map(read(chat, toBody([...events, finish("error"), finish(), DONE])), (seen) => {
        expect(seen.failure).toMatchObject({ _tag: "StreamError" })
      })
    )
  }
})

describe("an answer in a field that is not read", () => {
  const notRead = failure("ParseError", { description: "an answer only in fields that are not read" })
  const media = failure("ParseError", { description: "a part of the answer is an image or audio" })
  const table: Readonly<Record<string, Row>> = {
    "fails if there is no other text": {
      events: [chunk({ sound: { transcript: "Hi" } }), finish(), DONE],
      pieces: "|",
      failure: notRead
    },
    "fails if it is a string": {
      events: [chunk({ output_text: "Hi" }), finish(), DONE],
      pieces: "|",
      failure: notRead
    },
    "fails if it is beside the delta": {
      events: [{ choices: [{ index: 0, content: "Hi" }] }, finish(), DONE],
      pieces: "|",
      failure: notRead
    },
    "fails if it is on the finish chunk": {
      events: [chunk({ output: [{ url: "x" }] }, "stop"), DONE],
      failure: notRead
    },
    "fails beside text, if it is an image": {
      events: [chunk({ content: "Look:", images: [{ url: "x" }] }), finish(), DONE],
      pieces: "Look:|",
      failure: media
    },
    "fails after text, if it is audio": {
      events: [text("Hi"), chunk({ audio: { data: "aGk=" } }), text("!"), finish(), DONE],
      pieces: "Hi||!|",
      failure: media
    },
    "fails beside thinking, if it is an image of a whole message": {
      events: [
        { choices: [{ index: 0, message: { reasoning: "Hm", images: [{ url: "x" }] }, finish_reason: "stop" }] },
        DONE
      ],
      pieces: "(Hm)|",
      failure: media
    },
    "fails if it is thinking that is no text": {
      events: [chunk({ thinking: { text: "Hm" } }), finish(), DONE],
      pieces: "|",
      failure: notRead
    },
    "is not an image that is empty": {
      events: [chunk({ content: "Hi", images: [], audio: null }), finish(), DONE],
      pieces: "Hi|",
      final: final()
    },
    "does not matter beside text": {
      events: [chunk({ annotations_x: ["a"] }), text("Hi"), finish(), DONE],
      pieces: "|Hi|",
      final: final()
    },
    "is not metadata": {
      events: [
        chunk({ role: "assistant", content: "", reasoning: "Hm", reasoning_details: [{ text: "Hm" }], x: null, y: [] }),
        { choices: [{ index: 0, delta: {}, finish_reason: "stop", stop_reason: "</s>", logprobs: { content: [1] } }] },
        DONE
      ],
      pieces: "(Hm)|",
      final: final()
    },
    "is not a choice other than the first": {
      events: [{ choices: [{ index: 1, delta: { content: "Hi" } }] }, finish(), DONE],
      failure: failure("ParseError", { description: "a part of another answer than the one that was requested" })
    },
    "is a second choice beside the first, after the text of the first": {
      events: [
        { choices: [{ delta: { content: "a" } }, { delta: { role: "assistant", content: "" } }] },
        {
          choices: [
            { index: 1, delta: { content: "c" } },
            { index: 0, delta: { content: "b" } }
          ]
        },
        finish(),
        DONE
      ],
      pieces: "a|b|",
      failure: failure("ParseError", { description: "a part of another answer than the one that was requested" })
    },
    "is not a second choice that is empty": {
      events: [
        { choices: [{ delta: { content: "a" } }, { delta: {}, finish_reason: "stop" }] },
        { choices: [{ index: 1, delta: {}, finish_reason: "stop" }] },
        finish(),
        DONE
      ],
      pieces: "a|",
      final: final()
    }
  }
  for (const [what, row] of Object.entries(table)) it.effect(what, () => checkRow(row, chat))
})

it.effect.each([{}, { id: "x" }, { object: "chat.completion.chunk", created: 1, model: "m:7b", service_tier: "x" }])(
  "a chunk of metadata alone, %j, says nothing of the answer",
  (value) =>
    Effect.gen(function* () {
      const seen = yield* read(chat, toBody([value, text("Hi"), value, finish(), value, DONE]))
      expect(seen).toMatchObject({ pieces: "Hi|", final: { finishReason: "stop" } })
    })
)

describe("an event that has no choices", () => {
  const other = failure("ParseError")
  const event = (name: string, value: unknown): string =>
    `${name === "" ? "" : `event: ${name}\n`}data: ${JSON.stringify(value)}`
  const lost: ReadonlyArray<unknown> = [
    { delta: { content: "you" } },
    { delta: "you", type: "response.output_text.delta" },
    { delta: { type: "text_delta", text: "you" } },
    { message: { role: "assistant", content: "you" } },
    { message: { content: [{ type: "text", text: "you" }] } },
    { content: "you" },
    { text: "you" },
    { response: "you" },
    { reasoning: "you" },
    { tool_calls: [{ function: { name: "f" } }] },
    { delta: { tool_calls: [{ function: { name: "f" } }] } },
    [{ choices: [{ delta: { content: "you" } }] }],
    { data: { choices: [{ delta: { content: "you" } }] } }
  ]
  it.effect.each(lost)("%j in a named event fails, after the text before it", (value) =>
    checkRow(
      { events: [text("Hello "), event("x", value), text("!"), finish(), DONE], pieces: "Hello |", failure: other },
      chat
    )
  )
  it.effect.each(lost)("%j beside an empty list of choices fails", (value) =>
    Array.isArray(value)
      ? Effect.void
      : checkRow(
          {
            events: [text("Hello "), { choices: [], ...Object(value) }, finish(), DONE],
            pieces: "Hello |",
            failure: other
          },
          chat
        )
  )
  it.effect.each([{ error: { message: "boom" } }, { object: "error", message: "boom" }])(
    "%j in a named event is an error",
    (value) =>
      checkRow(
        { events: [text("Hi"), event("x", value)], pieces: "Hi|", failure: failure("StreamError", { detail: "boom" }) },
        chat
      )
  )

  const nothing: ReadonlyArray<unknown> = [
    {},
    [],
    null,
    5,
    "text",
    { type: "ping" },
    { status: "queued", position: 3 },
    { message: "still loading" },
    { message: { role: "assistant", content: [] }, type: "message_start" },
    { delta: {}, type: "x" },
    { content: "", text: null, tool_calls: [] },
    { reasoning: { effort: "high" } },
    { usage: { prompt_tokens: 1 }, model: "m" },
    { data: { choices: [] } }
  ]
  it.effect.each(nothing)("%j in a named event is ignored", (value) =>
    checkRow({ events: [text("Hi"), event("x", value), finish(), DONE], pieces: "Hi|", final: final() }, chat)
  )
})
