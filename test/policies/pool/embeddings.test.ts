/** Embeddings through a pool: permits bound every request to a server, and batches are spread over the hosts. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import * as Fiber from "effect/Fiber"
import type { EmbeddingRequest } from "../../../src/Embedding.ts"
import * as Pool from "../../../src/Pool.ts"
import { ContextOverflow, ProviderError } from "../../../src/ProviderError.ts"
import { fake, reasonOf } from "./support.ts"

const texts = (count: number) => Array.from({ length: count }, (_, i) => `text ${i}`)

/** A host that embeds a text as its number, and takes a second for each request. */
const embedder = Effect.fnUntraced(function* (name: string, tooLong?: string) {
  const seen = { active: 0, peak: 0, sizes: new Array<number>() }
  const provider = {
    ...(yield* fake(name)),
    embed: ({ input, model = "" }: EmbeddingRequest) =>
      Effect.gen(function* () {
        const all = typeof input === "string" ? [input] : input
        seen.sizes.push(all.length)
        seen.peak = Math.max(seen.peak, ++seen.active)
        yield* Effect.sleep("1 second")
        const index = all.findIndex((text) => text === tooLong)
        if (index !== -1)
          return yield* Effect.fail(new ProviderError({ provider: name, reason: new ContextOverflow({ index }) }))
        return { model, vectors: all.map((text) => [Number(text.split(" ")[1])]), promptTokens: all.length }
      }).pipe(Effect.ensuring(Effect.sync(() => seen.active--)))
  }
  return { seen, provider }
})

it.effect("a large input is spread over the hosts in batches, each with a permit", () =>
  Effect.gen(function* () {
    const hosts = [yield* embedder("one"), yield* embedder("two")]
    const pool = yield* Pool.make({ hosts: hosts.map(({ provider }) => ({ provider, permits: 2 })), maxWaiting: 0 })
    const embedding = yield* Effect.forkChild(pool.embed({ model: "m", input: texts(5000) }))
    yield* TestClock.adjust("10 minutes")
    const { promptTokens, vectors } = yield* Fiber.join(embedding)
    expect(vectors).toEqual(texts(5000).map((_, i) => [i]))
    expect(promptTokens).toBe(5000)
    for (const { seen } of hosts) {
      expect(seen.peak).toBe(2)
      expect(seen.sizes.reduce((sum, size) => sum + size, 0)).toBeGreaterThan(1500)
    }
  })
)

it.effect("with one permit there is one request at a time", () =>
  Effect.gen(function* () {
    const { provider, seen } = yield* embedder("one")
    const pool = yield* Pool.make({ hosts: [{ provider, permits: 1 }] })
    const embedding = yield* Effect.forkChild(pool.embed({ model: "m", input: texts(200) }))
    yield* TestClock.adjust("1 minute")
    expect(yield* Fiber.join(embedding)).toMatchObject({ model: "m", provider: "one" })
    expect(seen.peak).toBe(1)
    expect(seen.sizes.length).toBeGreaterThan(4)
  })
)

it.effect("a text that does not fit has its index in the whole input", () =>
  Effect.gen(function* () {
    const { provider } = yield* embedder("one", "text 100")
    const pool = yield* Pool.make({ hosts: [{ provider }] })
    const failure = yield* Effect.forkChild(reasonOf(pool.embed({ model: "m", input: texts(200) })))
    yield* TestClock.adjust("1 minute")
    expect(yield* Fiber.join(failure)).toMatchObject({ _tag: "ContextOverflow", index: 100 })
  })
)
