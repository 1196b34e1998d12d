/**
 * The law of the gateway: our own client through it is the provider behind it. Requests arrive as they were sent, and completions and
 * failures come out as they went in, however the bytes are cut.
 */
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Net from "node:net"
import type { CompletionRequest } from "../../src/CompletionRequest.ts"
import * as Provider from "../../src/Provider.ts"
import * as Reasons from "../../src/ProviderError.ts"
import type { StreamingChunk } from "../../src/StreamingChunk.ts"
import { FakeServer } from "../../src/testing/index.ts"
import * as Delivered from "../../src/protocol/delivered.ts"
import * as Json from "../../src/values/json.ts"
import { summarize } from "../support/answers.ts"
import { cutBy } from "../support/bytes.ts"
import * as Chunks from "../support/chunks.ts"
import * as Gateway from "../support/gateway.ts"
import * as Requests from "../support/requests.ts"
import type { ServerName } from "../support/setups.ts"
import { connect, request, serverNames } from "../support/setups.ts"
import { record } from "../support/transcript.ts"

const literals = <const L extends ReadonlyArray<number>>(...values: L) => Arbitrary.schema(Schema.Literals(values))

const lengths = Arbitrary.array(literals(1, 2, 3, 7, 31, 257, 5000), { minLength: 1, maxLength: 6 })

/** What a connection to the gateway does with the bytes of its responses. */
const cut = { lengths: [1000] as ReadonlyArray<number> }

/** Passes bytes on, those of responses in pieces. */
const cutter = (url: string): Effect.Effect<string, never, Scope.Scope> => {
  const { hostname, port } = new URL(url)
  const server = Net.createServer((client) => {
    const gateway = Net.connect({ host: hostname, port: Number(port) })
    client.pipe(gateway)
    client.setNoDelay(true)
    const write = async () => {
      for await (const bytes of gateway) {
        for (const piece of cutBy(bytes, cut.lengths)) {
          client.write(piece)
          await new Promise((resolve) => setImmediate(resolve))
        }
      }
      client.end()
    }
    write().catch(() => client.destroy())
    client.on("error", () => gateway.destroy()).on("close", () => gateway.destroy())
  })
  return Effect.acquireRelease(
    Effect.callback<string>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        resume(Effect.succeed(`http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`))
      })
    }),
    () => Effect.sync(() => server.close())
  )
}

/** A client of a server, and the same client through a gateway that has it as its provider. */
const startTwice = Effect.fnUntraced(function* (provider: ServerName) {
  const server = yield* FakeServer.make({ text: "Hi" }, { models: ["llama3.2", "qwen/qwen3-8b", "modèle"] })
  const direct = yield* connect({ provider, client: "undici" }, { baseUrl: server.url })
  const gateway = yield* Gateway.serve(direct)
  const through = yield* connect({ provider, client: "undici" }, { baseUrl: yield* cutter(gateway) })
  /** The body of the request that a completion needs, or the tag of why there is none. */
  const bodyOf = (client: Provider.Provider, request: CompletionRequest) =>
    Effect.gen(function* () {
      const completions = Effect.map(server.state, ({ requests }) =>
        requests.filter(({ method, path }) => method === "POST" && /chat|completions|generate/.test(path))
      )
      const before = (yield* completions).length
      const { failure } = yield* record(client.stream(request))
      return failure?._tag ?? toPlain((yield* completions)[before]?.body)
    })
  return { bodyOf, direct, through }
})

/** Arguments are a text of JSON, which may write the same characters in two ways. */
const toPlain = (body: unknown): unknown =>
  JSON.parse(JSON.stringify(body), (key, value) =>
    key === "arguments" && typeof value === "string" ? Json.parse(value) : value
  )

/** What the provider behind the gateway does next. */
const script: { chunks: Stream.Stream<StreamingChunk, Reasons.ProviderErrorReason> } = { chunks: Stream.empty }

const startScripted = Effect.fnUntraced(function* (provider: ServerName) {
  const behind = Provider.make({
    name: "behind",
    stream: () => Stream.mapError(script.chunks, (reason) => new Reasons.ProviderError({ provider: "behind", reason })),
    listModels: Effect.succeed([{ id: "m" }]),
    model: (id) => Effect.succeed({ id, capabilities: ["completion", "tools", "thinking", "vision"] })
  })
  const gateway = yield* Gateway.serve(behind)
  return yield* connect({ provider, client: "undici" }, { baseUrl: yield* cutter(gateway) })
})

