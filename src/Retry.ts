/**
 * Requests that are sent again after a failure that may pass, on a `Schedule` and within a budget.
 *
 * @category Policies
 * @since 0.3.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Budget from "./policies/budget.ts"
import * as Commit from "./policies/commit.ts"
import * as Layers from "./policies/layers.ts"
import * as NetworkError from "./http/networkError.ts"
import * as OptionSchema from "./servers/options.ts"
import * as Provider from "./Provider.ts"
import type { ProviderError } from "./ProviderError.ts"

/**
 * When and how often a request is sent again. All fields are optional.
 *
 * @category options
 */
export interface Options {
  /** How often a request is sent at most, the first time included. Default: 3. */
  readonly attempts?: number | undefined
  /** The wait before each further attempt, and whether there is one. Its input is the error. Default: `defaultSchedule`. */
  readonly schedule?: Schedule.Schedule<unknown, ProviderError> | undefined
  /** The longest `Retry-After` of a server. If it asks for a longer wait, the request fails at once. Default: 1 minute. */
  readonly maxRetryAfter?: Duration.Input | undefined
  /** How many retries all requests may have together. */
  readonly budget?: BudgetOptions | undefined
}

/**
 * The retries that all requests of one policy may have together within 10 seconds: `floor + share * requests`. A retry costs 1,
 * and 2 after a `Timeout`, because the server may still work on the request that was given up. It costs nothing after a `RateLimited`
 * whose `retryAfter` is a second or more: it is sent when the server or the pool asks for it.
 *
 * @category options
 */
export interface BudgetOptions {
  /** Retries for each request. Default: 0.2. */
  readonly share?: number | undefined
  /** Retries besides those; `Infinity` for no limit. Default: 10. */
  readonly floor?: number | undefined
}

/**
 * 100 ms, doubling up to 10 seconds, each varied at random by up to 20 %. It never ends by itself.
 *
 * @category constants
 */
export const defaultSchedule: Schedule.Schedule<Duration.Duration> = Schedule.min([
  Schedule.jittered(Schedule.exponential("100 millis")),
  Schedule.spaced("10 seconds")
])

/**
 * A provider that sends requests again after a failure.
 *
 * **Details**
 *
 * Only errors with `isRetryable` lead to a retry, and only before the first chunk that carries anything: content, thinking, a
 * tool call or the end. Later failures are passed on, so no text is delivered twice. Chunks before it, such as prompt progress,
 * may repeat. When there is no further attempt, the last error is passed on unchanged.
 *
 * A `Retry-After` of the server takes precedence over the schedule. If a connection is closed within the first second of a request,
 * it may have been idle, so the request is sent again at once. That happens once for each request, and neither `attempts` nor the
 * budget counts it.
 *
 * `firstChunk` and `idle` deadlines apply to each attempt, and so does a `total` deadline of a layer. One in a completion request
 * bounds all attempts and the waits between them. A `Timeout` of the kind `total` is not retried.
 *
 * If an option is invalid, every operation fails with `InvalidRequest`, which names it.
 *
 * **Gotchas**
 *
 * - Each use of `apply` has a budget of its own.
 * - Apply it to each provider of a `Fallback`, since `AllProvidersFailed` is not retryable.
 *
 * **Example** (a server behind a proxy that is busy at times)
 *
 * ```ts
 * import { Layer, Schedule } from "effect"
 * import { Ollama, Retry } from "effect-local-llm"
 *
 * const live = Retry.layer({ attempts: 5, schedule: Schedule.spaced("1 second") }).pipe(Layer.provide(Ollama.layer()))
 * ```
 *
 * @category combinators
 */
export const apply = (provider: Provider.Provider, options: Options = {}): Provider.Provider =>
  OptionSchema.providerFrom(definition, options, provider, (options) => makeRetrying(provider, options))

const budgetFields: OptionSchema.Fields<BudgetOptions> = { share: OptionSchema.amount, floor: OptionSchema.amount }

