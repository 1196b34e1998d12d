/**
 * A provider that plays scripts, for tests without HTTP.
 *
 * @category Testing
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
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Deadlines, Defaults, ValidRequest } from "./CompletionRequest.ts"
import type * as Embedding from "./Embedding.ts"
import * as Guard from "./servers/guard.ts"
import { countLetters } from "./values/text.ts"
import * as OptionSchema from "./servers/options.ts"
import * as Values from "./values/objects.ts"
import * as Provider from "./Provider.ts"
import type { ProviderError } from "./ProviderError.ts"
import { InvalidRequest, NetworkError, ProviderErrorReason } from "./ProviderError.ts"
import type { ContentChunk, FinalChunk } from "./StreamingChunk.ts"
import { StreamingChunk } from "./StreamingChunk.ts"

/**
 * One step of an answer: a text, a chunk, a wait, or a failure.
 *
 * @category models
 * @since 0.1.0
 */
export type Step = string | Partial<ContentChunk> | (Partial<FinalChunk> & { readonly isFinal: true }) | Wait | Failure

/**
 * An answer, step by step: `["Rayleigh ", "scattering."]`.
 *
 * **Details**
 *
 * A final chunk is added at the end unless the script has one: `finishReason` is `stop`, or `tool-calls` if there were calls.
 * Steps after a final chunk are not played. A step that is not valid ends the stream with `InvalidRequest`.
 *
 * **Gotchas**
 *
 * - A script is played for every request, so an iterator that can be read only once, such as a generator object, is rejected.
 *   Use a generator function for endless answers.
 * - An exception in a generator or in a function that makes a script is a defect. It is a fault of the test, so no handler of
 *   provider errors may hide it.
 *
 * @category models
 * @since 0.1.0
 */
export type Script = Iterable<Step>

/**
 * The step that `wait` makes.
 *
 * @category models
 * @since 0.1.0
 */
export class Wait extends Data.TaggedClass("Wait")<{ readonly duration: Duration.Input }> {}

/**
 * The step that `fail` makes.
 *
 * @category models
 * @since 0.1.0
 */
export class Failure extends Data.TaggedClass("Failure")<{ readonly reason: ProviderErrorReason }> {}

/**
 * A pause before the next step, measured by Effect's clock: `TestClock.adjust` advances it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const wait = (duration: Duration.Input): Step => new Wait({ duration })

/**
 * A pause without end: the answer hangs until a deadline passes or the consumer stops.
 *
 * @category constructors
 * @since 0.1.0
 */
export const hang: Step = wait("Infinity")

/**
 * The stream fails here, with any reason.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fail = (reason: ProviderErrorReason): Step => new Failure({ reason })

/**
 * The options of a mock. All fields are optional.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** The name in errors. Default: `Mock`. */
  readonly name?: string | undefined
  /** The models it lists. Default: only `mock`. It answers for any model. */
  readonly models?: ReadonlyArray<string> | undefined
  /**
   * The vector of each text. Default: how often each letter occurs, with length 1, so texts with the same letters are near each
   * other.
   */
  readonly embed?: ((text: string, request: Embedding.ValidRequest) => ReadonlyArray<number>) | undefined
  /** Deadlines of every request that does not set its own. Default: `Deadlines.defaults`. */
  readonly deadlines?: Deadlines | undefined
  /** Options of every request that does not set its own. Default: none. */
  readonly defaults?: Defaults | undefined
}

/**
 * The mock: a `Provider`, and the requests that it received.
 *
 * @category services
 * @since 0.1.0
 */
export interface MockProvider extends Provider.Provider {
  /**
   * The requests it received, with the defaults, the oldest first. Invalid requests and streams that never ran are not among
   * them.
   */
  readonly requests: Effect.Effect<ReadonlyArray<ValidRequest>>
}

/**
 * @category services
 * @since 0.1.0
 */
export const MockProvider = Context.Service<MockProvider>("effect-local-llm/MockProvider")

