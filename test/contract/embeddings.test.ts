/** Embeddings, for every server over sockets. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { FakeServer } from "../../src/testing/index.ts"
import { countLetters } from "../../src/values/text.ts"
import type { ServerName } from "../support/setups.ts"
import { serverNames, setups, start } from "../support/setups.ts"

const path: { readonly [K in ServerName]: string } = {
  Ollama: "/api/embed",
  "LM Studio": "/v1/embeddings",
  "llama-server": "/v1/embeddings",
  "OpenAI-compatible server": "/v1/embeddings"
}

const inputOf = (body: unknown): ReadonlyArray<string> =>
  Predicate.hasProperty(body, "input") && Array.isArray(body.input) ? body.input : []

const isEmbed = ({ path }: FakeServer.ReceivedRequest): boolean => /embed/.test(path)

/** Answers for embeddings with `reply`; everything else as the fake server does. */
const answering =
  (reply: (texts: ReadonlyArray<string>) => FakeServer.Reply): FakeServer.Script =>
  (request) =>
    isEmbed(request) ? reply(inputOf(request.body)) : { text: "" }

describe.each(setups)("$provider over $client", (setup) => {
  const isOllama = setup.provider === "Ollama"

  /** The server's own answer with these vectors. */
  const toBody = (vectors: ReadonlyArray<ReadonlyArray<number>>): object =>
    isOllama ? { model: "m", embeddings: vectors } : { data: vectors.map((embedding, index) => ({ index, embedding })) }

  it.effect("one vector for each text, in their order, however many there are", () =>
    Effect.gen(function* () {
      const { provider, server } = yield* start(setup, { text: "" })
      const input = Array.from({ length: 150 }, (_, i) => "abcdefghij".slice(i % 7, (i % 7) + 1 + (i % 3)))
      const { model, promptTokens, vectors } = yield* provider.embed({ model: "fake:latest", input })
      expect(vectors).toEqual(input.map((text) => countLetters(text)))
      expect({ model, promptTokens }).toEqual({ model: "fake:latest", promptTokens: 150 })
      const { requests } = yield* server.state
      const batches = requests.filter(isEmbed)
      expect(batches.every((request) => request.path === path[setup.provider])).toBe(true)
      expect(batches.map(({ body }) => inputOf(body).length).every((length) => length <= 32)).toBe(true)
      expect(batches.length).toBe(5)
    })
  )

  it.effect("a single text, and a number of dimensions", () =>
    Effect.gen(function* () {
      const { provider } = yield* start(setup, { text: "" })
      const { vectors } = yield* provider.embed({ model: "fake:latest", input: "aab", dimensions: 4 })
      expect(vectors).toEqual([countLetters("aab", 4)])
    })
  )

  it.effect("no texts give no vectors, without a request", () =>
    Effect.gen(function* () {
      const { provider, server } = yield* start(setup, { text: "" })
      expect(yield* provider.embed({ model: "m", input: [] })).toEqual({
        model: "m",
        vectors: [],
        provider: provider.name
      })
      expect((yield* server.state).requests).toEqual([])
    })
  )

  it.effect("a missing vector, an empty one and one too many are errors", () =>
    Effect.gen(function* () {
      for (const vectors of [[], [[1]], [[1], []], [[1], [1], [1]], [[1], [1, 2]]]) {
        const { provider } = yield* start(
          setup,
          answering(() => ({ status: 200, body: toBody(vectors) }))
        )
        const error = yield* Effect.flip(provider.embed({ model: "fake:latest", input: ["a", "b"] }))
        expect(error.reason._tag).toBe("ParseError")
        expect(error.message).toContain("input[")
      }
    })
  )

  it.effect("vectors of another number of dimensions than requested are an error", () =>
    Effect.gen(function* () {
      const { provider } = yield* start(
        setup,
        answering(() => ({ status: 200, body: toBody([[1, 2, 3]]) }))
      )
      const request = { model: "fake:latest", input: "a" }
      expect((yield* Effect.flip(provider.embed({ ...request, dimensions: 2 }))).reason).toMatchObject({
        _tag: "Unsupported",
        feature: "dimensions"
      })
      expect((yield* provider.embed({ ...request, dimensions: 3 })).vectors).toEqual([[1, 2, 3]])
    })
  )

  it.effect("a text that does not fit is named by its index in the whole input", () =>
    Effect.gen(function* () {
      const { provider } = yield* start(
        setup,
        answering((texts) =>
          texts.includes("long")
            ? { status: 400, body: { error: "the input length exceeds the context length" } }
            : { status: 200, body: toBody(texts.map(() => [1])) }
        )
      )
      const input = Array.from({ length: 70 }, (_, i) => (i === 53 ? "long" : "short"))
      const error = yield* Effect.flip(provider.embed({ model: "fake:latest", input }))
      expect(error.reason).toMatchObject({ _tag: "ContextOverflow", index: 53 })
      expect(error.message).toContain("input[53]")
    })
  )

  it.effect("a text of which the model makes no numbers is named by its index, and not retryable", () =>
    Effect.gen(function* () {
      for (const body of [
        { error: "failed to encode response: json: unsupported value: NaN" },
        { error: { message: "json: unsupported value: +Inf" } },
        { error: { message: "Out of range float values are not JSON compliant: nan" } },
        "json: unsupported value: NaN"
      ]) {
        const { provider } = yield* start(
          setup,
          answering((texts) =>
            texts.includes("odd") ? { status: 500, body } : { status: 200, body: toBody(texts.map(() => [1])) }
          )
        )
        const input = Array.from({ length: 70 }, (_, i) => (i === 53 ? "odd" : "even"))
        const error = yield* Effect.flip(provider.embed({ model: "fake:latest", input }))
        expect(error.reason).toMatchObject({
          _tag: "InvalidRequest",
          field: "input[53]",
          index: 53,
          isRetryable: false
        })
        expect(error.message).toContain("invalid input[53]: the model makes no vector of it")
      }
    })
  )

  it.effect("a failure of the server names no text, and is retryable", () =>
    Effect.gen(function* () {
      const { provider, server } = yield* start(
        setup,
        answering(() => ({ status: 500, body: { error: "the engine failed" } }))
      )
      const error = yield* Effect.flip(provider.embed({ model: "fake:latest", input: ["a", "b"] }))
      expect(error.reason).toMatchObject({ _tag: "ApiError", isRetryable: true })
      expect((yield* server.state).requests.filter(isEmbed)).toHaveLength(1)
    })
  )

  it.effect("invalid requests are rejected before anything is sent", () =>
    Effect.gen(function* () {
      const { provider, server } = yield* start(setup, { text: "" })
      const wrong: ReadonlyArray<[object, string]> = [
        [{ model: "m", input: ["a", ""] }, "input[1]"],
        [{ model: "m", input: "" }, "input"],
        [{ input: "a" }, "model"],
        [{ model: "m" }, "input"],
        [{ model: "m", input: "a", dimensions: 0 }, "dimensions"]
      ]
      for (const [request, field] of wrong) {
        // @ts-expect-error what a program without types sends
        const error = yield* Effect.flip(provider.embed(request))
        expect(error.reason).toMatchObject({ _tag: "InvalidRequest", field })
      }
      expect((yield* server.state).requests).toEqual([])
    })
  )

  it.effect("an interrupted request is closed at once", () =>
    Effect.gen(function* () {
      const { provider, server } = yield* start(setup, (request) =>
        isEmbed(request) ? { status: 200, delay: { headers: Infinity } } : { text: "" }
      )
      const fiber = yield* Effect.forkChild(provider.embed({ model: "fake:latest", input: "a" }))
      yield* server.until(({ requests }) => requests.some(isEmbed))
      fiber.interruptUnsafe()
      yield* server.until(({ requests }) => requests.some((r) => isEmbed(r) && r.outcome === "cut-by-client"))
    })
  )
})

