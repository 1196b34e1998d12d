/** Answers of the OpenAI-compatible routes, in all the forms that servers and versions give them. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { dialect as lmStudio } from "../../src/servers/lmStudio.ts"
import * as Endpoints from "../../src/protocol/openai/endpoints.ts"
import { encode } from "../support/bytes.ts"
import { decode } from "../support/decoding.ts"
import type { Row } from "../support/openaiEvents.ts"
import { checkRow, chunk, DONE, failure, final, finish, text, usage, usageChunk } from "../support/openaiEvents.ts"

const chat = Endpoints.chat(lmStudio)
const completion = Endpoints.completion(lmStudio)

const answers: Readonly<Record<string, Row>> = {
  "text, the finish, the end": { events: [text("Hi"), finish(), DONE], pieces: "Hi|", final: final() },
  "usage after the finish": {
    events: [text("Hi"), finish(), usageChunk, DONE],
    pieces: "Hi|",
    final: final({ usage: [8, 3, 11] })
  },
  "usage with the finish": { events: [finish("stop", usage), DONE], final: final({ usage: [8, 3, 11] }) },
  "usage before the finish": { events: [usageChunk, finish(), DONE], final: final({ usage: [8, 3, 11] }) },
  "usage on every chunk, the last counts": {
    events: [
      chunk({ content: "Hi" }, null, { usage: { prompt_tokens: 8, completion_tokens: 1, total_tokens: 9 } }),
      finish(),
      usageChunk,
      DONE
    ],
    pieces: "Hi|",
    final: final({ usage: [8, 3, 11] })
  },
  "usage of zeros is not usage": {
    events: [
      chunk({ content: "Hi" }, null, { usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 } }),
      finish("stop", { usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 } }),
      DONE
    ],
    pieces: "Hi|",
    final: final()
  },
  "zeros with the finish do not hide the usage after it": {
    events: [finish("stop", { usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 } }), usageChunk, DONE],
    final: final({ usage: [8, 3, 11] })
  },
  "numbers that are not counts": {
    events: [
      finish("stop", { usage: { prompt_tokens: -1, completion_tokens: 3 }, timings: { cache_n: -2 } }),
      `data: {"choices":[],"usage":{"prompt_tokens":1e999,"completion_tokens":3,"total_tokens":-1}}`,
      DONE
    ],
    final: final({ usage: [undefined, 3, undefined], timings: {} })
  },
  "usage and the finish with every piece of text": {
    events: [chunk({ content: "a" }, "stop", usage), chunk({ content: "b" }, "stop", usage), DONE],
    pieces: "a|b|",
    final: final({ usage: [8, 3, 11] })
  },
  "usage in part": {
    events: [finish("stop", { usage: { prompt_tokens: 8 } }), DONE],
    final: final({ usage: [8, undefined, undefined] })
  },
  "usage: null until the end": {
    events: [chunk({ content: "Hi" }, null, { usage: null }), finish("stop", { usage: null }), usageChunk, DONE],
    pieces: "Hi|",
    final: final({ usage: [8, 3, 11] })
  },
  "model, usage and timings": {
    events: [finish(), { ...usageChunk, model: "reported", timings: { prompt_ms: 1.5, predicted_ms: 2 } }, DONE],
    final: final({ model: "reported", usage: [8, 3, 11], timings: { prompt: 1.5, completion: 2 } })
  },

  "the role first, with null for the text": {
    events: [chunk({ role: "assistant", content: null }), text("Hi"), finish(), DONE],
    pieces: "|Hi|",
    final: final()
  },
  "the role every time": {
    events: [chunk({ role: "assistant", content: "a" }), chunk({ role: "assistant", content: "b" }), finish(), DONE],
    pieces: "a|b|",
    final: final()
  },
  "the finish reason on the last text": {
    events: [chunk({ content: "Hi" }, "stop"), DONE],
    pieces: "Hi|",
    final: final()
  },
  reasoning_content: { events: [chunk({ reasoning_content: "Hm" }), finish(), DONE], pieces: "(Hm)|", final: final() },
  "reasoning with the finish": {
    events: [chunk({ reasoning_content: "Hm" }, "length"), DONE],
    pieces: "(Hm)|",
    final: final({ finishReason: "length" })
  },
  reasoning: { events: [chunk({ reasoning: "Hm" }), finish(), DONE], pieces: "(Hm)|", final: final() },
  "the same reasoning under both names": {
    events: [chunk({ reasoning_content: "Hm", reasoning: "Hm" }), finish(), DONE],
    pieces: "(Hm)|",
    final: final()
  },
  "reasoning under one name, the other empty": {
    events: [chunk({ reasoning_content: "", reasoning: "Hm" }), finish(), DONE],
    pieces: "(Hm)|",
    final: final()
  },
  "thinking, and what is not a text in its place": {
    events: [
      chunk({ thinking: "Hm" }),
      chunk({ content: "Hi", thinking: "?" }),
      chunk({ thinking: false }),
      finish(),
      DONE
    ],
    pieces: "(Hm)|(?)Hi||",
    final: final()
  },
  "empty reasoning is left out": {
    events: [chunk({ reasoning_content: "", content: "Hi" }), finish(), DONE],
    pieces: "Hi|",
    final: final()
  },
  "progress of the prompt without numbers": {
    events: [{ ...chunk({ role: "assistant", content: null }), prompt_progress: { total: 9 } }, finish(), DONE],
    pieces: "|",
    final: final()
  },
  "no text at all": { events: [finish(), DONE], final: final() },
  "fields that are null or missing": {
    events: [
      { choices: [{ delta: null, finish_reason: null, logprobs: null }], model: null, usage: null, timings: null },
      { choices: null },
      { choices: [{ finish_reason: "stop" }] },
      DONE
    ],
    pieces: "|",
    final: final()
  },

  length: { events: [finish("length"), DONE], final: final({ finishReason: "length" }) },
  content_filter: { events: [finish("content_filter"), DONE], final: final({ finishReason: "content-filter" }) },
  "tool_calls without calls": { events: [finish("tool_calls"), DONE], failure: failure("ParseError") },
  "function_call without a call": { events: [finish("function_call"), DONE], failure: failure("ParseError") },
  "model_length is Mistral's word for length": {
    events: [text("Hi"), finish("model_length"), DONE],
    pieces: "Hi|",
    final: final({ finishReason: "length" })
  },
  ...Object.fromEntries(
    (
      [
        ["stop", "STOP eos_token end_turn stop_sequence"],
        ["length", "max_tokens MAX_TOKENS max_output_tokens model_context_window_exceeded context_length_exceeded"],
        ["content-filter", "SAFETY sensitive"]
      ] as const
    ).flatMap(([finishReason, words]) =>
      words
        .split(" ")
        .map((word) => [
          `${word} means ${finishReason}`,
          { events: [text("Hi"), finish(word), DONE], pieces: "Hi|", final: final({ finishReason }) }
        ])
    )
  ),
  ...Object.fromEntries(
    "timeout time_limit malformed_function_call insufficient_system_resource network_error"
      .split(" ")
      .map((word) => [
        `${word} is a failure`,
        { events: [text("Hi"), finish(word), DONE], pieces: "Hi|", failure: failure("StreamError") }
      ])
  ),
  "half a call at the limit, in the word of Anthropic": {
    events: [
      chunk({ tool_calls: [{ index: 0, id: "x", function: { name: "f", arguments: '{"a":' } }] }),
      finish("max_tokens"),
      DONE
    ],
    pieces: '[0#x f({"a":]|',
    final: final({ finishReason: "length" })
  },
  "tool_use without a call": { events: [finish("tool_use"), DONE], failure: failure("ParseError") },
  "an unknown reason": { events: [finish("weird"), DONE], final: final({ finishReason: "other" }) },
  "an empty finish reason is not a finish": {
    events: [chunk({ content: "Hi" }, ""), finish(), DONE],
    pieces: "Hi|",
    final: final()
  },

  "no [DONE] after the finish": { events: [text("Hi"), finish()], pieces: "Hi|", final: final() },
  "[DONE] without an empty line": { events: [text("Hi"), finish()], rest: DONE, pieces: "Hi|", final: final() },
  "[DONE] with spaces around it": { events: [finish(), "data:  [DONE] "], final: final() },
  "a finish without an empty line": {
    events: [text("Hi")],
    rest: `data: ${JSON.stringify(finish())}`,
    pieces: "Hi|",
    final: final()
  },
  "half a chunk after the finish": {
    events: [finish()],
    rest: 'data: {"choices":[],"usa',
    failure: failure("StreamTruncated")
  },
  "anything after the end is ignored": { events: [finish(), DONE, "data: garbage", text("more")], final: final() },
  "[DONE] without a finish": { events: [text("Hi"), DONE], pieces: "Hi|", failure: failure("StreamTruncated") },
  "[DONE] with text after it is a record": {
    events: [text("Hi"), finish(), "data: [DONE]xyz"],
    pieces: "Hi|",
    failure: failure("ParseError", { description: "not JSON" })
  },
  "[DONE] as the first of two data lines is a record": {
    events: [text("Hi"), finish(), `data: [DONE]\ndata: ${JSON.stringify(usageChunk)}`],
    pieces: "Hi|",
    failure: failure("ParseError", { description: "not JSON" })
  },
  "the end without a finish": { events: [text("Hi")], pieces: "Hi|", failure: failure("StreamTruncated") },
  "another object after the last event": {
    events: [text("Hi")],
    rest: 'data: {"status":"ok"}',
    pieces: "Hi|",
    failure: failure("ParseError")
  },
  "half a chunk": { events: [text("Hi")], rest: 'data: {"choi', pieces: "Hi|", failure: failure("StreamTruncated") },
  "only comments": { events: [": ping", ":"], failure: failure("StreamTruncated") },
  // Ollama's `/v1` sends this for an error in the middle.
  "an empty chunk instead of an error": {
    events: [text("Hi"), { model: "", choices: [{ index: 0, delta: { content: "" }, finish_reason: null }] }],
    pieces: "Hi||",
    failure: failure("StreamTruncated")
  },

  "comments and pings": {
    events: [":", ": keep-alive", "event: ping\ndata: {}", "event: ping\ndata:", "data:", text("Hi"), finish(), DONE],
    pieces: "Hi|",
    final: final()
  },
  "named events of a proxy are ignored": {
    events: ["event: x\ndata: nonsense", text("Hi"), finish(), DONE],
    pieces: "Hi|",
    final: final()
  },
  "a chunk in a named event": {
    events: [`event: completion\ndata: ${JSON.stringify(text("Hi"))}`, finish(), DONE],
    pieces: "Hi|",
    final: final()
  },
  "JSON over several lines": {
    events: [`data: ${JSON.stringify(text("Hi"), null, 1).replaceAll("\n", "\ndata: ")}`, finish(), DONE],
    pieces: "Hi|",
    final: final()
  }
}

describe("an answer to a chat", () => {
  for (const [what, row] of Object.entries(answers)) it.effect(what, () => checkRow(row, chat))
})

describe("an answer to a prompt", () => {
  const plain = (text: string | null, finish_reason: string | null = null, more: object = {}): object => ({
    choices: [{ index: 0, text, logprobs: null, finish_reason }],
    ...more
  })
  const table: Readonly<Record<string, Row>> = {
    "usage with the finish": {
      events: [plain("Hi"), plain("", "length", usage), DONE],
      pieces: "Hi|",
      final: final({ finishReason: "length", usage: [8, 3, 11] })
    },
    "usage after the finish": {
      events: [plain("Hi"), plain("!", "stop"), usageChunk, DONE],
      pieces: "Hi|!|",
      final: final({ usage: [8, 3, 11] })
    },
    "null for text": { events: [plain(null), plain(null, "stop"), DONE], pieces: "|", final: final() },
    "no finish": { events: [plain("Hi"), DONE], pieces: "Hi|", failure: failure("StreamTruncated") },
    "text that is not a string": {
      events: [plain("Hi"), { choices: [{ text: ["a"] }] }],
      pieces: "Hi|",
      failure: failure("ParseError")
    }
  }
  for (const [what, row] of Object.entries(table)) it.effect(what, () => checkRow(row, completion))
})

describe("text in other fields than delta.content", () => {
  const message = (value: object, finish_reason: string | null = null, more: object = {}): object => ({
    choices: [{ index: 0, message: value, finish_reason }],
    ...more
  })
  const refused = final({ finishReason: "content-filter" })
  const table: Readonly<Record<string, Row>> = {
    "a whole message": {
      events: [message({ role: "assistant", content: "Hi" }, "stop"), DONE],
      pieces: "Hi|",
      final: final()
    },
    "messages in pieces": {
      events: [message({ content: "H" }), message({ content: "i", reasoning_content: "Hm" }), finish(), DONE],
      pieces: "H|(Hm)i|",
      final: final()
    },
    "a message beside an empty delta": {
      events: [{ choices: [{ index: 0, delta: {}, message: { content: "Hi" } }] }, finish(), DONE],
      pieces: "Hi|",
      final: final()
    },
    "a whole completion at the end repeats the deltas": {
      events: [text("H"), text("i"), message({ content: "Hi" }, "stop", { object: "chat.completion" }), DONE],
      pieces: "H|i|",
      final: final()
    },
    "a list of parts": {
      events: [
        chunk({ content: [{ type: "thinking", thinking: [{ type: "text", text: "Hm" }] }] }),
        chunk({
          content: [
            { type: "text", text: "H" },
            { type: "text", text: "i" }
          ]
        }),
        finish(),
        DONE
      ],
      pieces: "(Hm)|Hi|",
      final: final()
    },
    "a list of parts in a message": {
      events: [message({ content: [{ type: "text", text: "Hi" }] }), finish(), DONE],
      pieces: "Hi|",
      final: final()
    },
    "a part of an unknown form": {
      events: [chunk({ content: [{ type: "image_url", image_url: { url: "x" } }] }), finish(), DONE],
      failure: failure("ParseError", { description: "a part of the content has no known form" })
    },
    "a refusal": {
      events: [chunk({ content: null, refusal: "I can" }), chunk({ refusal: "not" }), finish(), DONE],
      pieces: "I can|not|",
      final: refused
    },
    "a refusal in a message": { events: [message({ refusal: "No" }, "stop"), DONE], pieces: "No|", final: refused },
    "refusal: null": {
      events: [chunk({ content: "Hi", refusal: null }), finish(), DONE],
      pieces: "Hi|",
      final: final()
    }
  }
  for (const [what, row] of Object.entries(table)) it.effect(what, () => checkRow(row, chat))
})

describe("what the server reports besides the text", () => {
  const read = (...events: ReadonlyArray<object>) =>
    Stream.runCollect(
      decode(
        chat,
        events.map((event) => encode(`data: ${JSON.stringify(event)}\n\n`))
      )
    )
  const details = {
    ...usage.usage,
    prompt_tokens_details: { cached_tokens: 5 },
    completion_tokens_details: { reasoning_tokens: 2 }
  }

  it.effect("cached tokens, reasoning tokens and the id of the answer are on the final chunk", () =>
    Effect.map(read(finish("stop", { usage: details })), (chunks) => {
      expect(chunks.at(-1)).toEqual({
        content: "",
        isFinal: true,
        model: "asked",
        finishReason: "stop",
        responseId: "x",
        usage: { promptTokens: 8, completionTokens: 3, totalTokens: 11, cachedTokens: 5, reasoningTokens: 2 }
      })
    })
  )

  it.effect("cached tokens are read from the timings if the usage does not have them", () =>
    Effect.map(read(finish(), { ...usageChunk, timings: { cache_n: 6, prompt_ms: 1 } }), (chunks) => {
      expect(chunks.at(-1)).toMatchObject({ usage: { cachedTokens: 6 } })
    })
  )

  it.effect("cached tokens of the usage take precedence over those of the timings", () =>
    Effect.map(read(finish("stop", { usage: details, timings: { cache_n: 6 } })), (chunks) => {
      expect(chunks.at(-1)).toMatchObject({ usage: { cachedTokens: 5 } })
    })
  )

  it.effect("an id that is not a text is ignored", () =>
    Effect.map(read({ id: 7, choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }), (chunks) => {
      expect(chunks).toEqual([{ content: "", isFinal: true, model: "asked", finishReason: "stop" }])
    })
  )

  it.effect("timings that are not finite or below zero are no defect", () =>
    Effect.gen(function* () {
      const event = '{"choices":[{"delta":{},"finish_reason":"stop"}],"timings":{"prompt_ms":1e999,"predicted_ms":-1}}'
      const chunks = yield* Stream.runCollect(decode(chat, [encode(`data: ${event}\n\n`)]))
      expect(chunks.at(-1)?.isFinal).toBe(true)
    })
  )

  it.effect("progress of the prompt makes chunks without text, with and without a choice", () =>
    Effect.map(
      read(
        {
          ...chunk({ role: "assistant", content: null }),
          prompt_progress: { total: 9, cache: 1, processed: 4, time_ms: 3 }
        },
        { choices: [], prompt_progress: { total: 9, processed: 8 } },
        { prompt_progress: { total: 9, processed: 9 } },
        finish()
      ),
      (chunks) => {
        expect(chunks.slice(0, -1)).toEqual([
          { content: "", isFinal: false, promptProgress: { processed: 4, total: 9, cached: 1 } },
          { content: "", isFinal: false, promptProgress: { processed: 8, total: 9 } },
          { content: "", isFinal: false, promptProgress: { processed: 9, total: 9 } }
        ])
      }
    )
  )
})