/** What is left of chunks, whichever way they were cut and the calls were sent. */
const meaningOf = (chunks: ReadonlyArray<StreamingChunk>) => {
  const { calls, content, finishReason, thinking } = summarize(chunks)
  const final = chunks.at(-1)
  const usage = final?.isFinal === true ? final.usage : undefined
  // Servers that do not count report zeros.
  return { calls: toPlain(calls), content, thinking, finishReason, usage: usage?.totalTokens ? usage : undefined }
}

/** Lone halves of surrogate pairs have no form in UTF-8, but in the escapes of JSON. */
const textsOf = (chunks: ReadonlyArray<StreamingChunk>): string => chunks.map(({ content }) => content).join("")

const seconds = Duration.seconds(7)

/** What the client can do something about keeps its reason. Of what it cannot, it reads that the server failed. */
const reasons: ReadonlyArray<{
  readonly reason: Reasons.ProviderErrorReason
  readonly before?: object
  readonly after?: object
}> = [
  { reason: new Reasons.InvalidRequest({ field: "temperature" }), before: { field: "temperature" } },
  { reason: new Reasons.ContextOverflow({ promptTokens: 90, contextLength: 40 }), before: { promptTokens: 90 } },
  { reason: new Reasons.Unsupported({ feature: "tools" }), before: { feature: "tools" } },
  { reason: new Reasons.ModelNotAvailable({ model: "m" }), before: { model: "m" } },
  { reason: new Reasons.RateLimited({ retryAfter: seconds }), before: { retryAfter: seconds } },
  ...[
    new Reasons.AuthenticationError({}),
    new Reasons.NetworkError({}),
    new Reasons.ApiError({ status: 503 }),
    new Reasons.StreamError({}),
    new Reasons.StreamTruncated(),
    new Reasons.LineTooLong({ limit: 5 })
  ].map((reason) => ({ reason, before: { _tag: "ApiError", status: 502 }, after: { _tag: "StreamError" } })),
  {
    reason: new Reasons.Timeout({ kind: "idle", limit: seconds }),
    before: { _tag: "ApiError", status: 504 },
    after: { _tag: "StreamError" }
  }
]

describe.each(serverNames)("%s", (provider) => {
  const scope = Scope.makeUnsafe()
  let twice: Effect.Success<ReturnType<typeof startTwice>>
  let client: Provider.Provider
  beforeAll(async () => {
    const start = Effect.all([startTwice(provider), startScripted(provider)])
    ;[twice, client] = await Effect.runPromise(Scope.provide(start, scope))
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  const runs = { arbitrary: { runs: 40 }, timeout: 60_000 }

  /** With and without the fields that most servers do not have. */
  const arrives = (request: CompletionRequest) =>
    Effect.gen(function* () {
      cut.lengths = [1000]
      const { contextLength: _, images: _images, keepAlive: _keepAlive, ...rest } = request
      for (const each of [request, rest]) {
        const body = yield* twice.bodyOf(twice.direct, each)
        expect(yield* twice.bodyOf(twice.through, each)).toEqual(body)
      }
    })

  it.live.prop("a chat arrives as it was sent", { request: Requests.chat }, (input) => arrives(input.request), runs)

  it.live.prop("a prompt arrives as it was sent", { request: Requests.prompt }, (input) => arrives(input.request), runs)

  it.live.prop(
    "a completion comes out as it was generated",
    { chunks: Chunks.completion, lengths },
    ({ chunks, lengths }) =>
      Effect.gen(function* () {
        cut.lengths = lengths
        script.chunks = Stream.fromIterable(chunks)
        const received = yield* Stream.runCollect(client.stream(request))
        expect(meaningOf(received)).toEqual(meaningOf(chunks))
      }),
    runs
  )

  it.live.prop(
    "a failure comes out after the chunks before it",
    {
      chunks: Chunks.completion,
      lengths,
      count: literals(0, 1, 2, 3, 1000),
      which: literals(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
    },
    ({ chunks, count, lengths, which }) =>
      Effect.gen(function* () {
        const { after, before, reason } = reasons[which] ?? { reason: new Reasons.StreamError({}) }
        const first = chunks.slice(0, Math.min(count, chunks.length - 1))
        cut.lengths = lengths
        script.chunks = Stream.concat(Stream.rechunk(Stream.fromIterable(first), 1), Stream.fail(reason))
        const received: Array<StreamingChunk> = []
        const stream = Stream.tap(client.stream(request), (chunk) => Effect.sync(() => received.push(chunk)))
        const { failure } = yield* record(stream)
        const hasBegun = first.some(Delivered.carries)
        expect(failure).toMatchObject({ _tag: reason._tag, ...(hasBegun ? after : before) })
        expect(textsOf(received)).toBe(textsOf(first))
      }),
    runs
  )
})
