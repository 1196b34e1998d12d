/** The reason of this package in errors of `effect/ai`. */
import { describe, expect, it } from "@effect/vitest"
import * as AiError from "effect/ai/AiError"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Arbitrary from "effect/Arbitrary"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Errors from "../../../src/ai/errors.ts"
import * as EffectAi from "../../../src/EffectAi.ts"
import * as MockProvider from "../../../src/MockProvider.ts"
import { networkError } from "../../../src/http/networkError.ts"
import * as Reasons from "../../../src/ProviderError.ts"
import { layer, sendError } from "../../support/effectAi.ts"

const reason = Arbitrary.schema(Reasons.Reason)

describe("errors", () => {
  it.prop("have their reason, also after they have gone through their schema", { reason }, ({ reason }) => {
    for (const depth of [0, 2]) {
      let sent: Reasons.ProviderErrorReason = reason
      for (let i = 0; i < depth; i++) {
        const errors = [new Reasons.ProviderError({ provider: "p", server: "http://x", reason: sent })]
        sent = new Reasons.AllProvidersFailed({ errors: [...errors, ...errors] })
      }
      const error = Errors.toError("m", new Reasons.ProviderError({ provider: "p", reason: sent }))
      for (const each of [error, sendError(error)]) {
        const read = EffectAi.reasonOf(each)
        expect(read).toBeInstanceOf(sent.constructor)
        expect(read?.message).toBe(sent.message)
        expect(each.isRetryable).toBe(sent.isRetryable)
        const retryAfter = "retryAfter" in sent ? sent.retryAfter : undefined
        const millis =
          retryAfter && Math.min(Math.max(0, Math.ceil(Duration.toMillis(retryAfter))), Number.MAX_SAFE_INTEGER)
        // `effect/ai` encodes safe integers only.
        if (sent.isRetryable) expect(each.retryAfter && Duration.toMillis(each.retryAfter)).toBe(millis)
      }
    }
  })

  it.effect("of other origins have none, whatever is in their metadata", () =>
    Effect.gen(function* () {
      const at = (metadata: Record<string, Schema.MutableJson>) =>
        AiError.make({ module: "m", method: "m", reason: new AiError.UnknownError({ description: "x", metadata }) })
      let deep: Schema.MutableJson = {}
      for (let i = 0; i < 10_000; i++) deep = { reason: "AllProvidersFailed", provider: "p", errors: [deep] }
      const key = "effect-local-llm"
      const wrong = [{}, { other: {} }, { [key]: null }, { [key]: { reason: "Nothing" } }, { [key]: { reason: 1 } }]
      for (const metadata of [...wrong, { [key]: { reason: "Timeout", provider: "p", limit: "x" } }, { [key]: deep }]) {
        expect(EffectAi.reasonOf(at(metadata))).toBeUndefined()
      }
      const toolkit = Toolkit.make(Tool.make("f", { success: Schema.String }))
      const unknown = yield* LanguageModel.generateText({ prompt: "x", toolkit, disableToolCallResolution: true }).pipe(
        Effect.flip,
        Effect.provide(layer([{ toolCalls: [{ id: "1", name: "invented", arguments: {} }] }]))
      )
      expect([unknown.reason._tag, EffectAi.reasonOf(unknown)]).toEqual(["ToolNotFoundError", undefined])
    })
  )

  it.effect("are narrowed to their fields", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(LanguageModel.generateText({ prompt: "Why?" }))
      const read = EffectAi.reasonOf(error)
      expect(read?._tag === "ContextOverflow" ? [read.promptTokens, read.contextLength] : read).toEqual([10, 5])
    }).pipe(
      Effect.provide(layer([MockProvider.fail(new Reasons.ContextOverflow({ promptTokens: 10, contextLength: 5 }))]))
    )
  )

  it.each(["ECONNREFUSED", "CERT_HAS_EXPIRED", "HPE_INVALID_VERSION", "ERR_INVALID_CHAR"])(
    "of a connection are as retryable as their reason, which has its kind: %s",
    (code) => {
      const reason = networkError({ code })
      const error = Errors.toError("m", new Reasons.ProviderError({ provider: "p", reason }))
      expect(error.isRetryable).toBe(reason.isRetryable)
      expect(EffectAi.reasonOf(sendError(error))).toMatchObject({ _tag: "NetworkError", kind: reason.kind })
    }
  )
})
