/** The guarantees of `Provider.stream` on sockets, through each policy and through all of them. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type { FakeServer } from "../../src/testing/index.ts"
import { policies } from "../support/policies.ts"
import type { ServerName } from "../support/setups.ts"
import { request, serverNames, start } from "../support/setups.ts"
import { record } from "../support/transcript.ts"

const text = "The sky is blue because air scatters short waves of sunlight."

const answering = /chat|generate|completions/

const sent = ({ requests }: FakeServer.State) => requests.filter(({ path }) => answering.test(path))

const through = Effect.fnUntraced(function* (policy: string, server: ServerName, script: FakeServer.Script) {
  const running = yield* start({ provider: server, client: "undici" }, script)
  const apply = policies[policy]
  if (apply === undefined) return yield* Effect.die(policy)
  return { server: running.server, provider: yield* apply(running.provider) }
})

describe.each(Object.keys(policies))("%s", (policy) => {
  describe.each(serverNames)("%s", (server) => {
    it.live("an answer with thinking and a call, whole and once", () =>
      Effect.gen(function* () {
        const call = { id: "c1", name: "f", arguments: { a: 1 } }
        const script = { thinking: "Hm so", text, toolCalls: [call] }
        const { provider, server: fake } = yield* through(policy, server, script)
        const { calls, failure, final, pieces } = yield* record(provider.stream(request))
        expect(failure).toBeUndefined()
        expect(
          pieces
            .replaceAll("|", "")
            .replaceAll(/\[[^\]]*\]/g, "")
            .replaceAll(")(", "")
        ).toBe(`(Hm so)${text}`)
        expect(calls?.map(({ arguments: value, name }) => ({ value, name }))).toEqual([{ value: { a: 1 }, name: "f" }])
        expect(final?.usage?.[0]).toBe(10)
        expect(sent(yield* fake.state).length).toBe(1)
      })
    )

    it.live("an answer that is cut fails after its text, and is not asked for again", () =>
      Effect.gen(function* () {
        const { provider, server: fake } = yield* through(policy, server, { text, cut: { how: "close" } })
        const { failure, pieces } = yield* record(provider.stream(request))
        expect(pieces.replaceAll("|", "")).toBe(text)
        expect(failure?._tag).toBe("NetworkError")
        expect(sent(yield* fake.state).length).toBe(1)
      })
    )

    it.live("a failure before the text is a typed error", () =>
      Effect.gen(function* () {
        const { provider } = yield* through(policy, server, { status: 401, body: { error: "no" } })
        const { failure, pieces } = yield* record(provider.stream(request))
        expect(pieces).toBe("")
        expect(["AuthenticationError", "AllProvidersFailed"]).toContain(failure?._tag)
      })
    )

    it.live("taking a part, an interrupt in mid-body and one before the headers close the connection", () =>
      Effect.gen(function* () {
        const endless = {
          pieces: {
            *[Symbol.iterator]() {
              for (;;) yield "word "
            }
          }
        }
        const { provider, server: fake } = yield* through(policy, server, endless)
        const cut = (count: number) =>
          fake.until((state) => sent(state).filter(({ outcome }) => outcome === "cut-by-client").length === count)
        yield* Stream.runDrain(Stream.take(provider.stream(request), 3))
        yield* cut(1)
        const running = yield* Effect.forkChild(provider.complete(request))
        yield* fake.until((state) => (sent(state)[1]?.bytesWritten ?? 0) > 1000)
        yield* Fiber.interrupt(running)
        yield* cut(2)
        yield* fake.setScript({ text, delay: { headers: Infinity, first: Infinity } })
        const waiting = yield* Effect.forkChild(provider.complete(request))
        yield* fake.until((state) => sent(state).length === 3)
        yield* Fiber.interrupt(waiting)
        yield* cut(3)
      })
    )

    it.live("a chunk is emitted before the next one is sent", () =>
      Effect.gen(function* () {
        const { provider } = yield* through(policy, server, {
          pieces: ["one", { wait: 200 }, "two", { wait: Infinity }],
          delay: { between: 1 }
        })
        const first = yield* provider.stream(request).pipe(
          Stream.filter(({ content }) => content !== ""),
          Stream.take(2),
          Stream.map(({ content }) => content),
          Stream.runCollect
        )
        expect(first).toEqual(["one", "two"])
      })
    )
  })
})