const definition = OptionSchema.define<Options>(
  {
    attempts: Schema.optional(
      OptionSchema.is(
        (u): u is number => Predicate.isNumber(u) && u >= 1 && (Number.isSafeInteger(u) || u === Infinity),
        "a whole number, 1 or more, or Infinity"
      )
    ),
    schedule: Schema.optional(OptionSchema.is(Schedule.isSchedule, "a Schedule")),
    maxRetryAfter: OptionSchema.duration,
    budget: Schema.optional(Schema.Struct(budgetFields))
  },
  { budget: budgetFields }
)

const makeRetrying = (provider: Provider.Provider, options: Options): Provider.Provider => {
  const { floor = 10, share = 0.2 } = options.budget ?? {}
  const budget = Budget.make({ floor, share, window: Duration.seconds(10) })
  const makeRecover = makeRecovery(options, budget)
  const plan = <Request, Out>(open: (request: Request) => Out): Effect.Effect<Commit.Plan<Request, Out>> => {
    const acquire = Effect.succeed({ open })
    return Effect.map(budget.count, () => ({ acquire, recover: makeRecover() }))
  }
  const streamPlan = plan(provider.stream)
  const retrying = <A>(call: Effect.Effect<A, ProviderError>) =>
    Commit.call(
      {},
      plan(() => call)
    )

  return Provider.make({
    ...provider,
    stream: (request) => Commit.attempts(request, streamPlan),
    embed: (request) => retrying(provider.embed(request)),
    countTokens: (request) => retrying(provider.countTokens(request)),
    listModels: retrying(provider.listModels),
    model: (name, options) => retrying(provider.model(name, options)),
    supportsModel: (name) => retrying(provider.supportsModel(name))
  })
}

/**
 * Provides a `Provider` that sends requests again after a failure, from another one.
 *
 * @see {@link apply} for what is retried.
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<Provider.Provider, never, Provider.Provider> =>
  Layers.from((provider) => apply(provider, options))

/** A connection that was idle is found to be closed as soon as it is used. */
const staleWithin = 1000

/** For each request, what waits until its next attempt, or fails with the error. */
const makeRecovery = (options: Options, budget: Budget.Budget) => {
  const { attempts = 3, schedule = defaultSchedule } = options
  const maxRetryAfter = Duration.fromInputUnsafe(options.maxRetryAfter ?? "1 minute")
  const makeStep = Schedule.toStep(schedule)

  const recover = Effect.fnUntraced(function* (
    state: { sent: number; isResent: boolean; step?: Effect.Success<typeof makeStep> },
    { elapsed, error, timeLeft }: Commit.Failure
  ): Effect.fn.Return<void, ProviderError> {
    const { reason } = error
    const isStale = reason._tag === "NetworkError" && NetworkError.isClosed(reason) && elapsed < staleWithin
    if (isStale && state.sent === 1 && !state.isResent && timeLeft > 0) {
      state.isResent = true
      return
    }
    if (!isWorthRetrying(error) || state.sent >= attempts) return yield* Effect.fail(error)
    const step = (state.step ??= yield* makeStep)
    const { currentTimeMillisUnsafe } = yield* Clock.Clock
    const [, delay] = yield* Pull.catchDone(step(currentTimeMillisUnsafe(), error), () => Effect.fail(error))
    const { retryAfter = delay } = error
    const isTooLong = retryAfter !== delay && Duration.isGreaterThan(retryAfter, maxRetryAfter)
    if (isTooLong || !(Duration.toMillis(retryAfter) < timeLeft)) return yield* Effect.fail(error)
    if (!(yield* budget.take(costOf(error)))) return yield* Effect.fail(error)
    state.sent++
    yield* Effect.sleep(retryAfter)
  })
  return () => {
    const state = { sent: 1, isResent: false }
    return (failure: Commit.Failure) => recover(state, failure)
  }
}

/** A request at the time that the server asked for does not overload it, unless that is at once. */
const costOf = ({ reason, retryAfter = Duration.zero }: ProviderError): number => {
  if (reason._tag === "RateLimited" && Duration.isGreaterThanOrEqualTo(retryAfter, Duration.seconds(1))) return 0
  return reason._tag === "Timeout" ? 2 : 1
}

/** The `total` deadline is the time that the caller has. */
const isWorthRetrying = ({ isRetryable, reason }: ProviderError): boolean =>
  isRetryable && !(reason._tag === "Timeout" && reason.kind === "total")
