/** Where policies get their providers from. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Provider from "../../src/Provider.ts"

const fromAnything: (source: never) => Effect.Effect<Provider.Provider, unknown, never> = (source) =>
  Effect.scoped(Provider.fromSource<unknown, never>(source))

it.effect.each([
  { name: "nothing", source: undefined },
  { name: "null", source: null },
  { name: "a text", source: "http://gpu-1" },
  { name: "an object", source: {} },
  { name: "an Effect", source: Effect.succeed({}) },
  { name: "a layer", source: Layer.empty }
])("$name that makes no provider is an invalid request", ({ source }) =>
  Effect.gen(function* () {
    // @ts-expect-error As in a program without types.
    const error = yield* Effect.flip(fromAnything(source))
    expect(error).toMatchObject({ reason: { _tag: "InvalidRequest", field: "provider" } })
  })
)
