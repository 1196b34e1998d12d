/**
 * A provider that plays scripts, for tests without HTTP.
 *
 * @category Testing
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Deadlines, Defaults, ValidRequest } from "./CompletionRequest.ts"
import type * as Embedding from "./Embedding.ts"
import * as Guard from "./servers/guard.ts"
import * as Tokens from "./servers/tokens.ts"
import { countLetters } from "./values/text.ts"
import * as OptionSchema from "./servers/options.ts"
import * as Values from "./values/objects.ts"
import * as Provider from "./Provider.ts"
import type { ProviderError } from "./ProviderError.ts"
import { InvalidRequest, NetworkError, ProviderErrorReason } from "./ProviderError.ts"
import type { ContentChunk, FinalChunk } from "./StreamingChunk.ts"
import { StreamingChunk } from "./StreamingChunk.ts"

/**
 * One step of a completion: a text, a chunk, a wait, or a failure. A step that is not valid ends the stream with
 * `InvalidRequest`.
 *
 * @category models
 */
export type Step = string | Partial<ContentChunk> | (Partial<FinalChunk> & { readonly isFinal: true }) | Wait | Failure

/**
 * A completion, step by step: `["Rayleigh ", "scattering."]`. Unless the script ends with a final chunk, one is added:
 * its `finishReason` is `stop`, or `tool-calls` if there were calls. An exception in a script is a defect, so that no
 * handler of provider errors hides a fault of the test.
 *
 * @category models
 */
export type Script = Iterable<Step>

/**
 * The answers of a mock: the same script for each request, what a function returns for the request, or a `sequence`.
 *
 * @category models
 * @since 0.3.0
 */
export type Answers = Script | ((request: ValidRequest) => Script) | Sequence

/**
 * What `sequence` makes.
 *
 * @category models
 * @since 0.3.0
 */
export class Sequence extends Data.TaggedClass("Sequence")<{
  /** The answer to each request, in the order in which the requests come. */
  readonly answers: ReadonlyArray<Script | Failure | ((request: ValidRequest) => Script)>
}> {}

/**
 * The step that `wait` makes.
 *
 * @category models
 */
export class Wait extends Data.TaggedClass("Wait")<{
  /** How long, by the clock of Effect. */
  readonly duration: Duration.Input
}> {}

/**
 * The step that `fail` makes.
 *
 * @category models
 */
export class Failure extends Data.TaggedClass("Failure")<{
  /** The reason of the error. */
  readonly reason: ProviderErrorReason
}> {}

/**
 * A pause before the next step, measured by Effect's clock: `TestClock.adjust` advances it.
 *
 * @category constructors
 */
export const wait = (duration: Duration.Input): Step => new Wait({ duration })

/**
 * A pause without end: nothing arrives until a deadline passes or the consumer stops.
 *
 * @category constructors
 */
export const hang: Step = wait("Infinity")

/**
 * The stream fails here, with any reason.
 *
 * @category constructors
 */
export const fail = (reason: ProviderErrorReason): Failure => new Failure({ reason })

/**
 * Answers each request with the next answer: a script, a failure, or a function of the request. Requests count in the order in which
 * they run, each attempt of a policy included. A request after the last answer fails with `InvalidRequest`, which no policy repeats.
 *
 * **Example** (busy at first)
 *
 * ```ts
 * import { Layer } from "effect"
 * import { MockProvider, ProviderError, Retry } from "effect-local-llm"
 *
 * const answers = MockProvider.sequence([MockProvider.fail(new ProviderError.RateLimited({})), ["Hello"], ["Bye"]])
 *
 * const live = Retry.layer().pipe(Layer.provide(MockProvider.layer(answers)))
 * ```
 *
 * @category constructors
 * @since 0.3.0
 */
export const sequence = (answers: Sequence["answers"]): Sequence => new Sequence({ answers })

/**
 * The options of a mock. All fields are optional.
 *
 * @category options
 */
