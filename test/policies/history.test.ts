/** One history for all attempts of a request, whatever policies are around the provider. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { CompletionRequest } from "../../src/CompletionRequest.ts"
import * as Fallback from "../../src/Fallback.ts"
import * as Hedge from "../../src/Hedge.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import { RequestHistory } from "../../src/policies/history.ts"
import * as Pool from "../../src/Pool.ts"
import * as Provider from "../../src/Provider.ts"
import { ProviderError, StreamError } from "../../src/ProviderError.ts"
import * as Retry from "../../src/Retry.ts"
import * as Telemetry from "../../src/Telemetry.ts"
import * as Thinking from "../../src/Thinking.ts"
import { settle } from "../support/attempts.ts"

const request: CompletionRequest = { model: "m", prompt: "x" }

type Histories = Array<RequestHistory | undefined>

/** A provider that records the history of each attempt. */
const recording = (histories: Histories, provider: Provider.Provider): Provider.Provider => {
  const record = Effect.map(RequestHistory, (history) => histories.push(history))
  return Provider.make({
    ...provider,
    // The history is read with the first pull.
    stream: (request) => Stream.unwrap(Effect.as(record, provider.stream(request))),
    embed: (request) => Effect.andThen(record, provider.embed(request))
  })
}

const failing = (name: string) => MockProvider.make([MockProvider.fail(new StreamError({}))], { name })

const hedge = (provider: Provider.Provider) => Hedge.make(provider, { minDelay: "10 millis" })

const retry = (provider: Provider.Provider) => Retry.apply(provider, { attempts: 3 })

const fallback = (provider: Provider.Provider) => Fallback.make([{ provider }, { provider }])

const pool = (provider: Provider.Provider) => Pool.make({ hosts: [{ provider }, { provider }] })

const table: ReadonlyArray<
  readonly [
    name: string,
    attempts: number,
    make: (provider: Provider.Provider) => Effect.Effect<Provider.Provider, ProviderError>
  ]
> = [
  ["Retry", 3, (p) => Effect.succeed(retry(p))],
  ["Fallback", 2, fallback],
  [
    "Retry around Fallback, with Telemetry and Thinking between them",
    2,
    (p) => Effect.map(fallback(p), (p) => retry(between(p)))
  ],
  ["Fallback around Retry, with Telemetry and Thinking between them", 6, (p) => fallback(between(retry(p)))]
]

const between = (provider: Provider.Provider) => Telemetry.apply(Thinking.apply(provider))

for (const [name, attempts, make] of table) {
  it.effect(`${name}: one history for the attempts of a stream, another one for the next stream`, () =>
    Effect.gen(function* () {
      const histories: Histories = []
      const provider = yield* make(recording(histories, yield* failing("m")))
      yield* settle(Effect.exit(provider.complete(request)))
      expect(histories.length).toBe(attempts)
      expect(new Set(histories).size).toBe(1)
      expect(histories[0]).toBeDefined()
      yield* settle(Effect.exit(provider.complete(request)))
      expect(histories.length).toBe(2 * attempts)
      expect(new Set(histories).size).toBe(2)
    })
  )
}

/** Answers late, so that a second request is sent, and then fails. */
const late = MockProvider.make([MockProvider.wait("50 millis"), MockProvider.fail(new StreamError({}))])

it.live("Hedge: both requests have one history", () =>
  Effect.gen(function* () {
    const histories: Histories = []
    const provider = yield* hedge(between(recording(histories, yield* late)))
    yield* Effect.exit(provider.complete(request))
    expect(histories.length).toBe(2)
    expect(new Set(histories).size).toBe(1)
  })
)

it.live("Retry around Hedge around Pool: all attempts on all hosts have one history", () =>
  Effect.gen(function* () {
    const histories: Histories = []
    const provider = retry(yield* hedge(between(yield* pool(recording(histories, yield* late)))))
    yield* Effect.exit(provider.complete(request))
    expect(histories.length).toBeGreaterThanOrEqual(4)
    expect(new Set(histories).size).toBe(1)
  })
)

it.effect("Fallback around Retry: one history for the attempts of an embedding", () =>
  Effect.gen(function* () {
    const histories: Histories = []
    const broken = Provider.make({
      ...(yield* failing("m")),
      embed: () => Effect.fail(new ProviderError({ provider: "m", reason: new StreamError({}) }))
    })
    const provider = yield* fallback(retry(recording(histories, broken)))
    yield* settle(Effect.exit(provider.embed({ model: "m", input: "x" })))
    expect(histories.length).toBe(6)
    expect(new Set(histories).size).toBe(1)
    expect(histories[0]).toBeDefined()
  })
)

it.effect("outside of a request there is none", () =>
  Effect.gen(function* () {
    expect(yield* RequestHistory).toBeUndefined()
    const histories: Histories = []
    const provider = retry(recording(histories, yield* MockProvider.make(["text"])))
    const seen = yield* provider.stream(request).pipe(
      Stream.mapEffect(() => RequestHistory),
      Stream.runCollect
    )
    expect(histories[0]).toBeDefined()
    expect(new Set(seen)).toEqual(new Set([undefined]))
  })
)
