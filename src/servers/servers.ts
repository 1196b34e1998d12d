/** The servers that this package knows, and how the environment configures them. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Struct from "effect/Struct"
import type * as Provider from "../Provider.ts"
import type { ProviderError } from "../ProviderError.ts"
import type { DiscoverableServer, ServerDefinition } from "./definition.ts"
import { llamaServer } from "./llamaServer.ts"
import { lmStudio } from "./lmStudio.ts"
import { ollama } from "./ollama.ts"
import { openAiCompatible } from "./openAiCompatible.ts"
import * as Server from "./server.ts"

/** Those that are looked for, in the order in which they are preferred. */
const local = { ollama, "llama-server": llamaServer, lmstudio: lmStudio }

/** The last may be a cloud service, so it is used only if it is named. */
const all = { ...local, openai: openAiCompatible }

export type Kind = keyof typeof all

export type LocalKind = keyof typeof local

type Operations = { readonly [K in Kind]: ReturnType<(typeof all)[K]["operations"]> }

/** A service, and the kind that tells which it is. */
export type Service<K extends Kind = Kind> = {
  readonly [P in K]: { readonly kind: P; readonly provider: Provider.Provider & Operations[P] }
}[K]

export const definitions: { readonly [K in Kind]: ServerDefinition<K, Operations[K]> } = all

export const localDefinitions: { readonly [K in LocalKind]: DiscoverableServer<K, Operations[K]> } = local

export const localKinds: ReadonlyArray<LocalKind> = Struct.keys(local)

/** Their names, such as `Ollama`. */
export const localNames = localKinds.map((kind) => local[kind].name)

export const kinds: ReadonlyArray<Kind> = Struct.keys(all)

interface Options {
  /** The address. It replaces the variable, and counts as configured. */
  readonly url?: string | undefined
  /** Where servers without a variable are. Default: their usual addresses. */
  readonly urls?: { readonly [K in Kind]?: string | undefined } | undefined
  readonly defaults?: Server.Options["defaults"]
  /** With a header `authorization`, the token of the variable is not used. */
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted<string>>> | undefined
}

type Connecting<A> = Effect.Effect<A, ProviderError | Config.ConfigError, HttpClient.HttpClient>

/** The service of a kind at its address, and whether the environment or an option configures it. Sends nothing. */
export const connect = <K extends Kind>(
  kind: K,
  options: Options
): Connecting<{ readonly service: Service<K>; readonly isConfigured: boolean }> =>
  Effect.flatMap(addressOf(kind, options), ({ isConfigured, url }) =>
    Effect.map(connectTo(kind, url, kind, options), (service) => ({ service, isConfigured }))
  )

export const addressOf = Effect.fnUntraced(function* (kind: Kind, { url, urls }: Options) {
  if (url !== undefined) return { url, isConfigured: true }
  const { address, environment } = definitions[kind]
  const { parse = (value: string) => value } = environment
  const isSet = (text: string): boolean => text.trim() !== ""
  const variable = Option.filter(yield* Config.option(Config.String(environment.baseUrl)), isSet)
  if (Option.isSome(variable)) return { url: parse(variable.value), isConfigured: true }
  const hasToken = Option.exists(yield* Config.option(Config.String(environment.token)), isSet)
  return { url: urls?.[kind] ?? address.defaultUrl, isConfigured: hasToken }
})

/** The service at an address, with the token of `tokenOf`. */
export const connectTo = <K extends Kind>(
  kind: K,
  baseUrl: string,
  tokenOf: Kind,
  { defaults, headers = {} }: Options
): Connecting<Service<K>> =>
  Effect.flatMap(Config.option(Config.Redacted(definitions[tokenOf].environment.token)), (variable) => {
    const hasAuthorization = Object.keys(headers).some((name) => name.toLowerCase() === "authorization")
    const token = hasAuthorization ? undefined : Option.getOrUndefined(variable)
    const made = Server.make(definitions[kind], { baseUrl, token, defaults, headers })
    return Effect.map(made, (provider): Service<K> => ({ kind, provider }))
  })
