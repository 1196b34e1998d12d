/** Which models a server has, and which of them are in memory. */
import * as Effect from "effect/Effect"
import type { ModelInfo } from "../ModelInfo.ts"
import type * as Provider from "../Provider.ts"
import type { ProviderError } from "../ProviderError.ts"

/** Whether the server has a model, by what it reports about it: for names that its list does not have. */
export const supports =
  ({ model: describe }: Pick<Provider.Provider, "model">): Provider.Provider["supportsModel"] =>
  (model) =>
    Effect.catchReason(Effect.as(describe(model, { maxAge: 0 }), true), "ProviderError", "ModelNotAvailable", () =>
      Effect.succeed(false)
    )

/** Some servers list the models in memory. Of others, the list says only which models there are, so each of them is asked for. */
export const findRunning = (
  provider: Pick<Provider.Provider, "model"> & { readonly running?: Effect.Effect<Models, ProviderError> },
  models: Models
): Effect.Effect<Models, ProviderError> =>
  provider.running ??
  Effect.map(
    Effect.forEach(models, ({ id }) => Effect.orElseSucceed(provider.model(id), (): ModelInfo => ({ id })), {
      concurrency: 8
    }),
    (infos) => infos.filter(({ isLoaded }) => isLoaded === true)
  )

type Models = ReadonlyArray<ModelInfo>
