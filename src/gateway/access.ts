/** Who may use a gateway: what a key stands for, and what its owner is allowed. */
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { Caller as PoolCaller } from "../policies/pool/waitingList.ts"
import type { RateLimited } from "../ProviderError.ts"
import type { Usage } from "../StreamingChunk.ts"

/** Who sends a request, and what is allowed to it. */
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

/** A request without the right to what it asks for: 401 for a key that is missing or unknown, 403 for one that does not allow it. */
export interface Refused {
  readonly status: 401 | 403
  /** What the client gets. */
  readonly message: string
}

/** Finds the owner of a key: of `Authorization: Bearer …` or `x-api-key`. An empty one counts as none. */
export interface Access {
  readonly authorize: (key: Redacted.Redacted<string> | undefined) => Effect.Effect<Caller, Refused>
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
