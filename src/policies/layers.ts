/** Layers of policies: a provider made from another one. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Provider from "../Provider.ts"

/** Provides a `Provider` made from another one. */
export const from = (
  policy: (provider: Provider.Provider) => Provider.Provider
): Layer.Layer<Provider.Provider, never, Provider.Provider> =>
  Layer.effect(Provider.Provider, Effect.map(Provider.Provider, policy))
