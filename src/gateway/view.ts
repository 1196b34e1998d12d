/** A provider as a caller of the gateway sees it: its models have the names that clients know, and are those that the caller may use. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { ModelInfo } from "../ModelInfo.ts"
import * as Provider from "../Provider.ts"
import { AuthenticationError, ModelNotAvailable, ProviderError } from "../ProviderError.ts"
import type { Caller } from "./access.ts"

/** Names that clients use, and the models that they stand for. */
export type Aliases = Readonly<Record<string, string>>

/** A model that the caller may not use. */
export const forbidden = new ProviderError({ provider: "gateway", reason: new AuthenticationError({}) })

/** Some clients of Ollama add the tag that a name without one has there. */
const defaultTag = ":latest"

const resolve = (aliases: Aliases, name: string): string => {
  if (Object.hasOwn(aliases, name)) return aliases[name] ?? name
  const short = name.endsWith(defaultTag) ? name.slice(0, -defaultTag.length) : name
  return Object.hasOwn(aliases, short) ? (aliases[short] ?? name) : name
}

export const make = (provider: Provider.Provider, aliases: Aliases, caller: Caller): Provider.Provider => {
  /** With the name that the server knows. A request without a model has that of the provider's defaults. */
  const translate = <R extends { readonly model?: string | undefined }>(
    request: R
  ): Result.Result<R, ProviderError> => {
    const { model } = request
    if (!caller.allows(model ?? "")) return Result.fail(forbidden)
    const known = model === undefined ? undefined : resolve(aliases, model)
    return Result.succeed(known === model ? request : { ...request, model: known })
  }
  const describe: Provider.Provider["model"] = (name, options) =>
    caller.allows(name)
      ? Effect.map(provider.model(resolve(aliases, name), options), (info) => ({ ...info, id: name }))
      : Effect.fail(new ProviderError({ provider: provider.name, reason: new ModelNotAvailable({ model: name }) }))
  return Provider.make({
    ...provider,
    stream: (request) =>
      Result.match(translate(request), { onSuccess: provider.stream, onFailure: (error) => Stream.fail(error) }),
    embed: (request) =>
      Effect.flatMap(Effect.fromResult(translate(request)), provider.embed).pipe(
        Effect.tap(({ promptTokens }) => (promptTokens === undefined ? Effect.void : caller.onUsage({ promptTokens })))
      ),
    countTokens: (request) => Effect.flatMap(Effect.fromResult(translate(request)), provider.countTokens),
    listModels: Effect.map(provider.listModels, (models) =>
      models.concat(findAliased(provider, aliases, models)).filter(({ id }) => caller.allows(id))
    ),
    model: describe,
    supportsModel: (name) =>
      caller.allows(name) ? provider.supportsModel(resolve(aliases, name)) : Effect.succeed(false),
    isSameModel: (a, b) => provider.isSameModel(resolve(aliases, a), resolve(aliases, b)),
    unload:
      provider.unload &&
      ((model) =>
        caller.allows(model) ? (provider.unload?.(resolve(aliases, model)) ?? Effect.void) : Effect.fail(forbidden))
  })
}

/** The aliases of models that are there. A model that has the name of an alias is hidden by it. */
const findAliased = (
  { isSameModel }: Provider.Provider,
  aliases: Aliases,
  models: ReadonlyArray<ModelInfo>
): ReadonlyArray<ModelInfo> =>
  Object.entries(aliases).flatMap(([id, model]) => {
    const info = models.find((info) => isSameModel(info.id, model))
    return info === undefined || models.some((other) => other.id === id) ? [] : [{ ...info, id }]
  })
