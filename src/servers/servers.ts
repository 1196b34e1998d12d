/** The servers that this package knows, and how the environment configures them. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Provider from "../Provider.ts"
import type { ProviderError } from "../ProviderError.ts"
import type { ServerDefinition } from "./definition.ts"
import type { Kind, LocalKind } from "./kinds.ts"
import { llamaServer } from "./llamaServer.ts"
import { lmStudio } from "./lmStudio.ts"
import { ollama } from "./ollama.ts"
import { openAiCompatible } from "./openAiCompatible.ts"
import * as Server from "./server.ts"

/** Those that are looked for. */
export const local = { ollama, "llama-server": llamaServer, lmstudio: lmStudio } satisfies Record<LocalKind, unknown>

/** The last may be a cloud service, so it is used only if it is named. */
const all = { ...local, openai: openAiCompatible }

type Operations = { readonly [K in Kind]: ReturnType<(typeof all)[K]["operations"]> }

/** A service, and the kind that tells which it is. */
export type Service<K extends Kind = Kind> = {
  readonly [P in K]: { readonly kind: P; readonly provider: Provider.Provider & Operations[P] }
}[K]

export const definitions: { readonly [K in Kind]: ServerDefinition<K, Operations[K]> } = all

interface Options {
  /** The address. It replaces the variable, and counts as configured. */
  readonly url?: string | undefined
  /** Where servers without a variable are. Default: their usual addresses. */
  readonly urls?: { readonly [K in Kind]?: string | undefined } | undefined
  readonly defaults?: Server.Options["defaults"]
  /** With a header `authorization`, the token of the variable is not used. */
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted<string>>> | undefined
  /** The name in errors. Default: that of the kind. */
  readonly name?: string | undefined
}

/** Where a server is, and the token for it. */
interface Location {
  readonly url: string
  readonly token: Redacted.Redacted<string> | undefined
}

/** The service of a kind, where it is, and whether the environment or an option configures it. Sends nothing. */
export const connect = Effect.fnUntraced(function* <K extends Kind>(kind: K, options: Options) {
  const { isConfigured, location } = yield* locate(kind, options)
  return { isConfigured, location, service: yield* connectTo(kind, location, options) }
})

const locate = Effect.fnUntraced(function* (kind: Kind, { url, urls }: Options) {
  const { address, environment } = definitions[kind]
  const { parse = (value: string) => value } = environment
  const isSet = (text: string): boolean => text.trim() !== ""
  const token = yield* Config.option(Config.Redacted(environment.token))
  const variable = Option.filter(yield* Config.option(Config.String(environment.baseUrl)), isSet)
  const named = url ?? Option.getOrUndefined(Option.map(variable, parse))
  return {
    isConfigured: named !== undefined || Option.exists(token, (token) => isSet(Redacted.value(token))),
    location: { url: named ?? urls?.[kind] ?? address.defaultUrl, token: Option.getOrUndefined(token) }
  }
})

export const connectTo = <K extends Kind>(
  kind: K,
  { token, url: baseUrl }: Location,
  { defaults, headers = {}, name }: Options
): Effect.Effect<Service<K>, ProviderError, HttpClient.HttpClient> => {
  const hasAuthorization = Object.keys(headers).some((name) => name.toLowerCase() === "authorization")
  const options = { baseUrl, token: hasAuthorization ? undefined : token, defaults, headers, name }
  return Effect.map(Server.make(definitions[kind], options), (provider): Service<K> => ({ kind, provider }))
}
