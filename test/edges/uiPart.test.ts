/** The parts of an answer for a user interface: made of chunks, encoded, and sent. */
import { describe, expect, it } from "@effect/vitest"
import * as AiError from "effect/ai/AiError"
import * as Arbitrary from "effect/Arbitrary"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Reasons from "../../src/ProviderError.ts"
import * as StreamResponse from "../../src/StreamResponse.ts"
import { ContentChunk, type StreamingChunk } from "../../src/StreamingChunk.ts"
import * as UiPart from "../../src/UiPart.ts"

const end: UiPart.End = { _tag: "End", finishReason: "stop", rounds: 1 }
const text = (text: string): UiPart.UiPart => ({ _tag: "Text", text })
const address = "http://10.0.0.7:11434"
const failed = new Reasons.ProviderError({
  provider: "p",
  server: address,
  reason: new Reasons.RateLimited({ retryAfter: Duration.seconds(7), description: address })
})

const isOver = ({ _tag }: UiPart.UiPart): boolean => _tag === "End" || _tag === "Failure"

describe("codec", () => {
  it.prop("a part is the same after its JSON", { part: Arbitrary.schema(UiPart.UiPart) }, ({ part }) => {
    const json = Schema.encodeSync(UiPart.FromJsonString)(part)
    expect(Schema.encodeSync(UiPart.FromJsonString)(Schema.decodeSync(UiPart.FromJsonString)(json))).toBe(json)
  })
})

describe("fromChunks", () => {
  const chunks = Arbitrary.array(Arbitrary.schema(ContentChunk), { maxLength: 12 })

  it.effect.prop("the parts have the text, the thinking and the calls of the chunks", { chunks }, ({ chunks }) =>
    Effect.gen(function* () {
      const final: StreamingChunk = { content: "", isFinal: true, model: "m", finishReason: "stop" }
      const all: ReadonlyArray<StreamingChunk> = [...chunks, final]
      const parts = yield* Stream.runCollect(UiPart.fromChunks(Stream.fromIterable(all)))
      const join = (tag: "Text" | "Thinking") => parts.map((part) => (part._tag === tag ? part.text : "")).join("")
      expect(join("Text")).toBe(all.map(({ content }) => content).join(""))
      expect(join("Thinking")).toBe(all.map(({ thinking = "" }) => thinking).join(""))
      expect(parts.filter(({ _tag }) => _tag === "ToolRunning").length).toBe(
        all.flatMap(({ toolCalls = [] }) => toolCalls).length
      )
      expect(parts.filter(isOver)).toEqual([{ _tag: "End", finishReason: "stop", model: "m", rounds: 1 }])
      expect(parts.at(-1)?._tag).toBe("End")
    })
  )

  it.effect("a call is announced before its arguments are complete, and one that is cut has failed", () =>
    Effect.gen(function* () {
      const call = { index: 0, argumentsDelta: "" }
      const parts = yield* UiPart.fromChunks(
        Stream.make<ReadonlyArray<StreamingChunk>>(
          {
            content: "",
            isFinal: false,
            toolCallDeltas: [
              { ...call, id: "a", name: "f" },
              { ...call, index: 1, id: "b", name: "g" }
            ]
          },
          { content: "", isFinal: false, toolCalls: [{ id: "a", name: "f", arguments: { x: 1 } }] },
          { content: "", isFinal: true, model: "m", finishReason: "length" }
        )
      ).pipe(Stream.runCollect)
      expect(parts.map(({ _tag, ...part }) => [_tag, "id" in part ? part.id : ""])).toEqual([
        ["ToolCalled", "a"],
        ["ToolCalled", "b"],
        ["ToolRunning", "a"],
        ["ToolFailed", "b"],
        ["End", ""]
      ])
    })
  )
})

describe("settle", () => {
  const settled = <E>(parts: Stream.Stream<UiPart.UiPart, E>) => Stream.runCollect(UiPart.settle(parts))

  it.effect("a failure is the last part, and has no address", () =>
    Effect.gen(function* () {
      const parts = yield* settled(Stream.concat(Stream.make(text("Half")), Stream.fail(failed)))
      expect(parts).toEqual([
        text("Half"),
        {
          _tag: "Failure",
          reason: "RateLimited",
          message: expect.any(String),
          isRetryable: true,
          retryAfterMillis: 7000
        }
      ])
      expect(JSON.stringify(parts)).not.toContain("10.0.0.7")
      const reason = new AiError.InvalidRequestError({ description: `secret ${address}` })
      const error = AiError.make({ module: "m", method: "f", reason })
      const [failure] = yield* settled(Stream.fail(error))
      expect(failure).toMatchObject({ _tag: "Failure", reason: "InvalidRequestError", isRetryable: false })
      expect(JSON.stringify(failure)).not.toContain("secret")
      expect(yield* settled(Stream.fail(new Error("secret")))).toMatchObject([
        { reason: "Error", message: "the answer failed" }
      ])
    })
  )

  it.effect("parts without an end are cut", () =>
    Effect.gen(function* () {
      expect(yield* settled(Stream.make(text("Half")))).toMatchObject([text("Half"), { reason: "StreamTruncated" }])
      expect(yield* settled(Stream.empty)).toMatchObject([{ reason: "StreamTruncated" }])
      expect(yield* settled(Stream.make(text("All"), end))).toEqual([text("All"), end])
    })
  )
})

