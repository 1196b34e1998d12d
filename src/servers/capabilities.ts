/** What models can do: looked up once in a while, and checked before a request that needs it is sent. */
import * as Cache from "effect/Cache"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { CompletionRequest } from "../CompletionRequest.ts"
import type { Opened } from "../Deadlines.ts"
import * as Content from "../protocol/content.ts"
import type { ModelInfo } from "../ModelInfo.ts"
import type { ProviderError, ProviderErrorReason } from "../ProviderError.ts"
import { NetworkError, Unsupported } from "../ProviderError.ts"
import * as Monotonic from "../values/monotonic.ts"

/** In the words of Ollama, which `ModelInfo.capabilities` has for all servers. */
export type Capability = "vision" | "tools" | "thinking" | "embedding"

const features: { readonly [K in Capability]: string } = {
  vision: "images",
  tools: "tools",
  thinking: "thinking",
  embedding: "embeddings"
}

const lacks = (capability: Capability) =>
  new Unsupported({ feature: features[capability], description: "the model cannot do that" })

/** What a model has to be able to do for a request. */
export const ofRequest = ({ images = [], messages = [], think, tools = [] }: CompletionRequest) => {
  const needed: Array<Capability> = []
  if (images.length > 0 || messages.some((message) => Content.toImages(message).length > 0)) needed.push("vision")
  if (tools.length > 0) needed.push("tools")
  if (think !== undefined && think !== false) needed.push("thinking")
  return needed
}

export interface Models {
  /** What is known about a model, which is at most as old as `maxAge`. Default: 15 seconds. */
  readonly find: (model: string, maxAge?: Duration.Input) => Effect.Effect<Described, ProviderError>
  /** A model was changed, so nothing counts that is known. */
  readonly forget: Effect.Effect<void>
  /** Fails with `Unsupported` if the model is known to lack one of the capabilities. */
  readonly require: (needed: ReadonlyArray<Capability>, model: string) => Effect.Effect<void, Unsupported>
  /** As `require`, before the items of a response are requested. */
  readonly requireFor: <A>(needed: ReadonlyArray<Capability>, model: string, open: Open<A>) => Open<A>
}

type Open<A> = Effect.Effect<Opened<A, ProviderErrorReason>>

/** What is known about the model that completes the requests for a name. */
export interface Described {
  readonly info: ModelInfo
  /** It is another model than the name says, because the server does not have that one. */
  readonly isStandIn: boolean
}

interface Known extends Described {
  /** When it was requested, in milliseconds of the monotonic clock. */
  readonly at: number
}

export const make = Effect.fnUntraced(function* (options: {
  readonly describe: (model: string) => Effect.Effect<Described, ProviderError>
  /** The capabilities that `describe` reports reliably. */
  readonly reported: ReadonlySet<Capability>
}): Effect.fn.Return<Models> {
  const { describe, reported } = options
  // A cache measures time by the wall clock, so it keeps all successes and their age is checked here.
  const cache = yield* Cache.makeWith(
    (model: string): Effect.Effect<Known, ProviderError> =>
      Effect.flatMap(Monotonic.now, (at) => Effect.map(describe(model), (described) => ({ ...described, at }))),
    { capacity: 256, timeToLive: (exit) => (Exit.isSuccess(exit) ? Duration.infinity : Duration.zero) }
  )
  const renew = (model: string, known: Known) =>
    Effect.andThen(
      Cache.invalidateWhen(cache, model, (other) => other === known),
      Cache.get(cache, model)
    )
  const find = Effect.fnUntraced(function* (model: string, maxAge: Duration.Input = "15 seconds") {
    const known = yield* Cache.get(cache, model)
    const isFresh = (yield* Monotonic.now) - known.at < Duration.toMillis(Duration.fromInputUnsafe(maxAge))
    return isFresh ? known : yield* renew(model, known)
  })
  const findMissing = Effect.fnUntraced(function* (needed: ReadonlyArray<Capability>, model: string) {
    // Servers too old to report them are trusted.
    const missingIn = ({ capabilities }: ModelInfo) =>
      needed.find((capability) => capabilities?.includes(capability) === false)
    const before = yield* Cache.getSuccess(cache, model)
    const { info } = yield* find(model)
    const missing = missingIn(info)
    // A model that was created anew may have gained them.
    return missing !== undefined && Option.isSome(before) && before.value.info === info
      ? missingIn((yield* renew(model, before.value)).info)
      : missing
  })
  const require: Models["require"] = (needed, model) => {
    const checked = needed.filter((capability) => reported.has(capability))
    if (checked.length === 0) return Effect.void
    // The request itself reports what is wrong with the model.
    const missing = Effect.orElseSucceed(findMissing(checked, model), () => undefined)
    return Effect.flatMap(missing, (missing) => (missing === undefined ? Effect.void : Effect.fail(lacks(missing))))
  }
  return {
    find,
    forget: Cache.invalidateAll(cache),
    require,
    requireFor: (needed, model, open) =>
      needed.some((capability) => reported.has(capability)) ? checkFirst(require(needed, model), open) : open
  }
})

const checkFirst = <A>(check: Effect.Effect<void, Unsupported>, open: Open<A>): Open<A> =>
  Effect.gen(function* () {
    const { abort, items, release } = yield* open
    const aborted = yield* Deferred.make<never, NetworkError>()
    return {
      items: Stream.unwrap(Effect.as(Effect.raceFirst(check, Deferred.await(aborted)), items)),
      abort: Effect.andThen(abort, Deferred.fail(aborted, new NetworkError({ description: "aborted" }))),
      release
    }
  })
