/** Prompts that a server was allowed to truncate. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Message, Tool } from "../../src/CompletionRequest.ts"
import type { Usage } from "../../src/StreamingChunk.ts"
import type { FakeServer } from "../../src/testing/index.ts"
import type { ServerName } from "../support/setups.ts"
import { serverNames, start } from "../support/setups.ts"

const words = "All work and no play makes Jack a dull boy. "

interface Row {
  readonly prompt: string
  readonly contextLength?: number
  readonly usage: Usage | false
  readonly expected: boolean | undefined
}

const rows: { readonly [name: string]: Row } = {
  "far fewer tokens than the prompt has": { prompt: words.repeat(500), usage: { promptTokens: 512 }, expected: true },
  "as many tokens as the context has": {
    prompt: words.repeat(40),
    contextLength: 400,
    usage: { promptTokens: 400 },
    expected: true
  },
  "a prompt that fits in any case": {
    prompt: words,
    contextLength: 4096,
    usage: { promptTokens: 20 },
    expected: false
  },
  "a prompt that may fit": {
    prompt: words.repeat(100),
    contextLength: 4096,
    usage: { promptTokens: 1000 },
    expected: undefined
  },
  "repeated characters, which are few tokens": {
    prompt: " ".repeat(9000),
    usage: { promptTokens: 100 },
    expected: undefined
  },
  "no count": { prompt: words.repeat(500), usage: false, expected: undefined }
}

for (const [name, { contextLength, expected, prompt, usage }] of Object.entries(rows)) {
  it.effect(`${name}: ${expected}`, () =>
    Effect.gen(function* () {
      const { provider } = yield* start({ provider: "Ollama", client: "undici" }, { text: "Hi", usage })
      const messages = [{ role: "user", content: prompt }] as const
      const request = { model: "m", messages, ...(contextLength === undefined ? {} : { contextLength }) }
      const completion = yield* provider.complete({ ...request, overflow: "truncate" })
      expect(completion.promptTruncated).toBe(expected)
      // A server that must not truncate fails instead.
      expect((yield* provider.complete(request)).promptTruncated).toBeUndefined()
    })
  )
}

it.effect("images, tools and calls are tokens whose number is unknown", () =>
  Effect.gen(function* () {
    const { provider } = yield* start(
      { provider: "Ollama", client: "undici" },
      { text: "Hi", usage: { promptTokens: 20 } }
    )
    const find = (message: Partial<Message>, tools: ReadonlyArray<Tool> = []) => {
      const messages: ReadonlyArray<Message> = [{ role: "user", content: "Hi", ...message }]
      const request = { model: "m", messages, tools, contextLength: 4096, overflow: "truncate" } as const
      return Effect.map(provider.complete(request), ({ promptTruncated }) => promptTruncated)
    }
    expect(yield* find({})).toBe(false)
    const image = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)
    const call = { id: "1", name: "f", arguments: { text: words.repeat(1000) } }
    expect(yield* find({ images: [image] })).toBeUndefined()
    expect(yield* find({ role: "assistant", toolCalls: [call] })).toBeUndefined()
    expect(yield* find({ role: "assistant", thinking: words.repeat(1000) })).toBeUndefined()
    expect(yield* find({}, [{ name: "f", description: words.repeat(1000) }])).toBeUndefined()
  })
)

it.effect("every server reports it", () =>
  Effect.gen(function* () {
    for (const name of serverNames) {
      const { provider } = yield* start(
        { provider: name, client: "undici" },
        { text: "Hi", usage: { promptTokens: 9 } }
      )
      const request = { model: "m", prompt: words.repeat(500), overflow: "truncate" } as const
      expect((yield* provider.complete(request)).promptTruncated).toBe(true)
    }
  })
)

describe("a server that truncates although it must not", () => {
  const silent = ["LM Studio", "OpenAI-compatible server"] as const
  const chunk = (fields: object): FakeServer.Piece => ({ record: JSON.stringify(fields) })
  const choice = (delta: object, finish_reason: string | null = null) => ({
    choices: [{ index: 0, delta, finish_reason }]
  })
  const cut = { usage: { prompt_tokens: 2051, completion_tokens: 1 } }
  const request = {
    model: "m",
    messages: [{ role: "user", content: "words and more of them. ".repeat(4000) }]
  } as const
  const run = (server: ServerName, pieces: ReadonlyArray<FakeServer.Piece>, overflow?: "truncate") =>
    Effect.gen(function* () {
      const { provider } = yield* start({ provider: server, client: "undici" }, { pieces, usage: false })
      return yield* Effect.result(provider.complete({ ...request, overflow }))
    })
  const text = [chunk(choice({ content: "Hi" })), chunk(choice({}, "stop"))]

  for (const server of silent) {
    it.effect(`${server}: usage at the end marks the final chunk`, () =>
      Effect.gen(function* () {
        const result = yield* run(server, [...text, chunk({ choices: [], ...cut })])
        expect(result).toMatchObject({ success: { content: "Hi", promptTruncated: true } })
      })
    )
    it.effect(`${server}: usage before the first text, or with it, is a failure`, () =>
      Effect.gen(function* () {
        for (const pieces of [
          [chunk({ ...choice({ role: "assistant", content: "" }), ...cut }), ...text],
          [chunk({ ...choice({ content: "Hi" }), ...cut }), ...text],
          [chunk({ ...choice({ role: "assistant" }, "stop"), ...cut })]
        ]) {
          expect(yield* run(server, pieces)).toMatchObject({ failure: { reason: { _tag: "ContextOverflow" } } })
        }
      })
    )
    it.effect(`${server}: usage of 0 and a prompt of enough tokens are no sign`, () =>
      Effect.gen(function* () {
        const report = (prompt_tokens: number) => chunk({ choices: [], usage: { prompt_tokens, completion_tokens: 1 } })
        const counts = [
          [0, 0],
          [0, 20_000],
          [20_000, 20_000],
          [20_000, 0]
        ] as const
        for (const [first, last] of counts) {
          const result = yield* run(server, [report(first), ...text, report(last)])
          expect(result).toMatchObject({ success: { content: "Hi" } })
          expect(result).not.toHaveProperty("success.promptTruncated")
        }
      })
    )
  }
  it.effect("llama-server rejects such prompts itself, so its count is not a sign", () =>
    Effect.gen(function* () {
      const result = yield* run("llama-server", [...text, chunk({ choices: [], ...cut })])
      expect(result).not.toHaveProperty("success.promptTruncated")
    })
  )
})
