/**
 * Both directions of OpenAI's protocol: what its client sends is what a gateway reads, and what a gateway writes is what its client reads.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Completions from "../../src/Completion.ts"
import type { ChatRequest, CompletionRequest, Message } from "../../src/CompletionRequest.ts"
import * as Endpoints from "../../src/protocol/openai/endpoints.ts"
import * as Served from "../../src/protocol/openai/served.ts"
import type { CompletionRoute, ReceivedCompletion } from "../../src/protocol/served.ts"
import * as RequestBody from "../../src/protocol/requestBody.ts"
import { dialect as llamaServer } from "../../src/servers/llamaServer.ts"
import { dialect as lmStudio } from "../../src/servers/lmStudio.ts"
import { openAiCompatible } from "../../src/servers/openAiCompatible.ts"
import type { StreamingChunk } from "../../src/StreamingChunk.ts"
import type { JsonObject } from "../../src/values/json.ts"
import * as Json from "../../src/values/json.ts"
import { summarize } from "../support/answers.ts"
import { cutBy, encode } from "../support/bytes.ts"
import * as Scripts from "../support/chunks.ts"
import { decode } from "../support/decoding.ts"
import * as Requests from "../support/requests.ts"

const routes = {
  OpenAI: openAiCompatible.endpoints,
  "LM Studio": Endpoints.make(lmStudio),
  "llama-server": Endpoints.make(llamaServer)
}

type Endpoint = (typeof routes)["OpenAI"]["chat"]

/** The body as it goes over the wire. Arguments are a text of JSON, which may write the same characters in two ways. */
const send = (endpoint: Pick<Endpoint, "encode">, request: CompletionRequest): JsonObject => {
  const text = Result.getOrThrow(Result.flatMap(endpoint.encode(request), RequestBody.stringify))
  return JSON.parse(text ?? "null", (key, value) =>
    key === "arguments" && typeof value === "string" ? Json.parse(value) : value
  )
}

/** The body of the client as a server behind the gateway gets it. Not every dialect can say every request. */
const sendTwice = (endpoint: Pick<Endpoint, "encode">, route: CompletionRoute, request: CompletionRequest) => {
  const encoded = Result.flatMap(endpoint.encode(request), RequestBody.stringify)
  if (Result.isFailure(encoded)) {
    expect(encoded.failure._tag).toMatch(/Unsupported|InvalidRequest/)
    return
  }
  const received = Result.getOrThrow(route.decode(JSON.parse(encoded.success ?? "null")))
  expect(received.isStream).toBe(true)
  expect(received.only).toEqual({})
  const { extra } = received.tuning ?? {}
  expect(send(endpoint, { ...received.request, extra })).toEqual(send(endpoint, request))
}

/** Forms of a chat that only some protocols have. */
const More = Schema.Struct({
  toolChoice: Schema.Literals(["auto", "none", "required", "first"]),
  hasChoice: Schema.Boolean,
  isError: Schema.Boolean,
  inParts: Schema.Boolean,
  think: Schema.Literals(["low", "max", ""])
})

const addMore = (request: ChatRequest, options: typeof More.Type): ChatRequest => {
  const [first] = request.tools ?? []
  const toMessage = (message: Message): Message => {
    if (message.role === "tool") return { ...message, isError: options.isError }
    if (message.role !== "user" || !options.inParts) return message
    const { content, images = [], ...rest } = message
    const text = { type: "text" as const, text: typeof content === "string" ? content : "" }
    return { ...rest, content: [...images.map((image) => ({ type: "image" as const, image })), text] }
  }
  return {
    ...request,
    messages: request.messages.map(toMessage),
    ...(options.think === "" ? {} : { think: options.think }),
    ...(first === undefined || !options.hasChoice
      ? {}
      : { toolChoice: options.toolChoice === "first" ? { name: first.name } : options.toolChoice })
  }
}

