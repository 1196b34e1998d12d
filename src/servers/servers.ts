/** The servers that this package knows. */
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
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

export const kinds: ReadonlyArray<Kind> = Struct.keys(all)

/** Connects to a server of a kind. Sends nothing. */
export const make = <K extends Kind>(
  kind: K,
  options: Server.Options
): Effect.Effect<Service<K>, ProviderError, HttpClient.HttpClient> =>
  Effect.map(Server.make(definitions[kind], options), (provider): Service<K> => ({ kind, provider }))
