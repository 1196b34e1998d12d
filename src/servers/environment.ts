/** The servers that the environment names. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type { Defaults } from "../CompletionRequest.ts"
import type { ProviderError } from "../ProviderError.ts"
import * as Servers from "./servers.ts"

export interface Options {
  /** The address. It replaces the variable, and counts as configured. */
  readonly url?: string | undefined
  /** Where servers without a variable are. Default: their usual addresses. */
  readonly urls?: { readonly [K in Servers.Kind]?: string | undefined } | undefined
  readonly defaults?: Defaults | undefined
  /** With a header `authorization`, the token of the variable is not used. */
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted<string>>> | undefined
}

type Failure = ProviderError | Config.ConfigError

/** The service of a kind at its address, and whether the environment or an option configures it. Sends nothing. */
export const connect = Effect.fnUntraced(function* <K extends Servers.Kind>(
  kind: K,
  options: Options
): Effect.fn.Return<
  { readonly service: Servers.Service<K>; readonly isConfigured: boolean },
  Failure,
  HttpClient.HttpClient
> {
  const { isConfigured, url } = yield* addressOf(kind, options)
  return { service: yield* connectTo(kind, url, kind, options), isConfigured }
})

export const addressOf = Effect.fnUntraced(function* (kind: Servers.Kind, { url, urls }: Options) {
  if (url !== undefined) return { url, isConfigured: true }
  const { address, environment } = Servers.definitions[kind]
  const { parse = (value: string) => value } = environment
  const isSet = (text: string): boolean => text.trim() !== ""
  const variable = Option.filter(yield* Config.option(Config.String(environment.baseUrl)), isSet)
  if (Option.isSome(variable)) return { url: parse(variable.value), isConfigured: true }
  const hasToken = Option.exists(yield* Config.option(Config.String(environment.token)), isSet)
  return { url: urls?.[kind] ?? address.defaultUrl, isConfigured: hasToken }
})

/** The service at an address, with the token of `tokenOf`. */
export const connectTo = Effect.fnUntraced(function* <K extends Servers.Kind>(
  kind: K,
  baseUrl: string,
  tokenOf: Servers.Kind,
  { defaults, headers = {} }: Options
): Effect.fn.Return<Servers.Service<K>, Failure, HttpClient.HttpClient> {
  const variable = yield* Config.option(Config.Redacted(Servers.definitions[tokenOf].environment.token))
  const hasAuthorization = Object.keys(headers).some((name) => name.toLowerCase() === "authorization")
  const token = hasAuthorization ? undefined : Option.getOrUndefined(variable)
  return yield* Servers.make(kind, { baseUrl, token, defaults, headers })
})