it.effect("vectors are put into the order of their index", () =>
  Effect.gen(function* () {
    const body = { data: [2, 0, 1].map((index) => ({ index, embedding: [index] })), model: "m" }
    const setup = { provider: "LM Studio", client: "undici" } as const
    const { provider } = yield* start(
      setup,
      answering(() => ({ status: 200, body }))
    )
    expect((yield* provider.embed({ model: "m", input: ["a", "b", "c"] })).vectors).toEqual([[0], [1], [2]])
    for (const index of [0, 5, 1.5]) {
      const data = [
        { index: 0, embedding: [1] },
        { index, embedding: [1] }
      ]
      const wrong = yield* start(
        setup,
        answering(() => ({ status: 200, body: { data } }))
      )
      const error = yield* Effect.flip(wrong.provider.embed({ model: "m", input: ["a", "b"] }))
      expect(error.reason._tag).toBe("ParseError")
    }
  })
)

it.effect("Ollama truncates only if asked to; others cannot", () =>
  Effect.gen(function* () {
    for (const provider of serverNames) {
      const running = yield* start({ provider, client: "undici" }, { text: "" })
      const exit = yield* Effect.result(
        running.provider.embed({ model: "fake:latest", input: "a", overflow: "truncate", keepAlive: undefined })
      )
      const { requests } = yield* running.server.state
      if (provider === "Ollama") expect(requests.at(-1)?.body).toMatchObject({ truncate: true })
      else expect(exit).toMatchObject({ failure: { reason: { _tag: "Unsupported", feature: "overflow" } } })
    }
  })
)

it.effect("a request has at most 64 Ki characters, or a single text", () =>
  Effect.gen(function* () {
    const { provider, server } = yield* start({ provider: "Ollama", client: "undici" }, { text: "" })
    const batches = [[40_000, 25_536], [1, 65_535], [65_536], [70_000], [1, 1]]
    yield* provider.embed({ model: "fake:latest", input: batches.flat().map((length) => "a".repeat(length)) })
    const sent = (yield* server.state).requests
      .filter(isEmbed)
      .map(({ body }) => inputOf(body).map(({ length }) => length))
    expect(sent.map(String).toSorted()).toEqual(batches.map(String).toSorted())
  })
)
