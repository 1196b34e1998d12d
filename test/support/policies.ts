/** The table of policies: each alone, and all of them together. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Accounting from "../../src/Accounting.ts"
import * as Cache from "../../src/Cache.ts"
import * as Fallback from "../../src/Fallback.ts"
import * as Hedge from "../../src/Hedge.ts"
import * as Limit from "../../src/Limit.ts"
import * as Pool from "../../src/Pool.ts"
import * as Provider from "../../src/Provider.ts"
import type { ProviderError } from "../../src/ProviderError.ts"
import * as Race from "../../src/Race.ts"
import * as Retry from "../../src/Retry.ts"
import * as Telemetry from "../../src/Telemetry.ts"
import * as Thinking from "../../src/Thinking.ts"

type Policy = (provider: Provider.Provider) => Effect.Effect<Provider.Provider, ProviderError, Scope.Scope>

const policy =
  (apply: (provider: Provider.Provider) => Provider.Provider): Policy =>
  (provider) =>
    Effect.succeed(apply(provider))

const pool: Policy = (provider) => Pool.make({ hosts: [{ provider }] })

const thinking = ({ provider, ...host }: Pool.Host): Pool.Host<ProviderError, Scope.Scope> => ({
  ...host,
  provider: Effect.map(Provider.fromSource(provider), (provider) => Thinking.apply(provider))
})

/** In the order that `docs/resilience.md` recommends. */
export const all = (hosts: ReadonlyArray<Pool.Host>) =>
  Pool.make({ hosts: hosts.map(thinking) }).pipe(
    Effect.flatMap((pool) => Hedge.make(pool)),
    Effect.flatMap((hedge) => Fallback.make([{ provider: Retry.apply(hedge) }])),
    Effect.map((fallback) => Telemetry.apply(fallback))
  )

export const policies: { readonly [name: string]: Policy } = {
  Thinking: policy((provider) => Thinking.apply(provider)),
  Retry: policy((provider) => Retry.apply(provider)),
  Fallback: (provider) => Fallback.make([{ provider }]),
  Hedge: (provider) => Hedge.make(provider),
  Limit: (provider) =>
    Limit.make(provider, { limits: { requestsPerMinute: 1_000_000, tokensPerMinute: 1_000_000_000 } }),
  Accounting: (provider) => Accounting.make(provider),
  Cache: (provider) => Cache.make(provider, { defaults: { seed: 1 } }),
  Race: (provider) => Race.make([{ provider }]),
  Telemetry: policy((provider) => Telemetry.apply(provider)),
  Pool: pool,
  "all of them": (provider) => all([{ provider }])
}
