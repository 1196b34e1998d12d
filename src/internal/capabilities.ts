/** What the models of a server can do: looked up once in a while, and checked before a request that needs it is sent. */
import * as Cache from "effect/Cache"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CompletionRequest } from "../CompletionRequest.ts"
import type { Source } from "../Deadlines.ts"
import * as Content from "./content.ts"
import type { ModelInfo } from "../ModelInfo.ts"
import type { ProviderError, ProviderErrorReason } from "../ProviderError.ts"
import { NetworkError, Unsupported } from "../ProviderError.ts"

/** In the words of Ollama, which `ModelInfo.capabilities` has for all servers. */
export type Capability = "vision" | "tools" | "thinking" | "embedding"

const features: { readonly [K in Capability]: string } = {
  vision: "images",
  tools: "tools",
  thinking: "thinking",
  embedding: "embeddings"
}

/** What a model has to be able to do for a request. */
export const ofRequest = ({ images = [], messages = [], think, tools = [] }: CompletionRequest) => {
  const needed: Array<Capability> = []
  if (images.length > 0 || messages.some((message) => Content.toImages(message).length > 0)) needed.push("vision")
  if (tools.length > 0) needed.push("tools")
  if (think !== undefined && think !== false) needed.push("thinking")
  return needed
}

/** How long an answer about a model counts. A model that is created anew may gain capabilities. */
const timeToLive = "15 seconds"

export interface Models {
  readonly find: (model: string) => Effect.Effect<ModelInfo, ProviderError>
  /** Fails with `Unsupported` if the model is known to lack one of the capabilities. */
  readonly require: (needed: ReadonlyArray<Capability>, model: string) => Effect.Effect<void, Unsupported>
  /** As `require`, before the items of an answer are requested. */
  readonly requireFor: <A>(needed: ReadonlyArray<Capability>, model: string, open: Open<A>) => Open<A>
}

type Open<A> = Effect.Effect<Source<A, ProviderErrorReason>, never, Scope.Scope>

export const make = Effect.fnUntraced(function* (options: {
  readonly describe: (model: string) => Effect.Effect<ModelInfo, ProviderError>
  /** The capabilities that `describe` reports reliably. */
  readonly reported: ReadonlySet<Capability>
}): Effect.fn.Return<Models> {
  const { describe, reported } = options
  const cache = yield* Cache.makeWith(describe, {
    capacity: 256,
    timeToLive: (exit) => (Exit.isSuccess(exit) ? timeToLive : 0)
  })
  const find = (model: string) => Cache.get(cache, model)

  const require = (needed: ReadonlyArray<Capability>, model: string): Effect.Effect<void, Unsupported> => {
    const checked = needed.filter((capability) => reported.has(capability))
    if (checked.length === 0) return Effect.void
    return find(model).pipe(
      Effect.matchEffect({
        // The request itself reports what is wrong.
        onFailure: () => Effect.void,
        onSuccess: ({ capabilities }) => {
          // Servers too old to report them are trusted.
          const missing = checked.find((capability) => capabilities?.includes(capability) === false)
          return missing === undefined
            ? Effect.void
            : Effect.fail(new Unsupported({ feature: features[missing], description: "the model cannot do that" }))
        }
      })
    )
  }

  return {
    find,
    require,
    requireFor: (needed, model, open) =>
      needed.some((capability) => reported.has(capability))
        ? Effect.gen(function* () {
            const { abort, items } = yield* open
            const aborted = yield* Deferred.make<never, NetworkError>()
            return {
              items: Stream.unwrap(Effect.as(Effect.raceFirst(require(needed, model), Deferred.await(aborted)), items)),
              abort: Effect.andThen(abort, Deferred.fail(aborted, new NetworkError({ description: "aborted" })))
            }
          })
        : open
  }
})
