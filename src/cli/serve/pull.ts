/** Downloads of models that clients ask for. */
import * as Stream from "effect/Stream"
import type * as Gateway from "../../Gateway.ts"
import { ProviderError, Unsupported } from "../../ProviderError.ts"
import type { Hosts } from "./hosts.ts"

/** Onto the first host that can: on the others, it would take room that nobody asked for. */
export const make =
  (hosts: Hosts): NonNullable<Gateway.Options["pull"]> =>
  (model) => {
    for (const { service } of hosts.members()) {
      if ("pull" in service.provider) return service.provider.pull(model)
      if ("download" in service.provider) return service.provider.download(model)
    }
    return Stream.fail(
      new ProviderError({ provider: "Pool", reason: new Unsupported({ feature: "downloads of models" }) })
    )
  }
