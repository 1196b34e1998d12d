/** What the hosts report about models: asked in the background for the choice of a host, and put together for the callers of a pool. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Struct from "effect/Struct"
import type { CompletionRequest, Defaults } from "../../CompletionRequest.ts"
import type { EmbeddingRequest } from "../../Embedding.ts"
import { AllProvidersFailed, NetworkError, ProviderError, Timeout } from "../../ProviderError.ts"
import type * as Provider from "../../Provider.ts"
import type { TokenCount } from "../../TokenCount.ts"
import * as ModelLists from "../modelLists.ts"
import * as Host from "./host.ts"

/** How long a description counts as new. With the time that the response takes, a loaded model is noticed within 3 seconds. */
const freshMillis = 2000
const maxAgeMillis = freshMillis / 2

/** How long a host may take to describe a model. */
const askTimeout = "5 seconds"

/** If no host is known to have the model in memory: how long a request waits for the hosts to describe it. */
const firstWait = "500 millis"

export interface Models {
  /** Refreshes what is known about the model. */
  readonly prepare: (hosts: ReadonlyArray<Host.Host>, model: string | undefined) => Effect.Effect<void>
  /** The host reported that it does not have the model. */
  readonly setMissing: (host: Host.Host, model: string) => void
}

export interface Options {
  readonly now: () => number
  /** Runs an effect in the background, as long as the pool lives. */
  readonly run: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  /** Called when the host is known better. */
  readonly refresh: (host: Host.Host) => void
}

export const make = (options: Options): Models => ({
  prepare: (hosts, name) =>
    Effect.suspend(() => {
      if (name === undefined) return Effect.void
      const time = options.now()
      const pending: Array<Fiber.Fiber<void>> = []
      let isKnown = false
      for (const host of hosts) {
        if (host.breaker.isOff() || host.isDraining) continue
        // There is nothing to choose.
        if (hosts.length === 1 && host.models.get(name)?.isMissing !== true) continue
        const model = Host.modelOf(host, name)
        if (model.asking === undefined && time - model.askedAt >= freshMillis) {
          const fiber = options.run(ask(options, host, name))
          model.asking = fiber
          fiber.addObserver(() => {
            model.asking = undefined
          })
        }
        if (model.asking !== undefined) pending.push(model.asking)
        isKnown ||= Host.isLoaded(model, time)
      }
      return isKnown || pending.length === 0
        ? Effect.void
        : Effect.asVoid(Effect.timeoutOption(Fiber.awaitAll(pending), firstWait))
    }),
  setMissing: (host, name) => {
    const model = Host.modelOf(host, name)
    model.isMissing = true
    model.askedAt = options.now()
    Host.change(host)
  }
})

const ask = ({ now, refresh }: Options, host: Host.Host, name: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    const model = Host.modelOf(host, name)
    const startedAt = now()
    return host.provider.model(name, { maxAge: maxAgeMillis }).pipe(
      Effect.result,
      Effect.timeoutOption(askTimeout),
      Effect.exit,
      Effect.map((exit) => {
        const result = Exit.isSuccess(exit) ? Option.getOrUndefined(exit.value) : undefined
        model.askedAt = now()
        model.describedAt = startedAt - maxAgeMillis
        model.info = result !== undefined && Result.isSuccess(result) ? result.success : undefined
        model.isUnlisted =
          result !== undefined && Result.isFailure(result) && result.failure.reason._tag === "ModelNotAvailable"
        model.isMissing = model.isUnlisted && !host.provider.hasUnlistedModels
        // A host that does not answer in time may be busy. Its cache is as it was.
        if (result !== undefined) observeMemory(host, model, startedAt)
        Host.change(host)
        refresh(host)
      })
    )
  })

/** How many models the host holds at a time, as far as it reports them, and whether it has dropped this one. */
const observeMemory = (host: Host.Host, model: Host.Model, now: number): void => {
  if (model.info?.isLoaded === true) {
    const isSeen = ({ describedAt, info }: Host.Model) => info?.isLoaded === true && now - describedAt < 2 * freshMillis
    host.holds = Math.max(host.holds, [...host.models.values()].filter(isSeen).length)
  } else if (!Host.isLoaded(model, now)) model.cachedSince = host.prefixes.read() + 1
}

