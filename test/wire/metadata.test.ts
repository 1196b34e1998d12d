/** What is not text, thinking, a tool call or the end is optional: in another shape it is left out, and the answer goes on. */
import { describe, expect, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Ollama from "../../src/protocol/ollama/endpoints.ts"
import { pull } from "../../src/protocol/ollama/transfers.ts"
import { dialect as lmStudio } from "../../src/servers/lmStudio.ts"
import * as LlamaServerRoutes from "../../src/protocol/openai/llamaServer.ts"
import * as OllamaModels from "../../src/protocol/ollama/models.ts"
import * as OpenAi from "../../src/protocol/openai/endpoints.ts"
import * as LmStudioRoutes from "../../src/protocol/openai/lmStudio.ts"
import type { Endpoint } from "../../src/protocol/endpoint.ts"
import type { Expected } from "../support/decoding.ts"
import { encode } from "../support/bytes.ts"
import { check, decode } from "../support/decoding.ts"
import type { Row } from "../support/openaiEvents.ts"
import { checkRow, chunk, DONE, failure, final, finalWithCalls, finish, text, usage } from "../support/openaiEvents.ts"

const chat = OpenAi.chat(lmStudio)

/** Any JSON value that is no object with the fields that are read. */
const odd = Arbitrary.schema(
  Schema.Union([
    Schema.Null,
    Schema.Literals([true, false, 0, -1, "", "x", "1e3", "-2"]),
    Schema.Array(Schema.Union([Schema.Null, Schema.Literals([1, "x"])])),
    Schema.Record(Schema.Literals(["a", "b"]), Schema.Union([Schema.Null, Schema.Literals([1, "x"])]))
  ])
)

const ofChunk = ["id", "object", "created", "model", "usage", "timings", "prompt_progress", "system_fingerprint", "x"]
const ofChoice = ["index", "logprobs", "usage", "stop_reason", "native_finish_reason"]
const ofDelta = ["role", "reasoning_details", "name"]

describe("metadata of an OpenAI-style answer", () => {
  it.effect.prop(
    "may have any shape",
    { field: Schema.Literals([...ofChunk, ...ofChoice, ...ofDelta]), odd },
    ({ field, odd }) => {
      const of = (fields: ReadonlyArray<string>) => (fields.includes(field) ? { [field]: odd } : {})
      const piece = (delta: object, finish_reason: string | null) => ({
        ...of(ofChunk),
        choices: [{ delta: { ...delta, ...of(ofDelta) }, finish_reason, ...of(ofChoice) }]
      })
      const events = [piece({ content: "Hi" }, null), piece({}, "stop"), DONE]
      const model = field === "model" && typeof odd === "string" && odd !== "" ? odd : "asked"
      // The fields of `timings` are optional, so that any object is one.
      const timings = field === "timings" && typeof odd === "object" && odd !== null && !Array.isArray(odd)
      return checkRow({ events, pieces: "Hi|", final: final({ model, ...(timings ? { timings: {} } : {}) }) }, chat)
    }
  )

  const counted = (value: unknown, read: ReadonlyArray<number | undefined> | undefined): Row => ({
    events: [text("Hi"), finish("stop", { usage: value }), DONE],
    pieces: "Hi|",
    final: final(read === undefined ? {} : { usage: read })
  })
  const table: Readonly<Record<string, Row>> = {
    "usage: numbers as text": counted({ prompt_tokens: "8", completion_tokens: " 3 ", total_tokens: 11 }, [8, 3, 11]),
    "usage: texts that may be no number": counted(
      { prompt_tokens: "1,000", completion_tokens: "0x3", total_tokens: "11" },
      [undefined, undefined, 11]
    ),
    "usage: a number in a list": counted({ prompt_tokens: [8], completion_tokens: 3 }, [undefined, 3, undefined]),
    "usage: details of another shape": counted(
      { ...usage.usage, prompt_tokens_details: [], completion_tokens_details: "x" },
      [8, 3, 11]
    ),
    "usage inside the choice": {
      events: [text("Hi"), { choices: [{ delta: {}, finish_reason: "stop", ...usage }] }, DONE],
      pieces: "Hi|",
      final: final({ usage: [8, 3, 11] })
    },
    "timings with text": {
      events: [finish("stop", { timings: { prompt_ms: "1.5", predicted_ms: {}, cache_n: "x" } }), DONE],
      final: final({ timings: { prompt: 1.5 } })
    },
    "an index as text": {
      events: [{ choices: [{ index: "0", delta: { content: "Hi" } }] }, finish(), DONE],
      pieces: "Hi|",
      final: final()
    }
  }
  for (const [what, row] of Object.entries(table)) it.effect(what, () => checkRow(row, chat))
})

describe("an empty value in place of a part", () => {
  const nothings = [null, "", false, [], {}]
  const fields = ["content", "refusal", "reasoning", "reasoning_content", "thinking", "tool_calls", "function_call"]
  it.effect.each(nothings)("%j", (nothing) =>
    Effect.gen(function* () {
      for (const field of fields) {
        const events = [text("Hi"), chunk({ [field]: nothing }), chunk({ [field]: nothing }, "stop"), DONE]
        yield* checkRow({ events, pieces: "Hi||", final: final() }, chat)
      }
      for (const field of ["delta", "message", "text"]) {
        const events = [text("Hi"), { choices: [{ [field]: nothing }] }, finish(), DONE]
        yield* checkRow({ events, pieces: "Hi||", final: final() }, chat)
      }
      const call = { id: "x", function: { name: "f", arguments: nothing } }
      yield* checkRow(
        {
          events: [chunk({ tool_calls: [call] }), finish(), DONE],
          pieces: JSON.stringify(nothing) === "{}" ? "[0#x f({}]|" : "[0#x f(]|",
          calls: [{ id: "x", name: "f", arguments: {} }],
          final: finalWithCalls
        },
        chat
      )
    })
  )

  it.effect.each(["content", "refusal", "tool_calls"])("%s of another shape still fails", (field) =>
    Effect.forEach([5, true, [5]], (value) =>
      checkRow({ events: [text("Hi"), chunk({ [field]: value })], pieces: "Hi|", failure: failure("ParseError") }, chat)
    )
  )
  it.effect("thinking that is only in another shape still fails", () =>
    checkRow(
      { events: [chunk({ reasoning: { text: "Hm" } }), finish(), DONE], pieces: "|", failure: failure("ParseError") },
      chat
    )
  )
})

describe("one tool call without a list", () => {
  const call = { function: { name: "f", arguments: '{"a":1}' } }
  it.effect("of TGI, in fragments", () =>
    checkRow(
      {
        events: [
          chunk({ tool_calls: { index: 0, id: "", function: { name: "f", arguments: '{"a"' } } }),
          chunk({ tool_calls: { index: 0, id: "", function: { name: null, arguments: ":1}" } } }),
          finish("tool_calls"),
          DONE
        ],
        pieces: '[0 f({"a"]|[0(:1}]|',
        calls: [{ id: "call_0", name: "f", arguments: { a: 1 } }],
        final: finalWithCalls
      },
      chat
    )
  )
  it.effect("in a message", () =>
    checkRow(
      {
        events: [{ choices: [{ message: { tool_calls: call }, finish_reason: "tool_calls" }] }, DONE],
        pieces: '[0 f({"a":1}]|',
        calls: [{ id: "call_0", name: "f", arguments: { a: 1 } }],
        final: finalWithCalls
      },
      chat
    )
  )
  it.effect("with an index and an id of another type", () =>
    checkRow(
      {
        events: [
          chunk({ tool_calls: [{ index: "0", id: 7, ...call }] }),
          chunk({ tool_calls: [{ index: "1", id: {}, ...call }] }),
          finish(),
          DONE
        ],
        pieces: '[0 f({"a":1}]|[1 f({"a":1}]|',
        calls: [
          { id: "call_0", name: "f", arguments: { a: 1 } },
          { id: "call_1", name: "f", arguments: { a: 1 } }
        ],
        final: finalWithCalls
      },
      chat
    )
  )
  it.effect("of a server that imitates Ollama", () =>
    check(Ollama.chat, `${JSON.stringify({ message: { tool_calls: { id: 7, ...call } }, done: true })}\n`, {
      calls: [{ id: "call_0", name: "f", arguments: { a: 1 } }],
      final: finalWithCalls
    })
  )
})

describe("metadata of Ollama", () => {
  const fields = [
    "created_at",
    "model",
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_cached_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
    "context",
    "logprobs",
    "done_reason"
  ]
  const routes = [
    [Ollama.chat, { message: { content: "Hi" } }],
    [Ollama.generate, { response: "Hi" }]
  ] as const

  it.effect.prop("may have any shape", { field: Schema.Literals(fields.slice(0, -1)), odd }, ({ field, odd }) =>
    Effect.forEach(routes, ([route, record]) => {
      const lines = [
        { ...record, [field]: odd, done: false },
        { [field]: odd, done: true, done_reason: "stop" }
      ]
      const model = field === "model" && typeof odd === "string" && odd !== "" ? odd : "asked"
      const counts = field === "prompt_eval_count" ? [0, undefined] : [undefined, 0]
      const isCounted = odd === 0 && /^(?:prompt_)?eval_count$/.test(field)
      const isTimed = odd === 0 && field === "total_duration"
      return check(route, lines.map((line) => `${JSON.stringify(line)}\n`).join(""), {
        pieces: "Hi|",
        final: final({
          model,
          ...(isCounted ? { usage: [...counts, undefined] } : {}),
          ...(isTimed ? { timings: { total: 0 } } : {})
        })
      })
    })
  )

  const rows: Readonly<Record<string, readonly [line: object, expected: Expected]>> = {
    "numbers as text": [
      { prompt_eval_count: "8", eval_count: "3", total_duration: "4000000" },
      { final: final({ usage: [8, 3, 11], timings: { total: 4 } }) }
    ],
    "empty values in place of parts": [
      { message: [], response: {}, thinking: [], tool_calls: {}, done_reason: "stop" },
      { final: final() }
    ],
    "empty values in the message": [
      { message: { content: [], thinking: {}, tool_calls: false }, done_reason: "stop" },
      { final: final() }
    ]
  }
  for (const [what, [line, expected]] of Object.entries(rows)) {
    it.effect(what, () =>
      check(Ollama.chat, `${JSON.stringify({ done: true, done_reason: "stop", ...line })}\n`, expected)
    )
  }
})

describe("the cached tokens of Ollama", () => {
  it.effect.each([
    [{ prompt_eval_count: 8, eval_count: 3, prompt_eval_cached_count: 5 }, 5],
    [{ prompt_eval_count: 8, prompt_eval_cached_count: 0 }, 0],
    [{ prompt_eval_count: 8, prompt_eval_cached_count: "5" }, 5],
    [{ prompt_eval_count: 8, prompt_eval_cached_count: -1 }, undefined],
    [{ prompt_eval_count: 8 }, undefined]
  ] as const)("%j: %s", ([counts, cachedTokens]) =>
    Effect.gen(function* () {
      const line = `${JSON.stringify({ done: true, done_reason: "stop", ...counts })}\n`
      const [final] = yield* Stream.runCollect(decode(Ollama.chat, [encode(line)]))
      expect(final?.isFinal === true ? final.usage?.cachedTokens : "no final chunk").toBe(cachedTokens)
    })
  )
})

describe("metadata of embeddings and of lists of models", () => {
  const reader =
    <Out>({ decoder }: Pick<Endpoint<never, Out>, "decoder">) =>
    (body: unknown) => {
      const out: Array<Out> = []
      const progress = decoder({ model: "asked", endpoint: "GET /test", maxLineBytes: 1000 }).record(
        { data: JSON.stringify(body), name: "" },
        out
      )
      return { progress, value: out[0] }
    }
  type Read = (body: unknown) => { readonly progress: unknown }
  const models: ReadonlyArray<readonly [string, Read, (odd: unknown) => object]> = [
    ["/v1/models", reader(OpenAi.models), (odd) => ({ data: [{ id: "m", meta: odd, max_model_len: odd }] })],
    [
      "/v1/models, meta",
      reader(OpenAi.models),
      (odd) => ({ data: [{ id: "m", meta: { size: odd, n_ctx_train: odd } }] })
    ],
    [
      "/props",
      reader(LlamaServerRoutes.properties),
      (odd) => ({ default_generation_settings: odd, modalities: odd, is_sleeping: odd })
    ],
    ["/slots", reader(LlamaServerRoutes.slots), (odd) => [{ id: 0, is_processing: false, n_ctx: odd }]],
    [
      "/api/tags",
      reader(OllamaModels.tags),
      (odd) => ({ models: [{ name: "m", size: odd, details: odd, capabilities: odd }] })
    ],
    [
      "/api/tags, details",
      reader(OllamaModels.tags),
      (odd) => ({
        models: [
          { name: "m", details: { family: odd, parameter_size: odd, quantization_level: odd, context_length: odd } }
        ]
      })
    ],
    [
      "/api/show",
      reader(OllamaModels.show),
      (odd) => ({
        details: odd,
        capabilities: odd,
        model_info: odd,
        template: odd,
        system: odd,
        parameters: odd,
        license: odd
      })
    ],
    [
      "/api/ps",
      reader(OllamaModels.running),
      (odd) => ({ models: [{ name: "m", size: odd, size_vram: odd, context_length: odd, expires_at: odd }] })
    ],
    [
      "/api/v1/models",
      reader(LmStudioRoutes.modelsV1),
      (odd) => ({
        models: [
          {
            key: "m",
            type: odd,
            architecture: odd,
            quantization: odd,
            size_bytes: odd,
            params_string: odd,
            loaded_instances: [{ id: "m", config: odd }],
            max_context_length: odd,
            capabilities: odd
          },
          { key: "n", loaded_instances: odd },
          { key: "o", loaded_instances: [odd, { id: "o" }] }
        ]
      })
    ],
    ["/api/pull", reader(pull), (odd) => ({ status: "success", digest: odd, total: odd, completed: odd })],
    [
      "/api/v0/models",
      reader(LmStudioRoutes.modelsV0),
      (odd) => ({
        data: [
          { id: "m", type: odd, arch: odd, quantization: odd, max_context_length: odd, loaded_context_length: odd }
        ]
      })
    ],
    ["/api/embed", reader(Ollama.embed), (odd) => ({ model: odd, embeddings: [[1]], prompt_eval_count: odd })],
    [
      "/v1/embeddings",
      reader(OpenAi.embed(lmStudio)),
      (odd) => ({ model: odd, data: [{ embedding: [1] }], usage: odd })
    ]
  ]
  for (const [what, read, toBody] of models) {
    it.effect.prop(`${what}: may have any shape`, { odd }, ({ odd }) =>
      Effect.sync(() => {
        expect(read(toBody(odd)).progress).toBe("complete")
      })
    )
  }

  it("numbers as text are read", () => {
    const list = { data: [{ id: "m", meta: { size: "5", n_ctx_train: "4096" } }] }
    expect(reader(OpenAi.models)(list).value).toMatchObject([{ id: "m", sizeBytes: 5, contextLength: 4096 }])
    const answer = {
      data: [
        { index: "1", embedding: [2] },
        { index: "0", embedding: [1] }
      ],
      usage: { prompt_tokens: "7" }
    }
    expect(reader(OpenAi.embed(lmStudio))(answer).value).toMatchObject({ vectors: [[1], [2]], promptTokens: 7 })
  })
})