describe.each(Object.entries(routes))("requests of the client of %s", (_, { chat, completion }) => {
  it.effect.prop("a chat is read as it was sent", { request: Requests.chat, more: More }, ({ more, request }) =>
    Effect.sync(() => {
      sendTwice(chat, Served.chat, addMore(request, more))
      // Without what most servers cannot do.
      const { contextLength: _, keepAlive: __, ...rest } = request
      sendTwice(chat, Served.chat, rest)
    })
  )

  it.effect.prop("a prompt is read as it was sent", { request: Requests.prompt }, ({ request }) =>
    Effect.sync(() => {
      const { contextLength: _, images: __, keepAlive: ___, ...rest } = request
      sendTwice(completion, Served.completion, rest)
    })
  )
})

/** A request for a response with these fields. */
const ask = (route: CompletionRoute, fields: JsonObject = {}): ReceivedCompletion =>
  Result.getOrThrow(
    route.decode({ model: "asked", messages: [{ role: "user", content: "Why?" }], prompt: "Why?", ...fields })
  )

const context = { model: "asked", id: "a1", createdAt: Date.UTC(2026, 0, 2) }
const withUsage = { stream: true, stream_options: { include_usage: true } }

const write = (received: ReceivedCompletion, chunks: ReadonlyArray<StreamingChunk>): string => {
  const writer = received.makeWriter(context)
  return chunks.map(writer.chunk).join("")
}

/** What is left of chunks, whichever way they were cut and the calls were sent. */
const toSummary = (chunks: ReadonlyArray<StreamingChunk>) => {
  const { calls, content, finishReason, thinking } = summarize(chunks)
  const final = chunks.at(-1)
  const usage = final?.isFinal === true ? final.usage : undefined
  // Servers that do not count report zeros.
  const isCounted = (usage?.totalTokens ?? 0) > 0
  return { content, thinking, calls: wellFormed(calls), finishReason, usage: isCounted ? usage : undefined }
}

const wellFormed = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

const lengths = Arbitrary.array(Arbitrary.schema(Schema.Literals([1, 2, 3, 7, 64, 257])), {
  minLength: 1,
  maxLength: 5
})

/** The chunks that our client reads. */
const read = (endpoint: Endpoint, body: string, lengths: ReadonlyArray<number> = [1_000_000]) =>
  Stream.runCollect(decode(endpoint, cutBy(encode(body), lengths)))

describe("responses", () => {
  const { chat, completion } = routes.OpenAI

  it.effect.prop("a chat is read as it was generated", { chunks: Scripts.completion, lengths }, ({ chunks, lengths }) =>
    Effect.gen(function* () {
      const body = write(ask(Served.chat, withUsage), chunks)
      expect(toSummary(yield* read(chat, body, lengths))).toEqual(toSummary(chunks))
    })
  )

  it.effect.prop("a chat as a whole is read as it was generated", { chunks: Scripts.completion }, ({ chunks }) =>
    Effect.gen(function* () {
      const whole = yield* Completions.fromStream(Stream.fromIterable(chunks))
      const body = `data: ${JSON.stringify(ask(Served.chat).encode(whole, context))}\n\ndata: [DONE]\n\n`
      expect(toSummary(yield* read(chat, body))).toEqual(toSummary(chunks))
    })
  )

  it.effect.prop(
    "a plain completion has the text alone",
    { chunks: Scripts.completion, lengths },
    ({ chunks, lengths }) =>
      Effect.gen(function* () {
        const texts = chunks.map((chunk) => ({ ...chunk, thinking: undefined, toolCalls: undefined }))
        const expected = toSummary(texts)
        const only = {
          ...expected,
          finishReason: expected.finishReason === "tool-calls" ? "stop" : expected.finishReason
        }
        const body = write(ask(Served.completion, withUsage), chunks)
        expect(toSummary(yield* read(completion, body, lengths))).toEqual(only)
        const whole = yield* Completions.fromStream(Stream.fromIterable(chunks))
        const wholeBody = `data: ${JSON.stringify(ask(Served.completion).encode(whole, context))}\n\ndata: [DONE]\n\n`
        expect(toSummary(yield* read(completion, wholeBody))).toEqual(only)
      })
  )
})
