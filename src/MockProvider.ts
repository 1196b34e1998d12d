/**
 * A provider that says what a test tells it to, without HTTP.
 *
 * @since 0.1.0
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import type { CompletionRequest, Deadlines } from "./CompletionRequest.ts"
import * as Guard from "./internal/guard.ts"
import * as Provider from "./Provider.ts"
import type { ProviderError, ProviderErrorReason } from "./ProviderError.ts"
import { NetworkError } from "./ProviderError.ts"
import type { StreamingChunk } from "./StreamingChunk.ts"

/**
 * One step of an answer: a text, a chunk, a wait, or a failure.
 *
 * @since 0.1.0
 */
export type Step = string | Partial<StreamingChunk> | Wait | Failure

/**
 * An answer, step by step: `["Rayleigh ", "scattering."]`. A generator makes an endless one.
 *
 * **Details**
 *
 * A final chunk is added at the end unless the script has one: `finishReason` is `stop`, or `tool-calls` if calls came.
 * What stands behind a final chunk is never reached.
 *
 * @since 0.1.0
 */
export type Script = Iterable<Step>

/**
 * @since 0.1.0
 */
export class Wait extends Data.TaggedClass("Wait")<{ readonly duration: Duration.Input }> {}

/**
 * @since 0.1.0
 */
export class Failure extends Data.TaggedClass("Failure")<{ readonly reason: ProviderErrorReason }> {}

/**
 * A pause before the next step. It is the test's clock that passes: `TestClock.adjust` moves it on.
 *
 * @since 0.1.0
 */
export const wait = (duration: Duration.Input): Step => new Wait({ duration })

/**
 * Nothing any more: the answer hangs until someone gives up.
 *
 * @since 0.1.0
 */
export const hang: Step = wait("Infinity")

/**
 * The stream fails here, with any reason.
 *
 * @since 0.1.0
 */
export const fail = (reason: ProviderErrorReason): Step => new Failure({ reason })

/**
 * How the mock presents itself.
 *
 * @since 0.1.0
 */
export interface Options {
  /** Default: `Mock`. */
  readonly name?: string | undefined
  /** The models it lists. Default: `mock` alone. It answers for any model. */
  readonly models?: ReadonlyArray<string> | undefined
  /** Deadlines of every request that does not set its own. Default: `Deadlines.defaults`. */
  readonly deadlines?: Deadlines | undefined
}

/**
 * The mock: a `Provider`, and what it was asked.
 *
 * @since 0.1.0
 */
export interface MockProvider extends Provider.Provider {
  /** The requests it received, the oldest first. Invalid requests and streams that never ran are not among them. */
  readonly requests: Effect.Effect<ReadonlyArray<CompletionRequest>>
}

/**
 * @since 0.1.0
 */
export const MockProvider = Context.Service<MockProvider>("effect-local-llm/MockProvider")

/**
 * Makes a mock that answers every request with the script, or with what the function makes of the request.
 *
 * @since 0.1.0
 */
export const make = (
  script: Script | ((request: CompletionRequest) => Script),
  options: Options = {}
): Effect.Effect<MockProvider, ProviderError> =>
  Effect.map(Effect.fromResult(Guard.make({ name: options.name ?? "Mock", deadlines: options.deadlines })), (guard) => {
    const { models = ["mock"], name = "Mock" } = options
    const requests: Array<CompletionRequest> = []
    const provider = Provider.make({
      name,
      stream: guard.completions((request) =>
        Effect.map(Deferred.make<void>(), (aborted) => {
          requests.push(request)
          const steps = typeof script === "function" ? script(request) : script
          return {
            items: play(steps, { model: request.model, aborted: Deferred.await(aborted) }),
            abort: Deferred.succeed(aborted, undefined)
          }
        })
      ),
      listModels: Effect.succeed(models.map((id) => ({ id })))
    })
    return { ...provider, requests: Effect.sync(() => [...requests]) }
  })

/**
 * Provides `Provider` and `MockProvider`.
 *
 * **Details**
 *
 * The mock keeps the contract of `Provider.stream`: it checks requests, applies deadlines, and its streams end with exactly
 * one final chunk or fail. So a test against it means something.
 *
 * **Example** (an answer that stands still, and the deadline that ends it)
 *
 * ```ts
 * import { Effect, Fiber, Stream } from "effect"
 * import { TestClock } from "effect/testing"
 * import { MockProvider, Provider } from "effect-local-llm"
 *
 * const test = Effect.gen(function*() {
 *   const provider = yield* Provider.Provider
 *   const fiber = yield* provider.stream({ model: "any", prompt: "Once" }).pipe(Stream.runDrain, Effect.flip, Effect.forkChild)
 *   yield* TestClock.adjust("2 minutes")
 *   const error = yield* Fiber.join(fiber)
 *   return error.reason._tag // "Timeout"
 * }).pipe(Effect.provide(MockProvider.layer(["Once upon ", MockProvider.hang])))
 * ```
 *
 * @since 0.1.0
 */
export const layer = (
  script: Script | ((request: CompletionRequest) => Script),
  options: Options = {}
): Layer.Layer<Provider.Provider | MockProvider, ProviderError> =>
  Layer.effectContext(
    Effect.map(make(script, options), (service) =>
      Context.make(MockProvider, service).pipe(Context.add(Provider.Provider, service))
    )
  )

const play = (
  script: Script,
  {
    aborted,
    model
  }: {
    readonly model: string
    readonly aborted: Effect.Effect<void>
  }
): Stream.Stream<StreamingChunk, ProviderErrorReason> =>
  Stream.suspend(() => {
    const steps = script[Symbol.iterator]()
    let isOver = false
    let calls = 0
    const give = (chunk: Partial<StreamingChunk>): Effect.Effect<Arr.NonEmptyReadonlyArray<StreamingChunk>> => {
      calls += chunk.toolCalls?.length ?? 0
      if (chunk.isFinal !== true) return Effect.succeed([{ ...chunk, content: chunk.content ?? "", isFinal: false }])
      isOver = true
      const finishReason = chunk.finishReason ?? (calls > 0 ? "tool-calls" : "stop")
      return Effect.succeed([{ model, ...chunk, content: chunk.content ?? "", isFinal: true, finishReason }])
    }

    const next: Pull.Pull<Arr.NonEmptyReadonlyArray<StreamingChunk>, ProviderErrorReason> = Effect.suspend(() => {
      if (isOver) return Cause.done()
      const step = steps.next()
      if (step.done === true) return give({ isFinal: true })
      if (typeof step.value === "string") return give({ content: step.value })
      if (step.value instanceof Wait) {
        const gone = Effect.andThen(aborted, Effect.fail(new NetworkError({ description: "aborted" })))
        return Effect.andThen(Effect.raceFirst(Effect.sleep(step.value.duration), gone), next)
      }
      if (step.value instanceof Failure) return Effect.fail(step.value.reason)
      return give(step.value)
    })

    return Stream.fromPull(Effect.succeed(next))
  })