/** The status, the headers and the body of a response. */
const read = <E>(parts: Stream.Stream<UiPart.UiPart, E>, options: StreamResponse.PartsOptions = {}) =>
  Effect.gen(function* () {
    const response = HttpServerResponse.toWeb(yield* StreamResponse.parts(parts, options))
    return { status: response.status, headers: response.headers, body: yield* Effect.promise(() => response.text()) }
  }).pipe(Effect.scoped)

const eventsOf = (body: string): ReadonlyArray<{ readonly type: string; readonly id?: string }> =>
  body
    .split("\n\n")
    .filter((event) => event.startsWith("data: {"))
    .map((event) => JSON.parse(event.slice(6)))

describe("StreamResponse.parts", () => {
  it.effect("ui-messages: the headers, the events, and the end", () =>
    Effect.gen(function* () {
      const { body, headers, status } = yield* read(Stream.make(text("Sun"), text(" light"), end))
      expect([status, headers.get("content-type"), headers.get("x-vercel-ai-ui-message-stream")]).toEqual([
        200,
        "text/event-stream",
        "v1"
      ])
      expect(eventsOf(body).map(({ type }) => type)).toEqual([
        "start",
        "start-step",
        "text-start",
        "text-delta",
        "text-delta",
        "text-end",
        "finish-step",
        "finish"
      ])
      expect(body.endsWith("data: [DONE]\n\n")).toBe(true)
    })
  )

  it.effect.prop(
    "ui-messages: whatever the parts are, each delta is between its start and its end",
    { parts: Arbitrary.array(Arbitrary.schema(UiPart.UiPart), { maxLength: 20 }) },
    ({ parts }) =>
      Effect.gen(function* () {
        const content = parts.filter((part) => !isOver(part))
        const events = eventsOf((yield* read(Stream.fromIterable([...content, end]))).body)
        const open = new Set<string>()
        let steps = 0
        for (const { id = "", type } of events) {
          const [kind = "", what] = type.split(/-(?=start$|delta$|end$)/)
          if (type === "start-step") steps++
          if (type === "finish-step") steps--
          if (kind !== "text" && kind !== "reasoning") {
            // Parts of other kinds do not stand inside a text.
            if (type.startsWith("tool-input")) expect(open.size).toBe(0)
            continue
          }
          expect(open.has(id)).toBe(what !== "start")
          if (what === "start") open.add(id)
          if (what === "end") open.delete(id)
        }
        expect([open.size, steps, events.at(0)?.type, events.at(-1)?.type]).toEqual([0, 0, "start", "finish"])
      })
  )

  it.effect("a failure before the first part has its status, and the text of the failure", () =>
    Effect.gen(function* () {
      const response = yield* read(Stream.fail(failed))
      expect([response.status, response.headers.get("retry-after")]).toEqual([429, "7"])
      expect(response.body).not.toContain("{")
      const json = yield* read(Stream.fail(failed), { format: "ndjson" })
      expect([json.status, JSON.parse(json.body)]).toMatchObject([
        429,
        { error: { reason: "RateLimited", isRetryable: true } }
      ])
      // The same if it is a part already.
      expect((yield* read(UiPart.settle(Stream.fail(failed)))).status).toBe(429)
      expect((yield* read(Stream.empty)).status).toBe(502)
    })
  )

  it.effect.each(["fails", "ends", "dies"] as const)(
    "a stream that %s after a text is an error, and never complete",
    (how) =>
      Effect.gen(function* () {
        const rest = { fails: Stream.fail(failed), ends: Stream.empty, dies: Stream.die(new Error("secret")) }[how]
        const parts = Stream.concat(Stream.make(text("Half")), rest)
        const { body } = yield* read(parts)
        expect(eventsOf(body).at(-1)).toMatchObject({ type: "error", errorText: expect.any(String) })
        expect(body).not.toMatch(/"finish"|\[DONE\]|secret|10\.0\.0\.7/)
        for (const format of ["sse", "ndjson"] as const) {
          const lines = (yield* read(parts, { format })).body.split("\n").filter((line) => line.includes("{"))
          const decoded = lines.map((line) => Schema.decodeSync(UiPart.FromJsonString)(line.replace(/^data: /, "")))
          expect(decoded).toMatchObject([text("Half"), { _tag: "Failure" }])
        }
      })
  )

  it.effect("an invalid option fails, and nothing runs", () =>
    Effect.gen(function* () {
      const options: object = { format: "xml" }
      const error = yield* Effect.flip(read(Stream.die("ran"), options))
      expect(error).toMatchObject({ reason: { _tag: "InvalidRequest", field: "format" } })
    })
  )
})
