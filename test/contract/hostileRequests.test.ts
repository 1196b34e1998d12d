/** Requests of a program without types: each is rejected with a typed error, and nothing is sent. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { CompletionRequest } from "../../src/CompletionRequest.ts"
import type { EmbeddingRequest } from "../../src/Embedding.ts"
import { serverNames, start } from "../support/setups.ts"

const messages = [{ role: "user", content: "Why?" }]
const circular: { self?: unknown } = {}
circular.self = circular
const completions: { readonly [name: string]: () => unknown } = {
  nothing: () => undefined,
  null: () => null,
  "a text": () => "Why?",
  "a list": () => messages,
  "a circular extra": () => ({ model: "m", messages, extra: circular }),
  "a bigint": () => ({ model: "m", messages, extra: { a: 1n } }),
  "messages that are a Map": () => ({ model: "m", messages: new Map() })
}

describe.each(serverNames)("%s", (server) => {
  it.live("rejects them all", () =>
    Effect.gen(function* () {
      const running = yield* start({ provider: server, client: "undici" }, { text: "Yes" })
      const { complete, embed, stream } = running.provider
      for (const [name, make] of Object.entries(completions)) {
        for (const run of [
          Stream.runDrain(Stream.suspend(() => stream(make() as CompletionRequest))),
          complete(make() as CompletionRequest),
          embed(make() as EmbeddingRequest)
        ]) {
          const error = yield* Effect.flip(
            run as Effect.Effect<unknown, { readonly reason: { readonly _tag: string } }>
          )
          expect(error.reason._tag, name).toBe("InvalidRequest")
          expect(JSON.stringify(error), name).not.toContain("secret")
        }
      }
      const { requests } = yield* running.server.state
      expect(requests.filter(({ path }) => /chat|generate|completions|embed/.test(path))).toEqual([])
    })
  )
})
