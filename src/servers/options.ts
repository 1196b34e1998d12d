/**
 * Schemas of the options of constructors and layers, which are read once. An invalid option and an unknown key are a failure with
 * `InvalidRequest`, which names the option.
 */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ChatRequest, Deadlines, Defaults, PromptRequest } from "../CompletionRequest.ts"
import * as Provider from "../Provider.ts"
import { InvalidRequest, ProviderError } from "../ProviderError.ts"
import * as Values from "../values/objects.ts"

/** A schema for each option, so that none can be forgotten. */
export type Fields<Options> = { readonly [Name in keyof Options]-?: Schema.ConstraintDecoder<unknown> }

/** Reads the options of a constructor. */
export type Definition = (options: unknown) => Result.Result<unknown, InvalidRequest>

/** `places` has the fields of those options that are objects, for the advice on keys that they do not have. */
export const define = <Options>(
  fields: Fields<Options>,
  places: { readonly [Name in keyof Options]?: object } = {}
): Definition => {
  const decode = Schema.decodeUnknownResult(Schema.toType(Schema.Struct(fields)), { onExcessProperty: "error" })
  const request = { ...ChatRequest.fields, ...PromptRequest.fields }
  const known = { request, deadlines: Deadlines.fields, ...places, options: fields }
  const toFault = Values.makeToFault(known, undefined, "options")
  return (options) => Result.mapError(decode(options), (error) => new InvalidRequest(toFault(error)))
}

/** The options as they were given, if all of them are valid. */
export const read = <Options>(definition: Definition, options: Options): Result.Result<Options, InvalidRequest> =>
  Result.map(definition(options), () => options)

/** As `read`, for a constructor that is an Effect. The error has the name in the options, or else this one. */
export const readFor = <Options>(
  definition: Definition,
  options: Options,
  name: string
): Effect.Effect<Options, ProviderError> =>
  Effect.mapError(Effect.fromResult(read(definition, options)), (reason) => {
    const own = Predicate.hasProperty(options, "name") ? options.name : undefined
    return new ProviderError({ provider: isText(own) ? own : name, reason })
  })

/** The options of a `layerConfig`, a `Config` or objects of them, without those that are `undefined`: `Config.unwrap` throws on others. */
export const readWrapped = <Wrapped extends object>(
  wrapped: Wrapped,
  name: string
): Effect.Effect<Wrapped, ProviderError> => {
  const field = findUnwrappable(wrapped, "options")
  if (field === undefined) return Effect.succeed(withoutUndefined(wrapped))
  const reason = new InvalidRequest({ field, description: "Expected a Config, such as Config.succeed(…)" })
  return Effect.fail(new ProviderError({ provider: name, reason }))
}

/** The path of the first value that is neither a `Config` nor an object of them. */
const findUnwrappable = (u: unknown, path: string): string | undefined => {
  if (Config.isConfig(u) || (u === undefined && path !== "options")) return undefined
  if (!Values.isRecord(u)) return path
  const outer = path === "options" ? "" : `${path}.`
  const paths = Object.entries({ ...u }).map(([key, value]) => findUnwrappable(value, outer + key))
  return paths.find(Predicate.isNotUndefined)
}

const withoutUndefined = <A extends object>(wrapped: A): A => {
  if (Config.isConfig(wrapped)) return wrapped
  const copy = { ...wrapped }
  for (const key in copy) {
    const value = copy[key]
    if (value === undefined) delete copy[key]
    else if (Predicate.isObject(value)) copy[key] = withoutUndefined(value)
  }
  return copy
}

/** What a provider wraps, or at least its name. */
type Base = Partial<Provider.Provider> & { readonly name: string }

/** As `read`, for a constructor that returns a provider at once: if an option is invalid, one of which every operation fails. */
export const providerFrom = <Options>(
  definition: Definition,
  options: Options,
  base: Base,
  make: (options: Options) => Provider.Provider
): Provider.Provider =>
  Result.match(read(definition, options), {
    onSuccess: make,
    onFailure: (reason) => rejecting(base, reason)
  })

/** A provider of which every operation fails. */
export const rejecting = (base: Base, reason: InvalidRequest): Provider.Provider => {
  const failure = Effect.fail(new ProviderError({ provider: base.name, reason }))
  return Provider.make({
    ...base,
    stream: () => Stream.fromEffect(failure),
    embed: () => failure,
    countTokens: () => failure,
    listModels: failure,
    model: () => failure,
    supportsModel: () => failure
  })
}

/** A value that a guard recognises. `expected` describes it. */
export const is = <A>(guard: (u: unknown) => u is A, expected: string) => Schema.declare(guard, { expected })

/** Required, in contrast to those below. */
export const source = is(
  (u): u is object => Provider.isProvider(u) || Effect.isEffect(u) || Layer.isLayer(u),
  "a provider, an Effect that makes one, or a layer of one"
)

const isText = (u: unknown): u is string => Predicate.isString(u) && u.trim() !== ""

export const text = Schema.optional(is(isText, "a text that is not empty"))

export const boolean = Schema.optional(is(Predicate.isBoolean, "true or false"))

export const fn = Schema.optional(is(Predicate.isFunction, "a function"))

/** A whole number of at least `minimum`. */
export const count = (minimum: number) =>
  Schema.optional(
    is((u): u is number => Number.isSafeInteger(u) && Number(u) >= minimum, `a whole number, ${minimum} or more`)
  )

/** A number from 0 to `Infinity`. */
export const amount = Schema.optional(is((u): u is number => Predicate.isNumber(u) && u >= 0, "a number, 0 or more"))

export const duration = Schema.optional(
  Values.durationInput((duration) => !Duration.isNegative(duration), "a duration of zero or more")
)

export const deadlines = Schema.optional(Deadlines)

export const defaults = Schema.optional(Defaults)