/** A host that does not answer does not hold up the others for longer. */
const listTimeout = Duration.seconds(10)

/** What a pool reports about models. */
export type Lists = Pick<Provider.Provider, "listModels" | "model" | "supportsModel">

export const makeLists = (name: string, hosts: () => ReadonlyArray<Host.Host>): Lists => {
  /** Asks the hosts that are not off, or all if all are. Fails if none answers. */
  const askAll = <A>(ask: (provider: Provider.Provider) => Effect.Effect<A, ProviderError>) =>
    Effect.flatMap(
      Effect.suspend(() => {
        const on = hosts().filter(({ breaker }) => !breaker.isOff())
        return Effect.forEach(
          on.length === 0 ? hosts() : on,
          (host) => Effect.result(limited(host, ask(host.provider))),
          {
            concurrency: "unbounded"
          }
        )
      }),
      (results): Effect.Effect<ReadonlyArray<A>, ProviderError> =>
        results.some(Result.isSuccess)
          ? Effect.succeed(results.filter(Result.isSuccess).map(({ success }) => success))
          : Effect.fail(
              toFailure(
                name,
                results.filter(Result.isFailure).map(({ failure }) => failure)
              )
            )
    )
  return {
    listModels: Effect.map(
      askAll(({ listModels }) => listModels),
      ModelLists.union
    ),
    model: (model, options) =>
      Effect.map(
        askAll((provider) => provider.model(model, options)),
        // One that has it in memory, if there is any.
        (infos) => infos.find(({ isLoaded }) => isLoaded === true) ?? infos[0] ?? { id: model }
      ),
    supportsModel: (model) =>
      Effect.map(
        askAll((provider) => provider.supportsModel(model)),
        (all) => all.includes(true)
      )
  }
}

/** The first host that has the model counts, those that are on and have it in memory before others. */
export const countTokens = Effect.fnUntraced(function* (
  name: string,
  hosts: ReadonlyArray<Host.Host>,
  request: CompletionRequest
): Effect.fn.Return<TokenCount, ProviderError> {
  const { model = "" } = request
  const rank = ({ breaker, models }: Host.Host) =>
    (breaker.isOff() ? 2 : 0) + (models.get(model)?.info?.isLoaded === true ? 0 : 1)
  const errors: Array<ProviderError> = []
  for (const host of hosts.toSorted((a, b) => rank(a) - rank(b))) {
    const { provider } = host
    const count = provider.countTokens(request)
    const isAsked = model === "" || provider.hasUnlistedModels
    const result = yield* Effect.result(limited(host, isAsked ? count : Effect.andThen(provider.model(model), count)))
    if (Result.isSuccess(result)) return result.success
    errors.push(result.failure)
  }
  return yield* Effect.fail(toFailure(name, errors))
})

/** The options with which all hosts would send a request. */
export const sharedOptions = (
  request: CompletionRequest | EmbeddingRequest,
  hosts: ReadonlyArray<Host.Host>
): Defaults => {
  const [first, ...others] = hosts.map(({ provider }) => provider.optionsOf(request))
  const shared: { -readonly [K in keyof Defaults]: Defaults[K] } = { ...(first ?? request) }
  for (const name of Struct.keys(shared)) if (others.some((other) => other[name] !== shared[name])) delete shared[name]
  return shared
}

const limited = <A>({ name }: Host.Host, asked: Effect.Effect<A, ProviderError>): Effect.Effect<A, ProviderError> => {
  const reason = new Timeout({ kind: "total", limit: listTimeout })
  return Effect.timeoutOrElse(asked, {
    duration: listTimeout,
    orElse: () => Effect.fail(new ProviderError({ provider: name, reason }))
  })
}

const toFailure = (name: string, errors: ReadonlyArray<ProviderError>): ProviderError => {
  const [first] = errors
  if (first === undefined) {
    return new ProviderError({ provider: name, reason: new NetworkError({ description: "the pool has no hosts" }) })
  }
  const isSame = errors.every(({ reason }) => reason._tag === first.reason._tag)
  return isSame ? first : new ProviderError({ provider: name, reason: new AllProvidersFailed({ errors }) })
}
