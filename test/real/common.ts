/** What holds on any real server with any model: the structure of answers, not their letters. */
import { describe, expect, it, layer as withLayer } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { CompletionRequest } from "../../src/CompletionRequest.ts"
import * as Provider from "../../src/Provider.ts"
import * as StreamingChunk from "../../src/StreamingChunk.ts"
import type { Missing, OwnServer } from "./setup.ts"

const isChunk = Schema.is(StreamingChunk.StreamingChunk)

/** Long enough an answer to be stopped on the way. */
const longRequest = (model: string): CompletionRequest => ({
  model,
  messages: [{ role: "user", content: "Tell me in a thousand words why the sky is blue." }]
})

export const testCommon = <E>(
  name: string,
  server: OwnServer | Missing,
  layer: Layer.Layer<Provider.Provider, E>
): void => {
  if ("missing" in server) {
    describe.skip(`${name} (skipped: ${server.missing})`, () => it("answers as any server does", () => undefined))
    return
  }
  const { lacks = [], model } = server
  const request: CompletionRequest = { ...longRequest(model), maxTokens: 16, temperature: 0 }

  withLayer(layer, { excludeTestServices: true })(name, (it) => {
    it.effect(
      "an answer is chunks, the last of them final",
      () =>
        Effect.gen(function* () {
          const { stream } = yield* Provider.Provider
          const chunks = yield* Stream.runCollect(stream(request))
          expect(chunks.every(isChunk)).toBe(true)
          expect(chunks.map((chunk) => chunk.isFinal)).toEqual(chunks.map((_, i) => i === chunks.length - 1))
          expect(chunks.some((chunk) => chunk.content !== "" || chunk.thinking !== undefined)).toBe(true)
          expect(chunks.at(-1)).toMatchObject({ model: expect.stringMatching(/./) })
        }),
      // The first one waits until the server has loaded the model.
      300_000
    )

    it.effect("maxTokens limits the tokens, which are counted, and the finish reason is length", () =>
      Effect.gen(function* () {
        const { complete } = yield* Provider.Provider
        const completion = yield* complete(request)
        expect(completion.finishReason).toBe("length")
        expect(completion.usage?.completionTokens).toBeGreaterThan(0)
        expect(completion.usage?.completionTokens).toBeLessThanOrEqual(16)
      })
    )

    it.effect("a prompt goes without a template", () =>
      Effect.gen(function* () {
        const { complete } = yield* Provider.Provider
        const completion = yield* complete({ model, prompt: "The sky is", maxTokens: 4 })
        expect(completion.content).not.toBe("")
      })
    )

    it.effect("every setting is taken", () =>
      Effect.gen(function* () {
        const { complete } = yield* Provider.Provider
        const completion = yield* complete({
          ...request,
          maxTokens: 2,
          topP: 0.9,
          topK: 40,
          minP: 0.05,
          seed: 1,
          stop: ["never said"],
          repeatPenalty: 1.1,
          presencePenalty: 0.1,
          frequencyPenalty: 0.1,
          ...(lacks.includes("keepAlive") ? {} : { keepAlive: "5 minutes" as const })
        })
        expect(completion.finishReason).toBe("length")
      })
    )

    for (const [how, stop] of Object.entries(waysToStop)) {
      it.effect(`${how} ends the request at once, and the next one is answered`, () =>
        Effect.gen(function* () {
          const provider = yield* Provider.Provider
          yield* Effect.timeout(stop(provider, longRequest(model), Effect.sleep("300 millis")), "30 seconds")
          const completion = yield* Effect.timeout(provider.complete({ ...request, maxTokens: 1 }), "60 seconds")
          expect(completion.finishReason).toBe("length")
        })
      )
    }

    it.effect("an unknown model is an error, or the answer names the one that answered", () =>
      Effect.gen(function* () {
        const { complete } = yield* Provider.Provider
        const asked = "no-such-model-here"
        const completion = yield* complete({ ...request, model: asked }).pipe(
          Effect.catchReason("ProviderError", "ModelNotAvailable", (reason) => {
            expect(reason.model).toBe(asked)
            return Effect.succeed(undefined)
          })
        )
        expect(completion?.model).not.toBe(asked)
      })
    )

    it.effect("the model is listed", () =>
      Effect.gen(function* () {
        const { listModels, supportsModel } = yield* Provider.Provider
        expect((yield* listModels).length).toBeGreaterThan(0)
        expect(yield* supportsModel(model)).toBe(true)
        expect(yield* supportsModel("no-such-model-here")).toBe(false)
      })
    )

    it.effect("a deadline that is too short is a Timeout", () =>
      Effect.gen(function* () {
        const { complete } = yield* Provider.Provider
        const error = yield* Effect.flip(complete({ ...longRequest(model), deadlines: { total: "1 milli" } }))
        expect(error.reason).toMatchObject({ _tag: "Timeout", kind: "total" })
      })
    )
  })
}

/** Runs `seen` once the answer has begun, and stops the answer then. */
type Stop = (
  provider: Provider.Provider,
  request: CompletionRequest,
  seen: Effect.Effect<void>
) => Effect.Effect<unknown, unknown>

export const waysToStop: Readonly<Record<string, Stop>> = {
  "taking a chunk": ({ stream }, request, seen) =>
    stream(request).pipe(
      Stream.tap(() => seen),
      Stream.take(1),
      Stream.runDrain
    ),
  "a failure of the consumer": ({ stream }, request, seen) =>
    Effect.flip(Stream.runForEach(stream(request), () => Effect.andThen(seen, Effect.fail("enough")))),
  "the end of the scope": ({ stream }, request, seen) =>
    Stream.toPull(stream(request)).pipe(
      Effect.flatMap((pull) => Effect.andThen(pull, seen)),
      Effect.scoped
    ),
  "interrupting a stream": ({ stream }, request, seen) =>
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(
        Stream.runForEach(stream(request), () => Deferred.succeed(begun, undefined))
      )
      yield* Deferred.await(begun)
      yield* seen
      yield* Fiber.interrupt(fiber)
    }),
  "interrupting complete": ({ complete }, request, seen) =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(complete(request))
      yield* seen
      yield* Fiber.interrupt(fiber)
    })
}