export interface Options {
  /** The name in errors. Default: `Mock`. */
  readonly name?: string | undefined
  /** The models it lists. Default: only `mock`. Requests for any model succeed. */
  readonly models?: ReadonlyArray<string> | undefined
  /**
   * The vector of each text. Default: how often each letter occurs, with length 1, so that texts with the same letters
   * are near.
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
 */
export interface MockProvider extends Provider.Provider {
  /** The requests it received, with the defaults, the oldest first: without invalid ones and streams that never ran. */
  readonly requests: Effect.Effect<ReadonlyArray<ValidRequest>>
}
export const MockProvider = Context.Service<MockProvider>("effect-local-llm/MockProvider")

/**
 * Makes a mock that plays the script for every request, what the function returns for the request, or the next answer of
 * a `sequence`, which begins anew with each mock. It has the guarantees of `Provider.stream`. Fails with `InvalidRequest`
 * if an option is invalid or a script can be read only once, as a generator object; a generator function can be played
 * again.
 *
 * @category constructors
 */
export const make = (answers: Answers, options: Options = {}): Effect.Effect<MockProvider, ProviderError> =>
  Effect.gen(function* () {
    const { models = ["mock"], name = "Mock" } = yield* OptionSchema.readFor(definition, options, "Mock")
    const guard = yield* Effect.fromResult(Guard.make({ ...options, name }))
    const findScript = yield* Effect.mapError(Effect.fromResult(makeFindScript(answers)), guard.toError)
    const requests: Array<ValidRequest> = []
    const provider = Provider.make({
      name,
      stream: guard.completions((request) =>
        Effect.map(Deferred.make<never, NetworkError>(), (aborted) => {
          requests.push(request)
          return {
            items: play(findScript(request), {
              model: request.model,
              provider: name,
              aborted: Deferred.await(aborted)
            }),
            abort: Deferred.fail(aborted, new NetworkError({ description: "aborted" })),
            release: Effect.void
          }
        })
      ),
      embed: guard.embeddings((request) => Effect.sync(() => toEmbedding(request, options.embed))),
      countTokens: guard.requests(Tokens.make(undefined, guard.toError).count),
      optionsOf: guard.optionsOf,
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

/** What finds the script of each request of one mock. */
const makeFindScript = (answers: Answers): Result.Result<(request: ValidRequest) => Script, InvalidRequest> => {
  if (!(answers instanceof Sequence)) {
    if (typeof answers === "function") return Result.succeed(answers)
    return Result.map(checkScript(answers), () => () => answers)
  }
  if (!Array.isArray(answers.answers)) return Result.fail(invalidScript("sequence", "Expected an array of answers"))
  const scripts = answers.answers.map((each) => (each instanceof Failure ? [each] : each))
  for (const [i, each] of scripts.entries()) {
    const checked = typeof each === "function" ? Result.succeed(each) : checkScript(each, `sequence[${i}]`)
    if (Result.isFailure(checked)) return Result.fail(checked.failure)
  }
  let count = 0
  return Result.succeed((request) => {
    const answer = scripts[count++]
    if (answer !== undefined) return typeof answer === "function" ? answer(request) : answer
    const description = `The sequence has ${scripts.length} answers, and this is request ${count}`
    return [fail(invalidScript("sequence", description))]
  })
}

/** An iterator that can be read only once returns itself. */
const checkScript = (script: Script, field = "script"): Result.Result<Script, InvalidRequest> => {
  if (!Predicate.isIterable(script))
    return Result.fail(invalidScript(field, "Expected an array of steps, or a function"))
  const iterator: object = script[Symbol.iterator]()
  return iterator === script
    ? Result.fail(invalidScript(field, "It can be read only once. Use an array, or the generator function itself"))
    : Result.succeed(script)
}

const invalidScript = (field: string, description: string): InvalidRequest => new InvalidRequest({ field, description })

/**
 * Provides `Provider` and `MockProvider`.
 *
 * @category layers
 */
export const layer = (
  answers: Answers,
  options: Options = {}
): Layer.Layer<Provider.Provider | MockProvider, ProviderError> =>
  Layer.effectContext(
    Effect.map(make(answers, options), (service) =>
      Context.make(MockProvider, service).pipe(Context.add(Provider.Provider, service))
    )
  )

/** What the steps of one script share. */
interface Run {
  readonly model: string
  readonly provider: string
  readonly aborted: Effect.Effect<never, NetworkError>
}

/** The steps one at a time, as they are pulled. A script without a final chunk ends with one. */
const play = (script: Script, run: Run): Stream.Stream<StreamingChunk, ProviderErrorReason> => {
  if (!Predicate.isIterable(script)) {
    return Stream.fail(invalidScript("script", "Expected a function that returns an array of steps"))
  }
  return Stream.fromIterable(script, { chunkSize: 1 }).pipe(
    Stream.concat(Stream.succeed<Step>({ isFinal: true })),
    Stream.mapAccumEffect(
      () => ({ index: 0, hasCalls: false }),
      ({ hasCalls, index }, step) =>
        Effect.mapBoth(playStep(step, run, hasCalls), {
          onSuccess: (chunk) => [
            { index: index + 1, hasCalls: hasCalls || (chunk !== undefined && hasToolCalls(chunk)) },
            chunk === undefined ? [] : [chunk]
          ],
          onFailure: (reason) => (typeof reason === "string" ? invalidScript(`script[${index}]`, reason) : reason)
        })
    ),
    Stream.takeUntil(({ isFinal }) => isFinal)
  )
}

/** The chunk of a step; none after a wait. Fails with a text if the step is invalid. */
const playStep = (
  step: Step,
  run: Run,
  hasCalls: boolean
): Effect.Effect<StreamingChunk | undefined, ProviderErrorReason | string> => {
  if (typeof step === "string") return Effect.succeed({ content: step, isFinal: false })
  if (step instanceof Failure) return Effect.fail(isReason(step.reason) ? step.reason : "Expected a reason")
  if (step instanceof Wait) {
    const duration = Values.toDuration(step.duration)
    if (Option.isNone(duration)) return Effect.fail("Expected a duration")
    return Effect.as(Effect.raceFirst(Effect.sleep(duration.value), run.aborted), undefined)
  }
  if (!Predicate.isObject(step)) return Effect.fail("Expected a step")
  const chunk = validateChunk(complete(step, run, hasCalls))
  return Effect.fromResult(Result.mapError(chunk, ({ message }) => message.replace(/\s+/g, " ")))
}

const complete = (step: Exclude<Step, string | Wait | Failure>, run: Run, hasCalls: boolean): StreamingChunk => {
  const { content = "" } = step
  if (step.isFinal !== true) return { ...step, content, isFinal: false }
  const finishReason = hasCalls || hasToolCalls(step) ? "tool-calls" : "stop"
  const { model = run.model, provider = run.provider } = step
  return { ...step, content, model, provider, finishReason: step.finishReason ?? finishReason }
}

const hasToolCalls = ({ toolCalls = [] }: Partial<StreamingChunk>): boolean => toolCalls.length > 0

const isReason = Schema.is(ProviderErrorReason)

const validateChunk = Schema.decodeUnknownResult(Schema.toType(StreamingChunk), { onExcessProperty: "error" })
