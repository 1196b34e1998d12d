/** The LM Studio provider on a real llama.cpp server, whose scripted models give known answers. */
import { expect, it, layer as withLayer } from "@effect/vitest"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ChatRequest, CompletionRequest, PromptRequest } from "../../src/CompletionRequest.ts"
import * as LmStudio from "../../src/LmStudio.ts"
import { Provider } from "../../src/Provider.ts"
import { endless, json, sky, think, tool, utf8 } from "../support/scriptedModels.ts"
import type { Transcript } from "../support/transcript.ts"
import { record } from "../support/transcript.ts"
import { testCommon, waysToStop } from "./common.ts"
import * as LlamaServer from "./llamaServer.ts"

const ask = (model: string, more: Partial<ChatRequest> | PromptRequest = {}): CompletionRequest =>
  more.prompt === undefined ? { model, messages: [{ role: "user", content: "Why?" }], ...more } : { model, ...more }

/** A prompt of so many tokens, four more for the template. */
const long = (tokens: number, token = "x"): Partial<ChatRequest> => ({
  messages: [{ role: "user", content: token.repeat(tokens) }]
})

const pieces = (list: ReadonlyArray<string>): string => list.map((piece) => `${piece}|`).join("")

// --- what it says

const weather = {
  name: "get_weather",
  description: "Weather of a city",
  parameters: Schema.Struct({ city: Schema.String, unit: Schema.optionalKey(Schema.String) })
}
const called = [{ id: "some id", name: tool.name, arguments: tool.arguments }]
const toolPieces = `|[0#id ${tool.name}({]|[0("city]|[0(" : "]|[0(Par]|[0(is]|[0(","unit":]|[0("c"}]|`

