/** What a gateway writes for clients of OpenAI's responses, read as their documentation says. */
import { describe, expect, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ChatRequest, Tool } from "../../src/CompletionRequest.ts"
import * as Completion from "../../src/Completion.ts"
import { responses } from "../../src/protocol/openai/responses.ts"
import * as Reasons from "../../src/ProviderError.ts"
import type { StreamingChunk } from "../../src/StreamingChunk.ts"
import { summarize } from "../support/answers.ts"
import { cutBy, encode } from "../support/bytes.ts"
import * as Chunks from "../support/chunks.ts"
import { decode, expectStrict } from "../support/decoding.ts"
import { toReceived } from "../support/received.ts"
import * as Requests from "../support/requests.ts"
import * as Client from "../support/responses.ts"
import { record } from "../support/transcript.ts"

const context = { model: "m", id: "x1", createdAt: 1_767_323_045_678 }

const cut = Arbitrary.array(Arbitrary.schema(Schema.Literals([1, 2, 3, 7, 31, 257])), { minLength: 1, maxLength: 6 })

/** What responses do not say: fragments of calls beside the whole ones, timings, and an unknown finish reason. */
const meaning = (chunks: ReadonlyArray<StreamingChunk>) => {
  const { finishReason, ...summary } = summarize(chunks)
  const last = chunks.at(-1)
  const usage = last?.isFinal === true ? last.usage : undefined
  return {
    ...summary,
    spelled: [],
    finishReason: finishReason === "other" ? "stop" : finishReason,
    cached: usage && (usage.cachedTokens ?? 0)
  }
}

const received = Result.getOrThrow(responses.decode({ model: "m", input: "Why?", metadata: { a: "b" } }))

const write = (chunks: ReadonlyArray<StreamingChunk>): ReadonlyArray<string> => {
  const writer = received.makeWriter(context)
  return chunks.map(writer.chunk)
}

const asResponse = Schema.decodeUnknownResult(Client.Response, { onExcessProperty: "error" })

describe("the events of a response", () => {
  it.effect.prop("are read as the same completion, however they are cut", { chunks: Chunks.completion, cut }, (input) =>
    Effect.gen(function* () {
      const bytes = encode(write(input.chunks).join(""))
      const read = yield* Stream.runCollect(decode(Client.events, cutBy(bytes, input.cut)))
      expect(meaning(read)).toEqual(meaning(input.chunks))
    })
  )

  it.effect.prop("without their end are incomplete", { chunks: Chunks.completion }, ({ chunks }) =>
    Effect.gen(function* () {
      const read = yield* record(decode(Client.events, [encode(write(chunks.slice(0, -1)).join(""))]))
      expect(read.failure).toEqual({ _tag: "StreamTruncated" })
    })
  )

  it.effect.prop("after which a failure follows end with it", { chunks: Chunks.completion }, ({ chunks }) =>
    Effect.gen(function* () {
      const writer = received.makeWriter(context)
      const before = chunks.slice(0, -1).map(writer.chunk).join("")
      const body = before + writer.failure(new Reasons.RateLimited({ description: "secret" }))
      expect(body).not.toMatch(/response\.(completed|incomplete)/)
      const read = yield* record(decode(Client.events, [encode(body)]))
      expect(read.failure).toMatchObject({ description: "rate_limit_exceeded: too many requests" })
    })
  )
})

describe("the reader of these tests", () => {
  it.effect("refuses events of which one is missing, double or late", () => expectStrict(Client.events, write))
})

describe("a whole response", () => {
  it.effect.prop("is the same completion", { chunks: Chunks.completion }, ({ chunks }) =>
    Effect.gen(function* () {
      const completion = yield* Completion.fromStream(Stream.fromIterable(chunks))
      const json = JSON.parse(JSON.stringify(received.encode(completion, context)))
      const response = Result.getOrThrow(asResponse(json))
      expect(response.metadata).toEqual({ a: "b" })
      const final: StreamingChunk = {
        ...Client.readOutput(response.output),
        ...Client.readEnding(response),
        isFinal: true,
        model: response.model
      }
      expect(meaning([final])).toEqual(meaning(chunks))
    })
  )
})

/** Clients send a schema with each tool. */
const withParameters = ({ description, name, parameters = {} }: Tool): Tool => ({ name, description, parameters })

describe("a request", () => {
  /** What no field says: thinking of no level, and the samplers that OpenAI does not have. */
  const toExpected = (request: ChatRequest) => {
    const { format, maxTokens, messages, model, overflow, temperature, think, tools, topP } = request
    return {
      model,
      messages: toReceived(messages),
      maxTokens,
      temperature,
      topP,
      think: think === true ? undefined : think,
      format,
      overflow: overflow === "truncate" ? overflow : undefined,
      ...(tools === undefined ? {} : { tools: tools.map(withParameters) })
    }
  }

  it.prop("arrives as it was sent", { request: Requests.chat }, ({ request }) => {
    const body = JSON.parse(JSON.stringify(Client.encode(request)))
    const received = Result.getOrThrow(responses.decode(body))
    expect(received.request).toEqual(toExpected(request))
    expect(received.isStream).toBe(true)
  })
})
