/** A pool of two real llama.cpp servers. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { Message } from "../../src/CompletionRequest.ts"
import * as Llama from "../../src/LlamaServer.ts"
import * as Pool from "../../src/Pool.ts"
import * as Retry from "../../src/Retry.ts"
import { endless } from "../support/scriptedModels.ts"
import * as RealServer from "./llamaServer.ts"

const start = Effect.fnUntraced(function* (model: string) {
  const servers = {
    a: yield* RealServer.start({ model }),
    b: yield* RealServer.start({ model })
  }
  const hosts = [
    { name: "a", provider: Llama.make({ baseUrl: servers.a.url }) },
    { name: "b", provider: Llama.make({ baseUrl: servers.b.url }) }
  ]
  const pool = yield* Pool.make({ hosts, defaults: { model } })
  return { servers, pool }
})

const other = (name: string) => (name === "a" ? "b" : "a")

RealServer.describeLlamaServer("Pool", () => {
  it.live("a conversation stays on its host, which reads only the new tokens of its second turn", () =>
    Effect.gen(function* () {
      const { pool } = yield* start("sky")
      for (const topic of ["x", "y", "z"]) {
        const messages: Array<Message> = [{ role: "user", content: `${topic} `.repeat(400) }]
        const first = yield* pool.complete({ messages })
        messages.push({ role: "assistant", content: first.content }, { role: "user", content: "And now?" })
        const second = yield* pool.complete({ messages })
        expect(second.provider).toBe(first.provider)
        const { cachedTokens = 0, promptTokens = 0 } = second.usage ?? {}
        expect(cachedTokens).toBeGreaterThan(750)
        // The answer and the new message, at most a token for each character.
        expect(promptTokens - cachedTokens).toBeLessThan(first.content.length + 60)
      }
    }).pipe(Effect.provide(NodeHttpClient.layerUndici))
  )

  it.live("a prompt with another beginning is read as a whole on its host too; with another end, the rest is", () =>
    Effect.gen(function* () {
      const { pool } = yield* start("sky")
      const rules = "x ".repeat(1600)
      const turn = (system: string) =>
        Effect.map(
          pool.complete({
            messages: [
              { role: "system", content: system },
              { role: "user", content: "Why?" }
            ]
          }),
          ({ provider, usage: { cachedTokens = 0, promptTokens = 0 } = {} }) => ({
            provider,
            cachedTokens,
            read: promptTokens - cachedTokens
          })
        )
      const first = yield* turn(`${rules}Monday`)
      const otherEnd = yield* turn(`${rules}Friday`)
      expect(otherEnd.provider).toBe(first.provider)
      expect(otherEnd.read).toBeLessThan(60)
      // One of the two hosts gets two of these at least.
      for (const day of ["Monday", "Friday", "Sunday"]) {
        const { cachedTokens, read } = yield* turn(`${day}${rules}`)
        expect(cachedTokens).toBeLessThan(60)
        expect(read).toBeGreaterThan(3000)
      }
    }).pipe(Effect.provide(NodeHttpClient.layerUndici))
  )

  it.live(
    "a host that is killed in the middle of an answer fails it once; the other host answers, and no permit is left",
    () =>
      Effect.gen(function* () {
        const { pool, servers } = yield* start("endless")
        const provider = Retry.apply(pool)
        let text = ""
        const fiber = yield* provider.stream({ messages: [{ role: "user", content: "Why?" }], maxTokens: 8000 }).pipe(
          Stream.runForEach(({ content }) => Effect.sync(() => (text += content))),
          Effect.result,
          Effect.forkChild
        )
        yield* Effect.repeat(Effect.sleep(5), { until: () => text.length > 200 })
        const { hosts } = yield* SubscriptionRef.get(pool.state)
        const name = hosts.find(({ active }) => active === 1)?.name === "a" ? "a" : "b"
        yield* servers[name].kill
        const outcome = yield* Fiber.join(fiber)
        expect(Result.isFailure(outcome) && outcome.failure.reason._tag).toBe("NetworkError")
        expect(endless(8000).join("").startsWith(text)).toBe(true)

        for (let i = 0; i < 6; i++) {
          const answer = yield* provider.complete({ messages: [{ role: "user", content: `${i}?` }], maxTokens: 5 })
          expect(answer.provider).toBe(other(name))
          expect(answer.content).toBe(endless(5).join(""))
        }
        const after = yield* SubscriptionRef.get(pool.state)
        expect(after.hosts.map(({ active }) => active)).toEqual([0, 0])

        // A host that is back takes its place.
        yield* pool.drain(name)
        const restarted = yield* RealServer.start({ model: "endless" })
        yield* pool.add({ name: "c", provider: Llama.make({ baseUrl: restarted.url }) })
        const names = yield* Effect.forEach(
          Array.from({ length: 8 }),
          (_, i) => pool.complete({ messages: [{ role: "user", content: `${i}!` }], maxTokens: 200 }),
          { concurrency: 8 }
        )
        expect(new Set(names.map(({ provider }) => provider))).toEqual(new Set([other(name), "c"]))
      }).pipe(Effect.provide(NodeHttpClient.layerUndici))
  )

  it.live("an answer that is stopped frees the slot of its server", () =>
    Effect.gen(function* () {
      const { pool, servers } = yield* start("endless")
      const answers = yield* Effect.forEach(["a", "b"], () =>
        pool.stream({ messages: [{ role: "user", content: "Why?" }] }).pipe(Stream.runDrain, Effect.forkChild)
      )
      yield* servers.a.untilGenerating(1)
      yield* servers.b.untilGenerating(1)
      yield* Effect.forEach(answers, Fiber.interrupt)
      yield* servers.a.untilGenerating(0)
      yield* servers.b.untilGenerating(0)
    }).pipe(Effect.provide(NodeHttpClient.layerUndici))
  )
})
