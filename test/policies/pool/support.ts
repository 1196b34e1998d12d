/** Fake hosts for tests of the pool. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { CompletionRequest, ValidRequest } from "../../../src/CompletionRequest.ts"
import * as MockProvider from "../../../src/MockProvider.ts"
import type { ModelInfo } from "../../../src/ModelInfo.ts"
import type * as Pool from "../../../src/Pool.ts"
import type { ProviderError } from "../../../src/ProviderError.ts"

export interface Fake extends MockProvider.MockProvider {
  /** The most streams that ran at the same time. */
  readonly peak: () => number
  readonly active: () => number
  /** The prompts it received. */
  readonly prompts: Effect.Effect<ReadonlyArray<string | undefined>>
}

export interface FakeOptions {
  readonly info?: Partial<ModelInfo> | (() => Effect.Effect<ModelInfo, ProviderError>)
  readonly listModels?: Effect.Effect<ReadonlyArray<ModelInfo>, ProviderError>
  readonly oneModelAtATime?: boolean
}

export const fake = Effect.fnUntraced(function* (
  name: string,
  script: MockProvider.Script | ((request: ValidRequest) => MockProvider.Script) = ["Hi"],
  { info = {}, ...options }: FakeOptions = {}
): Effect.fn.Return<Fake, ProviderError> {
  const mock = yield* MockProvider.make(script, { name })
  const { listModels = mock.listModels } = options
  let active = 0
  let peak = 0
  return {
    ...mock,
    ...options,
    supportsModel: (id) => Effect.map(listModels, (models) => models.some((model) => model.id === id)),
    model: (id) => (typeof info === "function" ? info() : Effect.succeed({ id, ...info })),
    peak: () => peak,
    active: () => active,
    prompts: Effect.map(mock.requests, (requests) => requests.map(({ prompt }) => prompt)),
    stream: (request) =>
      Stream.suspend(() => {
        active++
        peak = Math.max(peak, active)
        return Stream.ensuring(
          mock.stream(request),
          Effect.sync(() => {
            active--
          })
        )
      })
  }
})

export const ask = (prompt: string, model = "m"): CompletionRequest => ({ model, prompt })

/** The host that answers. */
export const answeredBy = (pool: Pool.Pool, request: CompletionRequest) =>
  Effect.map(pool.complete(request), ({ provider }) => provider)

export const state = (pool: Pool.Pool) => SubscriptionRef.get(pool.state)

export const host = (pool: Pool.Pool, name: string) =>
  Effect.map(state(pool), ({ hosts }) => hosts.find((host) => host.name === name))

export const reasonOf = <A>(effect: Effect.Effect<A, ProviderError>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)
