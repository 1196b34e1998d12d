/** What a known error text of a server means. The descriptions are words of ours: they never repeat the text of a server. */
import type { AuthenticationError } from "../ProviderError.ts"

export interface KnownError {
  readonly kind: Kind
  readonly description?: string | undefined
  /** For `invalid`: the field that is wrong. */
  readonly field?: string | undefined
  /** For `unsupported`: the feature that is missing. Default: the endpoint. */
  readonly feature?: string | undefined
  /** For `status`: the status that the text reports, in place of the one of the answer. */
  readonly status?: number | undefined
  /** For a status that refuses the client: who refused what. */
  readonly refusal?: AuthenticationError["kind"]
}

/** `status`: the text does not change the reason, the status decides. */
export type Kind =
  | "model-missing"
  | "model-unloadable"
  | "overflow"
  | "unsupported"
  | "engine"
  | "invalid"
  | "network"
  | "status"

/** A text that matches means the error. `undefined`: it does not, so the next rule is tried. */
export type ErrorRule = readonly [pattern: RegExp, toKnownError: (match: RegExpExecArray) => KnownError | undefined]
