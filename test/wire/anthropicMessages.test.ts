/** What a gateway writes for clients of Anthropic's API, read as its documentation says. */
import { describe, expect, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ChatRequest, Tool } from "../../src/CompletionRequest.ts"
import * as Completion from "../../src/Completion.ts"
import { decodeCount, messages } from "../../src/protocol/anthropic/messages.ts"
import * as TokenCount from "../../src/TokenCount.ts"
import * as Reasons from "../../src/ProviderError.ts"
import type { StreamingChunk } from "../../src/StreamingChunk.ts"
import * as Client from "../support/anthropic.ts"
import { summarize } from "../support/answers.ts"
import { cutBy, encode } from "../support/bytes.ts"
import * as Chunks from "../support/chunks.ts"
import { decode, expectStrict } from "../support/decoding.ts"
import { toReceived } from "../support/received.ts"
import * as Requests from "../support/requests.ts"
import { record } from "../support/transcript.ts"

const context = { model: "m", id: "x1", createdAt: 1_767_323_045_678 }

/** How responses are written, whatever the request. */
const route = Result.getOrThrow(messages.decode({ model: "m", messages: [{ role: "user", content: "Hi" }] }))

const cut = Arbitrary.array(Arbitrary.schema(Schema.Literals([1, 2, 3, 7, 31, 257])), { minLength: 1, maxLength: 6 })

/**
 * What messages do not say: fragments of calls beside the whole ones, timings, an unknown finish reason, and the difference between no
 * count and 0.
 */
const meaning = (chunks: ReadonlyArray<StreamingChunk>) => {
  const { finishReason, usage = [], ...summary } = summarize(chunks)
  const last = chunks.at(-1)
  return {
    ...summary,
    spelled: [],
    finishReason: finishReason === "other" ? "stop" : finishReason,
    usage: [usage[0] ?? 0, usage[1] ?? 0, usage[2] ?? 0],
    cached: (last?.isFinal === true ? last.usage?.cachedTokens : undefined) ?? 0
  }
}

const write = (chunks: ReadonlyArray<StreamingChunk>): ReadonlyArray<string> => {
  const writer = route.makeWriter(context)
  return chunks.map(writer.chunk)
}

const asWhole = Schema.decodeUnknownResult(Client.WholeMessage, { onExcessProperty: "error" })

describe("the events of a message", () => {
  it.effect.prop("are read as the same completion, however they are cut", { chunks: Chunks.completion, cut }, (input) =>
    Effect.gen(function* () {
      const bytes = encode(write(input.chunks).join(""))
      const read = yield* Stream.runCollect(decode(Client.events, cutBy(bytes, input.cut)))
      expect(meaning(read)).toEqual(meaning(input.chunks))
    })
  )

  it.effect.prop("of texts are written with their chunk", { chunks: Chunks.completion }, ({ chunks }) =>
    Effect.sync(() => {
      const texts = write(chunks)
      const isCalling = (chunk: StreamingChunk) => chunk.toolCallDeltas !== undefined || chunk.toolCalls !== undefined
      const first = chunks.findIndex(isCalling)
      for (const [i, { content }] of chunks.slice(0, first === -1 ? undefined : first).entries()) {
        if (content !== "") expect(texts[i]).toContain(`"text_delta","text":${JSON.stringify(content)}`)
      }
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
      const writer = route.makeWriter(context)
      const before = chunks.slice(0, -1).map(writer.chunk).join("")
      const body = before + writer.failure(new Reasons.StreamError({ description: "secret" }))
      expect(body).not.toContain("message_stop")
      const read = yield* record(decode(Client.events, [encode(body)]))
      expect(read.failure).toMatchObject({
        _tag: "StreamError",
        description: "api_error: the server failed while answering"
      })
      const sent = chunks.slice(0, -1).map(({ content }) => content)
      const texts = [...body.matchAll(/"text_delta","text":("[^\n]*")\}\}\n/g)].map(([, text = ""]) => JSON.parse(text))
      expect(texts.join("")).toBe(sent.join(""))
    })
  )
})

describe("the reader of these tests", () => {
  it.effect("refuses events of which one is missing, double or late", () => expectStrict(Client.events, write))
})

describe("a whole message", () => {
  it.effect.prop("is the same completion", { chunks: Chunks.completion }, ({ chunks }) =>
    Effect.gen(function* () {
      const completion = yield* Completion.fromStream(Stream.fromIterable(chunks))
      const json = JSON.parse(JSON.stringify(route.encode(completion, context)))
      const { content, model, stop_reason, usage } = Result.getOrThrow(asWhole(json))
      const { finishReason, usage: counts } = Client.readEnding(stop_reason, usage)
      const of = <T extends (typeof content)[number]["type"]>(type: T) =>
        content.filter((block): block is Extract<(typeof content)[number], { type: T }> => block.type === type)
      expect({
        content: of("text")
          .map(({ text }) => text)
          .join(""),
        thinking: of("thinking")
          .map(({ thinking }) => thinking)
          .join(""),
        calls: of("tool_use").map(({ id, input, name }) => ({ id, name, arguments: input })),
        spelled: [],
        model,
        finishReason,
        usage: [counts.promptTokens, counts.completionTokens, counts.totalTokens],
        cached: counts.cachedTokens
      }).toEqual(meaning(chunks))
    })
  )
})

/** Clients send a schema with each tool. */
const withParameters = ({ description, name, parameters = {} }: Tool): Tool => ({ name, description, parameters })

describe("a request", () => {
  /** What no field says: the level of thinking, and JSON without a schema. */
  const toExpected = (request: ChatRequest) => {
    const { format, maxTokens, messages, model, stop, temperature, think, tools, topK, topP } = request
    return {
      model,
      messages: toReceived(messages),
      maxTokens,
      temperature,
      topP,
      topK,
      stop,
      think: think === undefined || think === false ? think : true,
      format: typeof format === "object" ? format : undefined,
      ...(tools === undefined ? {} : { tools: tools.map(withParameters) })
    }
  }

  it.prop(
    "arrives as it was sent",
    { request: Requests.chat, merges: Arbitrary.schema(Schema.Boolean) },
    ({ merges, request }) => {
      const body = JSON.parse(JSON.stringify(Client.encode(request, merges)))
      const received = Result.getOrThrow(messages.decode(body))
      expect(received.request).toEqual(toExpected(request))
      expect(received.isStream).toBe(true)
      expect(Result.isSuccess(Result.flatMap(decodeCount(body), (request) => TokenCount.estimate(request)))).toBe(true)
    }
  )
})
