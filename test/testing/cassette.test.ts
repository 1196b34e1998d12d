/** Real answers in a file, and a provider that plays them. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as MockProvider from "../../src/MockProvider.ts"
import * as OpenAiCompatible from "../../src/OpenAiCompatible.ts"
import * as Pool from "../../src/Pool.ts"
import * as Provider from "../../src/Provider.ts"
import {
  AllProvidersFailed,
  ApiError,
  AuthenticationError,
  ContextOverflow,
  InvalidAnswer,
  LineTooLong,
  ModelNotAvailable,
  NetworkError,
  ParseError,
  ProviderError,
  type ProviderErrorReason,
  RateLimited,
  StreamError,
  StreamTruncated,
  Timeout,
  Unsupported
} from "../../src/ProviderError.ts"
import { Cassette, FakeServer } from "../../src/testing/index.ts"
import { Attempts, receive, settle, toScript } from "../support/attempts.ts"

const request = { model: "m", prompt: "Why?" } as const

const inFolder = <A, E, R>(use: (file: string, files: FileSystem.FileSystem) => Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    return yield* use(`${yield* files.makeTempDirectoryScoped()}/of/a test/cassette.json`, files)
  }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))

/** A provider of which no operation may be used. */
const unused = Provider.make({
  name: "Mock",
  stream: () => Stream.die("it was asked"),
  embed: () => Effect.die("it was asked"),
  listModels: Effect.die("it was asked"),
  model: () => Effect.die("it was asked")
})

const secret = Redacted.make("SECRET")

const reasons: ReadonlyArray<ProviderErrorReason> = [
  new NetworkError({ kind: "closed-while-idle", description: "http://SECRET:11434", detail: secret }),
  new Timeout({ kind: "idle", limit: Duration.seconds(3) }),
  new RateLimited({ retryAfter: Duration.seconds(7), detail: secret }),
  new AuthenticationError({ kind: "origin", signinUrl: secret }),
  new ModelNotAvailable({ model: "m", detail: secret }),
  new ContextOverflow({ promptTokens: 5, contextLength: 4 }),
  new ApiError({ status: 503, retryAfter: Duration.seconds(1), detail: secret }),
  new StreamError({ detail: secret }),
  new StreamTruncated({ missing: "finish-reason" }),
  new ParseError({ excerpt: secret }),
  new LineTooLong({ limit: 5 }),
  new Unsupported({ feature: "tools" }),
  new InvalidAnswer({ text: secret, isTruncated: true }),
  new AllProvidersFailed({
    errors: [
      new ProviderError({
        provider: "http://SECRET:1",
        server: "http://SECRET",
        reason: new StreamError({ detail: secret })
      })
    ]
  })
]

describe("what was recorded is played", () => {
  it.effect.prop(
    "every chunk that carries anything, in order, and the end, whatever it is",
    { attempts: Attempts },
    ({ attempts }) =>
      inFolder((file) =>
        Effect.gen(function* () {
          const mock = yield* MockProvider.make(MockProvider.sequence(attempts.map(toScript)))
          const recorder = yield* Cassette.make(mock, file, { mode: "record" })
          const all = (provider: Provider.Provider) =>
            Effect.forEach(attempts, () => settle(receive(provider.stream(request))))
          const recorded = yield* all(recorder)
          const played = yield* all(yield* Cassette.make(unused, file))
          const ends = (all: typeof recorded) =>
            all.map(({ chunks, finals, text }) => ({ text, finals, final: chunks.find(({ isFinal }) => isFinal) }))
          expect(ends(played)).toEqual(ends(recorded))
          expect(played.map(({ error }) => error?.reason._tag)).toEqual(recorded.map(({ error }) => error?.reason._tag))
        })
      ),
    { arbitrary: { runs: 15 } }
  )

  it.effect.each(reasons)("a failure with what programs decide on, and no text: $_tag", (reason) =>
    inFolder((file, files) =>
      Effect.gen(function* () {
        const mock = yield* MockProvider.make(["a", MockProvider.fail(reason)], { name: "Mock" })
        yield* receive((yield* Cassette.make(mock, file, { mode: "record" })).stream(request))
        expect(yield* files.readFileString(file)).not.toContain("SECRET")
        const { error, text } = yield* receive((yield* Cassette.make(unused, file)).stream(request))
        expect(text).toBe("a")
        expect(error).toMatchObject({
          provider: "Mock",
          isRetryable: reason.isRetryable,
          reason: { _tag: reason._tag }
        })
        const texts = new Set(["description", "detail", "signinUrl", "excerpt", "text", "errors"])
        const facts = Object.fromEntries(Object.entries(reason).filter(([key]) => !texts.has(key)))
        expect(error?.reason).toMatchObject(facts)
      })
    )
  )

  it.effect("embeddings, lists and descriptions of models, and their failures", () =>
    inFolder((file) =>
      Effect.gen(function* () {
        const mock = yield* MockProvider.make(["Hi"], { models: ["a", "b"] })
        const all = (provider: Provider.Provider) =>
          Effect.all([
            provider.embed({ model: "m", input: ["a", "b"] }),
            provider.listModels,
            provider.model("a"),
            provider.supportsModel("b"),
            Effect.flip(provider.embed({ model: "m", input: [""] }))
          ])
        const recorded = yield* all(yield* Cassette.make(mock, file, { mode: "record" }))
        const played = yield* all(yield* Cassette.make(unused, file))
        expect(played.slice(0, 4)).toEqual(recorded.slice(0, 4))
        expect(played[4].reason).toMatchObject({ _tag: "InvalidRequest", field: "input[0]" })
      })
    )
  )

  it.effect("a completion whose consumer stopped: up to there, and never as a whole", () =>
    inFolder((file, files) =>
      Effect.gen(function* () {
        const mock = yield* MockProvider.make(["a", "b", "c"])
        const take = (provider: Provider.Provider) => Stream.runCollect(Stream.take(provider.stream(request), 2))
        const recorded = yield* take(yield* Cassette.make(mock, file, { mode: "record" }))
        expect(yield* take(yield* Cassette.make(unused, file))).toEqual(recorded)
        const error = yield* Effect.flip((yield* Cassette.make(unused, file)).complete(request))
        // Also if the file was edited.
        const text = yield* files.readFileString(file)
        yield* files.writeFileString(file, text.replace(/,\s*"isStopped": true/, ""))
        expect(yield* Effect.flip((yield* Cassette.make(unused, file)).complete(request))).toEqual(error)
        expect(error.reason).toMatchObject({ _tag: "InvalidRequest", isRetryable: false })
      })
    )
  )
})

