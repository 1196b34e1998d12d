/** The kinds of servers: what identifies each, without its protocol. */
import * as Struct from "effect/Struct"
import * as BaseUrl from "../values/baseUrl.ts"
import type { ServerDefinition } from "./definition.ts"

type Identification = Pick<ServerDefinition, "name" | "environment">

/** Those that are looked for, in the order in which they are preferred. */
const local = {
  ollama: {
    name: "Ollama",
    environment: { baseUrl: "OLLAMA_HOST", token: "OLLAMA_API_KEY", parse: BaseUrl.fromOllamaHost }
  },
  "llama-server": {
    name: "llama-server",
    environment: { baseUrl: "LLAMA_SERVER_URL", token: "LLAMA_API_KEY" }
  },
  lmstudio: {
    name: "LM Studio",
    environment: { baseUrl: "LMSTUDIO_BASE_URL", token: "LM_API_TOKEN" }
  }
} satisfies Record<string, Identification>

const all = {
  ...local,
  openai: {
    name: "OpenAI-compatible server",
    environment: { baseUrl: "OPENAI_BASE_URL", token: "OPENAI_API_KEY" }
  }
} satisfies Record<string, Identification>

export type Kind = keyof typeof all

export type LocalKind = keyof typeof local

export const kinds: ReadonlyArray<Kind> = Struct.keys(all)

export const localKinds: ReadonlyArray<LocalKind> = Struct.keys(local)

/** The kind, the name and the variables of a server, as its definition has them. */
export const identify = <K extends Kind>(kind: K): Identification & { readonly kind: K } => ({ kind, ...all[kind] })

/** The names of the local ones, such as `Ollama`. */
export const localNames = localKinds.map((kind) => all[kind].name)

/** The variables of tokens. */
export const tokenVariables = kinds.map((kind) => all[kind].environment.token)
