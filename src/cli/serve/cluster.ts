/** A gateway whose hosts are those of a cluster. */
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as Cluster from "../../Cluster.ts"
import { InvalidRequest, ProviderError } from "../../ProviderError.ts"
import type { Provider } from "../../Provider.ts"
import type { Access } from "../access.ts"
import * as Database from "../database.ts"
import * as Failure from "../failure.ts"
import * as Output from "../output.ts"
import * as Hosts from "./hosts.ts"
import type { Observer } from "./observer.ts"
import type { Cluster as Named, Fixed } from "./sources.ts"

/** How long a gateway waits for the first hosts before it says that there are none. */
const firstWait = "5 seconds"

export const connect = Effect.fnUntraced(function* (
  { pool, url }: Named,
  { access, deadlines, maxWaiting }: Pick<Fixed, "access" | "deadlines" | "maxWaiting">,
  { observe }: Observer
) {
  /** Also those that have left. */
  const known = new Map<string, Hosts.Member>()
  const toProvider = connectTo(access, (member) => {
    known.set(member.name, member)
    return observe(member.name, member.service.provider)
  })
  const layer = Cluster.layer({ pool, maxWaiting, defaults: { deadlines }, connect: toProvider }).pipe(
    Layer.provide(Cluster.layerClient),
    Layer.provide([NodeSocket.layerWebSocketConstructor, Database.layer(url)])
  )
  const cluster = yield* Layer.build(layer).pipe(
    Effect.map((context) => Context.get(context, Cluster.Cluster)),
    Effect.catchTag("SqlError", (error) => Failure.fail(Database.describe(error)))
  )
  const hasHosts = SubscriptionRef.changes(cluster.state).pipe(
    Stream.takeUntil(({ hosts }) => hosts.length > 0),
    Stream.runDrain
  )
  const waited = yield* Effect.timeoutOption(hasHosts, firstWait)
  if (Option.isNone(waited)) {
    yield* Output.note("no host has joined the cluster yet: local-llm join --cluster … --host ADDRESS")
  }
  const members = () => {
    const names = SubscriptionRef.getUnsafe(cluster.state).hosts.map(({ name }) => name)
    return names.flatMap((name) => known.get(name) ?? [])
  }
  const hosts: Hosts.Hosts = {
    set: () => Effect.void,
    members,
    missing: () => [],
    pull: (model) => Stream.suspend(() => Hosts.pull(members(), model))
  }
  return { hosts, pool: cluster }
})

/** Makes the provider of a host, with the token of its kind's variable. */
export const connectTo =
  (access: Access, use: (member: Hosts.Member) => Provider) =>
  ({ kind, name, url }: Cluster.Host & { readonly name: string }) => {
    const host = { kind, name, url }
    const fail = (description: string) =>
      Effect.fail(new ProviderError({ provider: name, reason: new InvalidRequest({ field: "hosts", description }) }))
    return Effect.matchEffect(Hosts.recognise(host, access), {
      onFailure: ({ message }) => fail(message),
      onSuccess: Option.match({
        onNone: () => fail("it is not recognised"),
        onSome: (service) => Effect.succeed(use({ name, wanted: host, service }))
      })
    })
  }