describe("requests", () => {
  it.effect("are found by their content, not by the order of fields, deadlines or the class of a schema", () =>
    inFolder((file) =>
      Effect.gen(function* () {
        const mock = yield* MockProvider.make(["Hi"])
        const format = Schema.Struct({ a: Schema.String })
        yield* (yield* Cassette.make(mock, file, { mode: "record" })).complete({ ...request, seed: 1, format })
        const player = yield* Cassette.make(unused, file)
        const same = { format: Schema.Struct({ a: Schema.String }), seed: 1, deadlines: { total: "1 hour" } } as const
        expect(yield* player.complete({ ...same, ...request })).toMatchObject({ content: "Hi" })
        const error = yield* Effect.flip(player.complete({ ...request, seed: 2, format }))
        expect(error.reason.message).toContain("the nearest one differs in seed")
        expect(error.reason.message).not.toContain("Why")
        const further = yield* Effect.flip(player.complete({ ...same, ...request }))
        expect(further.reason.message).toContain("has 1 answers to this request")
      })
    )
  )

  it.effect("with images are found by hashes of these, whatever kind of bytes they are", () =>
    inFolder((file, files) =>
      Effect.gen(function* () {
        const bytes = Uint8Array.from({ length: 3000 }, (_, i) => i % 256)
        const mock = yield* MockProvider.make(["Hi"])
        yield* (yield* Cassette.make(mock, file, { mode: "record" })).complete({ ...request, images: [bytes] })
        const text = yield* files.readFileString(file)
        expect(text.length).toBeLessThan(500)
        const player = yield* Cassette.make(unused, file)
        const error = yield* Effect.flip(player.complete({ ...request, images: [bytes.slice(1)] }))
        expect(error.reason.message).toContain("differs in images")
        expect(yield* player.complete({ ...request, images: [Buffer.from(bytes)] })).toMatchObject({ content: "Hi" })
      })
    )
  )

  it.effect("that are equal are played in the order in which they were sent, also if they ran at once", () =>
    inFolder((file) =>
      Effect.gen(function* () {
        const answers = MockProvider.sequence([[MockProvider.wait("2 seconds"), "first"], ["second"]])
        const recorder = yield* Cassette.make(MockProvider.make(answers), file, { mode: "record" })
        const both = [recorder.complete(request), recorder.complete(request)]
        yield* settle(Effect.all(both, { concurrency: "unbounded" }))
        const player = yield* Cassette.make(unused, file)
        expect(
          (yield* Effect.all([player.complete(request), player.complete(request)])).map(({ content }) => content)
        ).toEqual(["first", "second"])
      })
    )
  )

  it.effect("play sends and writes nothing; extend asks for what is new; record replaces what is asked again", () =>
    inFolder((file, files) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip((yield* Cassette.make(unused, file)).complete(request))
        expect(error.reason).toMatchObject({ _tag: "InvalidRequest", isRetryable: false })
        expect(yield* files.exists(file)).toBe(false)
        const other = { ...request, prompt: "How?" }
        const mock = yield* MockProvider.make(MockProvider.sequence([["1"], ["2"], ["3"], ["4"]]))
        const contents = (mode: Cassette.Options["mode"], requests: ReadonlyArray<typeof request | typeof other>) =>
          Effect.flatMap(Cassette.make(mock, file, { mode }), ({ complete }) =>
            Effect.forEach(requests, (request) => Effect.map(complete(request), ({ content }) => content))
          )
        expect(yield* contents("record", [request])).toEqual(["1"])
        expect(yield* contents("extend", [request, other, request])).toEqual(["1", "2", "3"])
        expect(yield* contents("play", [request, request, other])).toEqual(["1", "3", "2"])
        expect(yield* contents("record", [request])).toEqual(["4"])
        expect(yield* contents("play", [request, other])).toEqual(["4", "2"])
        expect(yield* files.readDirectory(file.replace(/[^/]*$/, ""))).toEqual(["cassette.json"])
      })
    )
  )
})