/** Ids are new every time, and times are what they are. */
const withoutChance = ({ calls, final, pieces, ...rest }: Transcript): object => ({
  ...rest,
  pieces: pieces.replaceAll(/#\w+/g, "#id"),
  ...(calls === undefined
    ? {}
    : { calls: calls.map(({ arguments: args, name }) => ({ id: "some id", name, arguments: args })) }),
  ...(final === undefined ? {} : { final: `${final.model} ${final.finishReason}, ${final.usage?.join(" ")}` })
})

interface Row {
  readonly request: Partial<ChatRequest> | PromptRequest
  readonly pieces: string
  /** Model, reason, tokens of the prompt, of the answer, of both. */
  readonly final?: unknown
  readonly calls?: ReadonlyArray<object>
  readonly failure?: object
}

const answers: Readonly<Record<string, Readonly<Record<string, Row>>>> = {
  sky: {
    text: { request: {}, pieces: `|${pieces(sky)}`, final: "sky stop, 8 49 57" },
    length: { request: { maxTokens: 3 }, pieces: "|The| sky| is|", final: "sky length, 8 3 11" },
    "a stop word": {
      request: { stop: ["air"] },
      pieces: "|The| sky| is| blue| because| |",
      final: "sky stop, 8 6 14"
    },
    "a prompt, without a template": {
      request: { prompt: "Why?", maxTokens: 4 },
      pieces: "The| sky| is| blue|",
      final: "sky length, 5 4 9"
    },
    // This server ignores the requested name. The answer names the model that it has.
    "an unknown model": { request: { model: "nope", maxTokens: 1 }, pieces: "|The|", final: "sky length, 8 1 9" },
    "a conversation": {
      request: {
        messages: [
          { role: "system", content: "a" },
          { role: "user", content: "b" },
          { role: "assistant", content: "c", thinking: "d" },
          { role: "user", content: "e" }
        ],
        maxTokens: 1
      },
      pieces: "|The|",
      final: "sky length, 14 1 15"
    },
    "a wrong setting": {
      request: { extra: { n_probs: "many" } },
      pieces: "",
      failure: { _tag: "InvalidRequest" }
    },
    "a picture for a model that cannot see": {
      request: { messages: [{ role: "user", content: "x", images: ["aGk="] }] },
      pieces: "",
      failure: { _tag: "Unsupported", feature: "image input" }
    }
  },
  utf8: {
    "characters over several tokens": { request: {}, pieces: `|${pieces(utf8)}`, final: "utf8 stop, 8 15 23" },
    "characters cut by the length": { request: { maxTokens: 3 }, pieces: "|Caf|é|", final: "utf8 length, 8 3 11" }
  },
  think: {
    "thinking, then the answer": {
      request: {},
      pieces: `|${pieces(think.thinking.map((piece) => `(${piece})`))}${pieces(think.content)}`,
      final: "think stop, 8 10 18"
    }
  },
  tool: {
    "a call, in fragments and whole": {
      request: { tools: [weather] },
      pieces: toolPieces,
      calls: called,
      final: expect.stringMatching(/^tool tool-calls, /)
    },
    "a call and its result, sent back": {
      request: {
        tools: [weather],
        messages: [
          { role: "user", content: "Weather?" },
          {
            role: "assistant",
            content: "",
            toolCalls: [{ id: "a", name: "get_weather", arguments: { city: "Oslo" } }]
          },
          { role: "tool", content: "22", toolCallId: "a", toolName: "get_weather" }
        ]
      },
      pieces: toolPieces,
      calls: called,
      final: expect.stringMatching(/^tool tool-calls, /)
    }
  },
  json: {
    "JSON after a Schema": {
      request: { format: Schema.Struct({ city: Schema.String, celsius: Schema.Finite }) },
      pieces: `|${pieces(json)}`,
      final: "json stop, 8 11 19"
    },
    "any JSON": { request: { format: "json" }, pieces: `|${pieces(json)}`, final: "json stop, 8 11 19" },
    "an invalid format": {
      request: { format: { type: "nonsense" } },
      pieces: "",
      failure: { _tag: "InvalidRequest" }
    }
  }
}

for (const [model, rows] of Object.entries(answers)) {
  LlamaServer.describeLlamaServer(`the model "${model}"`, () => {
    withLayer(LlamaServer.layerWithProvider({ model }), { excludeTestServices: true })((it) => {
      for (const [what, { request, ...expected }] of Object.entries(rows)) {
        it.effect(what, () =>
          Effect.gen(function* () {
            const { stream } = yield* Provider
            expect(withoutChance(yield* record(stream(ask(model, request))))).toMatchObject(expected)
          })
        )
      }

      it.effect("is listed, and no other", () =>
        Effect.gen(function* () {
          const { listModels, supportsModel } = yield* Provider
          expect(yield* listModels).toMatchObject([{ id: model, contextLength: 131_072 }])
          expect([yield* supportsModel(model), yield* supportsModel("nope")]).toEqual([true, false])
        })
      )
    })
  })
}

testCommon(
  "llama.cpp's server",
  "missing" in LlamaServer.installed ? LlamaServer.installed : { model: "endless" },
  LlamaServer.layerWithProvider({ model: "endless" })
)

// --- how it says it

LlamaServer.describeLlamaServer("a consumer that stops", () => {
  const layer = LlamaServer.layerWithProvider({ model: "endless", parameters: { n_ctx: 65_536 } })
  withLayer(layer, { excludeTestServices: true })("stops the server", (it) => {
    for (const [how, stop] of Object.entries(waysToStop)) {
      it.effect(`${how}`, () =>
        Effect.gen(function* () {
          const { untilGenerating } = yield* LlamaServer.LlamaServer
          yield* stop(yield* Provider, ask("endless"), Effect.asVoid(untilGenerating(1)))
          expect(yield* untilGenerating(0)).toBeLessThan(1000)
        })
      )
    }

    // llama.cpp reads a prompt to its end, even if the client has gone; curl sees the same. No token comes after it.
    it.effect("while the prompt is read, once it is read", () =>
      Effect.gen(function* () {
        const { complete } = yield* Provider
        const { untilGenerating } = yield* LlamaServer.LlamaServer
        const fiber = yield* Effect.forkChild(complete(ask("endless", long(4000))))
        yield* untilGenerating(1)
        const [time] = yield* Effect.timed(Fiber.interrupt(fiber))
        expect(Duration.toMillis(time)).toBeLessThan(100)
        expect(yield* untilGenerating(0)).toBeLessThan(15_000)
      })
    )

    it.effect("by a deadline", () =>
      Effect.gen(function* () {
        const { complete } = yield* Provider
        const { untilGenerating } = yield* LlamaServer.LlamaServer
        const error = yield* Effect.flip(complete(ask("endless", { deadlines: { total: "500 millis" } })))
        expect(error.reason).toMatchObject({ _tag: "Timeout", kind: "total" })
        expect(yield* untilGenerating(0)).toBeLessThan(1000)
      })
    )
  })
})

LlamaServer.describeLlamaServer("eight streams at once", () => {
  const parameters = { n_parallel: 8, n_ctx: 8 * 1024 }
  withLayer(LlamaServer.layerWithProvider({ model: "endless", parameters }), { excludeTestServices: true })((it) => {
    it.effect("each has its own answer, whole", () =>
      Effect.gen(function* () {
        const { stream } = yield* Provider
        const { untilGenerating } = yield* LlamaServer.LlamaServer
        const lengths = [300, 350, 400, 450, 500, 550, 600, 650]
        const fiber = yield* Effect.forkChild(
          Effect.forEach(lengths, (maxTokens) => record(stream(ask("endless", { maxTokens }))), { concurrency: 8 })
        )
        yield* untilGenerating(8)
        const seen = yield* Fiber.join(fiber)
        expect(seen.map((transcript) => transcript.pieces)).toEqual(
          lengths.map((length) => `|${pieces(endless(length))}`)
        )
      })
    )
  })
})

LlamaServer.describeLlamaServer("a server that wants a key", () => {
  const layer = LlamaServer.layer({ model: "sky", parameters: { api_keys: ["the key"] } })
  const table: ReadonlyArray<readonly [what: string, token: string | undefined, tag: string]> = [
    ["no key", undefined, "AuthenticationError"],
    ["a wrong key", "another key", "AuthenticationError"],
    ["the key", "the key", "ok"]
  ]
  withLayer(layer, { excludeTestServices: true })((it) => {
    for (const [what, token, tag] of table) {
      it.effect(`${what}: ${tag}`, () =>
        Effect.gen(function* () {
          const { complete, listModels } = yield* Provider
          const tags = yield* Effect.all([
            complete(ask("sky", { maxTokens: 1 })).pipe(
              Effect.match({ onFailure: (e) => e.reason._tag, onSuccess: () => "ok" })
            ),
            listModels.pipe(Effect.match({ onFailure: (e) => e.reason._tag, onSuccess: () => "ok" }))
          ])
          expect(tags).toEqual([tag, tag])
        }).pipe(
          Effect.provide(LlamaServer.providerLayer({ token: token === undefined ? undefined : Redacted.make(token) }))
        )
      )
    }
  })
})

LlamaServer.describeLlamaServer("a small context", () => {
  withLayer(LlamaServer.layerWithProvider({ model: "endless", parameters: { n_ctx: 512 } }), {
    excludeTestServices: true
  })((it) => {
    it.effect("a prompt that does not fit is an overflow, with both numbers", () =>
      Effect.gen(function* () {
        const { complete } = yield* Provider
        const error = yield* Effect.flip(complete(ask("endless", long(2000))))
        expect(error.reason).toMatchObject({ _tag: "ContextOverflow", promptTokens: 2004, contextLength: 512 })
      })
    )

    it.effect("an answer that does not fit ends by length", () =>
      Effect.gen(function* () {
        const { complete } = yield* Provider
        const { content, finishReason, usage } = yield* complete(ask("endless", long(100)))
        expect([finishReason, usage?.totalTokens]).toEqual(["length", 512])
        expect(content).toBe(endless(512 - 104).join(""))
      })
    )
  })
})

LlamaServer.describeLlamaServer("a prompt that takes long to read", () => {
  // Two tokens at a time, which takes seconds on any machine.
  const parameters = { n_batch: 2, n_ubatch: 2, n_ctx: 16_384, sse_ping_interval: 1 }
  const received: Array<string> = []
  withLayer(LlamaServer.layer({ model: "endless", parameters }), { excludeTestServices: true })((it) => {
    it.effect("is kept alive by comments, which are no chunks", () =>
      Effect.gen(function* () {
        const { url } = yield* LlamaServer.LlamaServer
        const { stream } = yield* LmStudio.make({ baseUrl: url })
        const seen = yield* record(stream(ask("endless", { ...long(6000), maxTokens: 2 })))
        expect(seen).toMatchObject({ pieces: "|The| sky|", final: { usage: [6004, 2, 6006] } })
        expect(received.join("")).toMatch(/^:\n\n(:\n\n)*data: /)
      }).pipe(Effect.provide(recordBody(received)))
    )

    it.effect("does not count them as a first chunk", () =>
      Effect.gen(function* () {
        const { complete } = yield* Provider
        const deadlines = { firstChunk: "1200 millis", idle: "100 millis" } as const
        const error = yield* Effect.flip(complete(ask("endless", { ...long(5000, "y"), maxTokens: 1, deadlines })))
        expect(error.reason).toMatchObject({ _tag: "Timeout", kind: "first-chunk" })
      }).pipe(Effect.provide(LlamaServer.providerLayer()))
    )
  })
})

/** The client of undici, which records the bodies that it receives. */
const recordBody = (received: Array<string>): Layer.Layer<HttpClient.HttpClient> =>
  Layer.effect(
    HttpClient.HttpClient,
    Effect.map(
      HttpClient.HttpClient,
      HttpClient.transformResponse(
        Effect.map((response): HttpClientResponse.HttpClientResponse => {
          const stream = Stream.tap(response.stream, (bytes) =>
            Effect.sync(() => received.push(new TextDecoder().decode(bytes)))
          )
          return Object.create(response, { stream: { value: stream } })
        })
      )
    )
  ).pipe(Layer.provide(NodeHttpClient.layerUndici))

LlamaServer.describeLlamaServer("a server that is killed in the middle of an answer", () => {
  it.live("is a NetworkError after the chunks that came before", () =>
    Effect.gen(function* () {
      const { kill } = yield* LlamaServer.LlamaServer
      const { stream } = yield* Provider
      let count = 0
      const seen = yield* record(Stream.tap(stream(ask("endless")), () => (++count === 100 ? kill : Effect.void)))
      expect(seen.failure).toMatchObject({ _tag: "NetworkError" })
      expect(seen.final).toBeUndefined()
      expect(count).toBeGreaterThanOrEqual(100)
      expect(seen.pieces).toBe(`|${pieces(endless(count - 1))}`)
    }).pipe(Effect.provide(LlamaServer.layerWithProvider({ model: "endless" })))
  )

  it.live("refuses connections afterwards", () =>
    Effect.gen(function* () {
      const { kill } = yield* LlamaServer.LlamaServer
      const { complete, listModels } = yield* Provider
      yield* kill
      for (const effect of [Effect.asVoid(complete(ask("sky"))), Effect.asVoid(listModels)]) {
        const error = yield* Effect.flip(effect)
        expect(error.reason).toMatchObject({
          _tag: "NetworkError",
          description: expect.stringContaining("ECONNREFUSED")
        })
      }
    }).pipe(Effect.provide(LlamaServer.layerWithProvider({ model: "sky" })))
  )
})
