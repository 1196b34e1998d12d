/** Layers of policies: a provider made from those of other layers. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Provider from "../Provider.ts"

/** The layer of a provider. */
export type Any = Layer.Layer<Provider.Provider, unknown, unknown>

/** Provides a `Provider` made from another one. */
export const from = (
  policy: (provider: Provider.Provider) => Provider.Provider
): Layer.Layer<Provider.Provider, never, Provider.Provider> =>
  Layer.effect(Provider.Provider, Effect.map(Provider.Provider, policy))

/** The provider of a layer. */
export function build<Self extends Any>(
  layer: Self
): Effect.Effect<Provider.Provider, Layer.Error<Self>, Layer.Services<Self> | Scope.Scope>
export function build(layer: Any): Effect.Effect<Provider.Provider, unknown, unknown> {
  return Effect.map(Layer.build(layer), Context.get(Provider.Provider))
}
