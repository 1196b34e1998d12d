/** Who may use a gateway: what a key stands for, and what its owner is allowed. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { Headers } from "effect/http/Headers"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { Caller as PoolCaller } from "../policies/pool/waitingList.ts"
import type { RateLimited } from "../ProviderError.ts"
import type { Usage } from "../StreamingChunk.ts"

/**
 * Who sends a request, and what is allowed to it.
 *
 * @category models
 */
export interface Caller {
  /** In logs and metrics. */
  readonly name: string
  /** Whose turns its requests use in a pool. */
  readonly caller: PoolCaller
  /** By the name that the client sends, so before aliases. Models that are not allowed are not listed either. */
  readonly allows: (model: string) => boolean
  /** Whether it may load models onto the disks of the servers. */
  readonly mayPull: boolean
  /** Run before each request for a completion or an embedding. The request counts until the scope ends. */
  readonly admit: Effect.Effect<void, RateLimited, Scope.Scope>
  /** Run at the end of each completion and embedding that reports its tokens. */
  readonly onUsage: (usage: Pick<Usage, "promptTokens" | "completionTokens">) => Effect.Effect<void>
}

/**
 * Who may use a gateway: finds the owner of a key, of `Authorization: Bearer …` or `x-api-key`. An empty one counts as none.
 *
 * @category models
 */
export interface Access {
  /** Fails with 401 if the key is missing or unknown. */
  readonly authorize: (key: Redacted.Redacted<string> | undefined) => Effect.Effect<Caller, Refusal>
}

/**
 * A request that a gateway itself refuses, before a provider is asked. The protocol of the client puts it into its form.
 *
 * @category errors
 */
export class Refusal extends Data.TaggedError("Refusal")<{
  /** The status of the response. */
  readonly status: 400 | 401 | 403 | 404 | 405 | 408 | 413 | 500 | 503
  /** What the client may know of the reason. */
  readonly message: string
  /** Further headers of the response, such as `retry-after`. */
  readonly headers?: Readonly<Record<string, string>>
}> {}

/** The key of a request. */
export const keyOf = (headers: Headers): Redacted.Redacted<string> | undefined => {
  const [, bearer = ""] = /^bearer\s+(.*)$/i.exec(headers["authorization"] ?? "") ?? []
  const key = bearer.trim() || headers["x-api-key"]?.trim() || ""
  return key === "" ? undefined : Redacted.make(key)
}

/** Everybody may do everything, except pull models. */
export const everybody: Access = {
  authorize: () =>
    Effect.succeed({
      name: "",
      caller: { name: "" },
      allows: () => true,
      mayPull: false,
      admit: Effect.void,
      onUsage: () => Effect.void
    })
}
