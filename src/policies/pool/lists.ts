/** What the hosts of a pool have together. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { ModelInfo } from "../../ModelInfo.ts"
import { AllProvidersFailed, NetworkError, ProviderError, Timeout } from "../../ProviderError.ts"
import type * as Provider from "../../Provider.ts"
import type { Parts } from "./attempts.ts"
import type * as Host from "./host.ts"

/** A host that does not answer does not hold up the others for longer. */
const timeLimit = Duration.seconds(10)

interface Asked<A> {
  readonly values: ReadonlyArray<A>
  readonly errors: ReadonlyArray<ProviderError>
}

/** Asks the hosts that are not off, or all if all are. */
const askAll = <A>(
  { queue }: Parts,
  ask: (host: Host.Host) => Effect.Effect<A, ProviderError>
): Effect.Effect<Asked<A>> =>
  Effect.suspend(() => {
    const on = queue.hosts().filter(({ breaker }) => !breaker.isOff())
    const limited = (host: Host.Host) => {
      const reason = new Timeout({ kind: "total", limit: timeLimit })
      const timeout = new ProviderError({ provider: host.name, reason })
      return Effect.result(Effect.timeoutOrElse(ask(host), { duration: timeLimit, orElse: () => Effect.fail(timeout) }))
    }
    return Effect.map(
      Effect.forEach(on.length === 0 ? queue.hosts() : on, limited, { concurrency: "unbounded" }),
      (results) => ({
        values: results.flatMap((result) => (Result.isSuccess(result) ? [result.success] : [])),
        errors: results.flatMap((result) => (Result.isFailure(result) ? [result.failure] : []))
      })
    )
  })

const failure = ({ name }: Parts, errors: ReadonlyArray<ProviderError>): ProviderError => {
  const [first] = errors
  if (first === undefined) {
    return new ProviderError({ provider: name, reason: new NetworkError({ description: "the pool has no hosts" }) })
  }
  const isSame = errors.every(({ reason }) => reason._tag === first.reason._tag)
  return isSame ? first : new ProviderError({ provider: name, reason: new AllProvidersFailed({ errors }) })
}

/** The models of all hosts that answer, each once. */
export const listModels = (parts: Parts): Effect.Effect<ReadonlyArray<ModelInfo>, ProviderError> =>
  Effect.flatMap(
    askAll(parts, ({ provider }) => provider.listModels),
    ({ errors, values }) => {
      if (values.length === 0) return Effect.fail(failure(parts, errors))
      const found = new Map<string, ModelInfo>()
      for (const info of values.flat()) if (!found.has(info.id)) found.set(info.id, info)
      return Effect.succeed([...found.values()])
    }
  )

/** What a host reports about the model, one that has it in memory if there is any. */
export const model =
  (parts: Parts): Provider.Provider["model"] =>
  (name, options) =>
    Effect.flatMap(
      askAll(parts, ({ provider }) => provider.model(name, options)),
      ({ errors, values }) => {
        const info = values.find(({ isLoaded }) => isLoaded === true) ?? values[0]
        return info === undefined ? Effect.fail(failure(parts, errors)) : Effect.succeed(info)
      }
    )

/** Whether any host has the model by its name there. Fails if none answers. */
export const supportsModel =
  (parts: Parts) =>
  (name: string): Effect.Effect<boolean, ProviderError> =>
    Effect.flatMap(
      askAll(parts, ({ provider }) => provider.supportsModel(name)),
      ({ errors, values }) =>
        values.length === 0 ? Effect.fail(failure(parts, errors)) : Effect.succeed(values.includes(true))
    )