/**
 * Makes a mock that answers every request with the script, or with what the function returns for the request. Fails with
 * `InvalidRequest` if an option is invalid or the script can be read only once.
 *
 * **Example** (an answer that depends on the request)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { MockProvider } from "effect-local-llm"
 *
 * const test = Effect.gen(function*() {
 *   const mock = yield* MockProvider.make(({ prompt = "" }) => (prompt.includes("sky") ? ["Blue."] : ["Green."]))
 *   const { content } = yield* mock.complete({ model: "any", prompt: "The color of the sky:" })
 *   return content // "Blue."
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  script: Script | ((request: ValidRequest) => Script),
  options: Options = {}
): Effect.Effect<MockProvider, ProviderError> =>
  Effect.gen(function* () {
    const { models = ["mock"], name = "Mock" } = yield* OptionSchema.readFor(definition, options, "Mock")
    const guard = yield* Effect.fromResult(Guard.make({ ...options, name }))
    const invalid = typeof script === "function" ? undefined : findScriptFault(script)
    if (invalid !== undefined) return yield* Effect.fail(guard.toError(invalid))
    const requests: Array<ValidRequest> = []
    const provider = Provider.make({
      name,
      stream: guard.completions((request) =>
        Effect.map(Deferred.make<void>(), (aborted) => {
          requests.push(request)
          const steps = typeof script === "function" ? script(request) : script
          return {
            items: play(steps, { model: request.model, aborted: Deferred.await(aborted) }),
            abort: Deferred.succeed(aborted, undefined),
            release: Effect.void
          }
        })
      ),
      embed: guard.embeddings((request) => Effect.sync(() => toEmbedding(request, options.embed))),
      listModels: Effect.succeed(models.map((id) => ({ id }))),
      model: (id) => Effect.succeed({ id })
    })
    return { ...provider, requests: Effect.sync(() => [...requests]) }
  })

const definition = OptionSchema.define<Options>({
  name: OptionSchema.text,
  models: Schema.optional(Schema.Array(Schema.String)),
  embed: OptionSchema.fn,
  deadlines: OptionSchema.deadlines,
  defaults: OptionSchema.defaults
})

const toEmbedding = (
  request: Embedding.ValidRequest,
  embed: Options["embed"] = (text) => countLetters(text, request.dimensions)
): Embedding.Embedding => {
  const texts = typeof request.input === "string" ? [request.input] : request.input
  return { model: request.model, vectors: texts.map((text) => embed(text, request)) }
}

/** An iterator that can be read only once returns itself. */
const findScriptFault = (script: Script): InvalidRequest | undefined => {
  if (!Predicate.isIterable(script)) return invalidScript("script", "Expected an array of steps, or a function")
  const iterator: object = script[Symbol.iterator]()
  return iterator === script
    ? invalidScript("script", "It can be read only once. Use an array, or the generator function itself")
    : undefined
}

const invalidScript = (field: string, description: string): InvalidRequest => new InvalidRequest({ field, description })

/**
 * Provides `Provider` and `MockProvider`.
 *
 * **Details**
 *
 * The mock has the guarantees of `Provider.stream`: it validates requests and options, applies deadlines, and its streams end
 * with exactly one final chunk or fail.
 *
 * **Example** (an answer that hangs, and the deadline that ends it)
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
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  script: Script | ((request: ValidRequest) => Script),
  options: Options = {}
): Layer.Layer<Provider.Provider | MockProvider, ProviderError> =>
  Layer.effectContext(
    Effect.map(make(script, options), (service) =>
      Context.make(MockProvider, service).pipe(Context.add(Provider.Provider, service))
    )
  )

const play = (
  script: Script,
  { aborted, model }: { readonly model: string; readonly aborted: Effect.Effect<void> }
): Stream.Stream<StreamingChunk, ProviderErrorReason> =>
  Stream.suspend(() => {
    if (!Predicate.isIterable(script)) {
      return Stream.fail(invalidScript("script", "Expected a function that returns an array of steps"))
    }
    const steps = script[Symbol.iterator]()
    let index = -1
    let isOver = false
    let hasCalls = false

    const emit = (chunk: Exclude<Step, string | Wait | Failure>): Chunks => {
      const valid = validateChunk(complete(chunk))
      if (Result.isFailure(valid)) return invalidStep(valid.failure.message.replace(/\s+/g, " "))
      isOver = valid.success.isFinal
      if ((chunk.toolCalls ?? []).length > 0) hasCalls = true
      return Effect.succeed([valid.success])
    }

    const complete = (chunk: Exclude<Step, string | Wait | Failure>): StreamingChunk => {
      const { content = "" } = chunk
      if (chunk.isFinal !== true) return { ...chunk, content, isFinal: false }
      const reason = hasCalls || (chunk.toolCalls ?? []).length > 0 ? "tool-calls" : "stop"
      return { ...chunk, content, model: chunk.model ?? model, finishReason: chunk.finishReason ?? reason }
    }

    const sleep = (duration: Duration.Input): Chunks => {
      const abortion = Effect.andThen(aborted, Effect.fail(new NetworkError({ description: "aborted" })))
      return Option.match(Values.toDuration(duration), {
        onNone: () => invalidStep("Expected a duration"),
        onSome: (duration) => Effect.andThen(Effect.raceFirst(Effect.sleep(duration), abortion), next)
      })
    }

    const invalidStep = (description: string): Chunks => Effect.fail(invalidScript(`script[${index}]`, description))

    const next: Chunks = Effect.suspend(() => {
      if (isOver) return Cause.done()
      const result = steps.next()
      index++
      if (result.done === true) return emit({ isFinal: true })
      const step = result.value
      if (typeof step === "string") return emit({ content: step })
      if (step instanceof Wait) return sleep(step.duration)
      if (step instanceof Failure)
        return isReason(step.reason) ? Effect.fail(step.reason) : invalidStep("Expected a reason")
      return Predicate.isObject(step) ? emit(step) : invalidStep("Expected a step")
    })

    return Stream.fromPull(Effect.succeed(next))
  })

type Chunks = Pull.Pull<Arr.NonEmptyReadonlyArray<StreamingChunk>, ProviderErrorReason>

const isReason = Schema.is(ProviderErrorReason)

const validateChunk = Schema.decodeUnknownResult(Schema.toType(StreamingChunk), { onExcessProperty: "error" })