describe("the file", () => {
  it.effect("is the same however the requests were ordered, with a line for each chunk", () =>
    inFolder((file, files) =>
      Effect.gen(function* () {
        const prompts = ["a", "b", "c"]
        const write = (prompts: ReadonlyArray<string>, file: string) =>
          Effect.gen(function* () {
            const mock = yield* MockProvider.make(({ prompt = "" }) => [prompt, "\n"])
            const { complete } = yield* Cassette.make(mock, file, { mode: "record" })
            yield* Effect.forEach(prompts, (prompt) => complete({ ...request, prompt }))
            return yield* files.readFileString(file)
          })
        const text = yield* write(prompts, file)
        expect(yield* write(prompts.toReversed(), `${file}2`)).toBe(text)
        expect(text.split("\n").slice(0, 14).join("\n")).toMatchInlineSnapshot(`
          "{
            "version": 1,
            "entries": [
              {
                "call": "stream",
                "request": {
                  "model": "m",
                  "prompt": "a"
                },
                "chunks": [
                  {"content":"a"},
                  {"content":"\\n"},
                  {"isFinal":true,"model":"m","finishReason":"stop","provider":"Mock"}
                ]"
        `)
      })
    )
  )

  it.effect.each(["", "{", '{"version":2,"entries":[]}', '{"version":1,"entries":[{}]}', "[]"])(
    "that is no cassette is rejected, and stays as it is: %s",
    (text) =>
      inFolder((file, files) =>
        Effect.gen(function* () {
          yield* files.makeDirectory(file.replace(/[^/]*$/, ""), { recursive: true })
          yield* files.writeFileString(file, text)
          const error = yield* Effect.flip(Cassette.make(unused, file, { mode: "record" }))
          expect(error).toMatchObject({ _tag: "ProviderError", reason: { _tag: "InvalidRequest", field: "file" } })
          expect(yield* files.readFileString(file)).toBe(text)
        })
      )
  )

  it.effect("that cannot be written is a defect", () =>
    inFolder((file, files) =>
      Effect.gen(function* () {
        yield* files.makeDirectory(file, { recursive: true })
        const failed = yield* Effect.exit(Cassette.make(MockProvider.make(["Hi"]), file, { mode: "record" }))
        expect(String(failed)).toContain("PlatformError")
        const below = `${file}/below`
        const recorder = yield* Cassette.make(MockProvider.make(["Hi"]), below, { mode: "record" })
        yield* files.makeDirectory(below, { recursive: true })
        yield* files.writeFileString(`${below}/file`, "")
        expect(String(yield* Effect.exit(recorder.complete(request)))).toContain("Die")
      })
    )
  )
})

it.live("nothing of a server that quotes headers, keys and addresses in its failures is in the file", () =>
  inFolder((file, files) =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(({ headers }) => ({
        status: 401,
        body: JSON.stringify({ error: { message: `No: ${JSON.stringify(headers)}`, signin_url: "https://SECRET" } })
      }))
      const make = OpenAiCompatible.make({
        baseUrl: server.url.replace("127.0.0.1", "localhost"),
        token: Redacted.make("SECRET-token"),
        headers: { "x-other": "SECRET-header" }
      })
      const pool = Pool.make({ hosts: [{ provider: make, name: server.url }] })
      const recorder = yield* Cassette.make(pool, file, {
        mode: "record",
        redact: (text) => text.replaceAll("Alice", "<name>")
      })
      const extra = { api_key: "SECRET-key", nested: [{ authorization: "SECRET" }], max_token: 5 }
      const asked = { ...request, prompt: "Alice?", extra }
      yield* Effect.exit(recorder.complete(asked))
      yield* server.setScript({ text: "Alice said so." })
      expect(yield* recorder.complete(asked)).toMatchObject({ provider: server.url })
      yield* Effect.exit(recorder.embed({ model: "m", input: "x" }))
      yield* Effect.exit(recorder.listModels)
      const text = yield* files.readFileString(file)
      for (const part of ["SECRET", "127.0.0.1", "localhost", "http://", "Alice", new URL(server.url).port]) {
        expect(text).not.toContain(part)
      }
      const player = yield* Cassette.make(unused, file, { redact: (text) => text.replaceAll("Alice", "<name>") })
      expect((yield* Effect.flip(player.complete(asked))).reason._tag).toBe("AuthenticationError")
      expect(yield* player.complete(asked)).toMatchObject({ content: expect.stringContaining("<name>") })
    }).pipe(Effect.provide(NodeHttpClient.layerUndici))
  )
)
