/** The hosts of a gateway: those that are wanted become members of its pool as soon as their kind is known. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as FiberHandle from "effect/FiberHandle"
import type * as HttpClient from "effect/http/HttpClient"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import { lookup } from "node:dns/promises"
import * as Stream from "effect/Stream"
import * as Discovery from "../../Discovery.ts"
import type * as Pool from "../../Pool.ts"
import type { ModelProgress } from "../../ModelProgress.ts"
import type * as Provider from "../../Provider.ts"
import { ProviderError, Unsupported } from "../../ProviderError.ts"
import * as Servers from "../../servers/servers.ts"
import type { Access } from "../access.ts"
import * as Failure from "../failure.ts"
import * as Output from "../output.ts"
import * as GatewayConfig from "./config.ts"
import type { Observe } from "./observer.ts"

/** How often hosts are looked for whose kind is not known yet. */
const retry = "5 seconds"

/** A host whose kind is known. */
export interface Member {
  readonly name: string
  readonly wanted: GatewayConfig.Host
  readonly service: Servers.Service
}

/** What answers the requests of a gateway. */
export interface Served extends Provider.Provider, Pick<Pool.Pool, "state"> {}

export interface Hosts {
  /** Replaces the hosts. */
  readonly set: (wanted: Wanted) => Effect.Effect<void>
  /** Those of the last list. */
  readonly members: () => ReadonlyArray<Member>
  /** Those whose kind is not known yet. */
  readonly missing: () => ReadonlyArray<GatewayConfig.Host>
  /** Downloads a model onto the first host that can: on the others, it would take room that nobody asked for. */
  readonly pull: (model: string) => Stream.Stream<ModelProgress, ProviderError>
}

/** Those of a gateway that has hosts of its own. */
export interface OwnHosts extends Hosts {
  /** For the pool. */
  readonly lists: Stream.Stream<ReadonlyArray<Pool.Host>>
}

type Requirements = HttpClient.HttpClient | Scope.Scope

/** Hosts that are wanted, and the permits of each that has no number of its own. */
interface Wanted {
  readonly hosts: ReadonlyArray<GatewayConfig.Host>
  readonly permits: number | undefined
}

/** Fails if one of the first hosts cannot be right. */
export const make = Effect.fnUntraced(function* (
  first: Wanted,
  access: Access,
  observe: Observe
): Effect.fn.Return<OwnHosts, Failure.CommandFailed, Requirements> {
  const lists = yield* Queue.unbounded<ReadonlyArray<Pool.Host>>()
  const following = yield* FiberHandle.make<void>()
  const context = yield* Effect.context<HttpClient.HttpClient>()
  const known = makeKnown(access)
  let members: ReadonlyArray<Member> = []
  let missing: ReadonlyArray<GatewayConfig.Host> = []

  /** Returns whether the kinds of all hosts are known. */
  const publish = Effect.fnUntraced(function* (wanted: Wanted, isFirst: boolean) {
    const found = yield* Effect.forEach(wanted.hosts, known.find, { concurrency: "unbounded" })
    const isChanged = found.flatMap(Option.toArray).length !== members.length
    members = found.flatMap(Option.toArray)
    missing = wanted.hosts.filter((_, i) => Option.isNone(found[i] ?? Option.none()))
    if (isFirst || isChanged) yield* Queue.offer(lists, toList(members, wanted, observe))
    return missing.length === 0
  })
  const follow = (wanted: Wanted): Effect.Effect<void, Failure.CommandFailed, HttpClient.HttpClient> =>
    Effect.flatMap(Effect.delay(publish(wanted, false), retry), (isComplete) =>
      isComplete ? Effect.void : follow(wanted)
    )
  const start = Effect.fnUntraced(function* (wanted: Wanted) {
    yield* FiberHandle.clear(following)
    if (yield* publish(wanted, true)) return
    for (const { url } of missing) {
      const why = yield* explain(url)
      yield* Output.note(`${url}: no server is recognised there yet${why}; it is used as soon as one is`)
    }
    const further = Effect.catch(follow(wanted), (error) => Output.note(error.message))
    yield* FiberHandle.run(following, Effect.provideContext(further, context))
  })

  yield* start(first)
  return {
    set: (wanted) =>
      Effect.andThen(
        Effect.forEach(wanted.hosts.filter(known.isOther), noteOther, { discard: true }),
        Effect.catch(start(wanted), (error) => Output.note(error.message))
      ).pipe(Effect.provideContext(context)),
    lists: Stream.fromQueue(lists),
    members: () => members,
    missing: () => missing,
    pull: (model) => Stream.suspend(() => pull(members, model))
  }
})

/** Downloads a model onto the first of them that can. */
export const pull = (members: ReadonlyArray<Member>, model: string): Stream.Stream<ModelProgress, ProviderError> => {
  for (const { service } of members) {
    if ("pull" in service.provider) return service.provider.pull(model)
    if ("download" in service.provider) return service.provider.download(model)
  }
  const reason = new Unsupported({ feature: "downloads of models" })
  return Stream.fail(new ProviderError({ provider: "Pool", reason }))
}

/** Most often, a name that is not found has a typo. */
const explain = (url: string): Effect.Effect<string> => {
  const { hostname = "" } = URL.parse(url.includes("://") ? url : `http://${url}`) ?? {}
  const name = hostname.replace(/^\[|\]$/g, "")
  return Effect.match(
    Effect.tryPromise(() => lookup(name)),
    { onSuccess: () => "", onFailure: () => ` (the name ${name} is not found)` }
  )
}

/** A host keeps its name, and what the pool has learned of it, when it leaves and comes back. */
const makeKnown = (access: Access) => {
  const known = new Map<string, Member>()
  return {
    find: Effect.fnUntraced(function* (wanted: GatewayConfig.Host) {
      const name = GatewayConfig.nameOf(wanted)
      const member = known.get(name)
      if (member !== undefined) return Option.some(member)
      const found = yield* recognise(wanted, access)
      if (Option.isSome(found)) known.set(name, { name, wanted, service: found.value })
      return Option.fromUndefinedOr(known.get(name))
    }),
    isOther: (wanted: GatewayConfig.Host): boolean => isOther(wanted, known.get(GatewayConfig.nameOf(wanted)))
  }
}

/** The members as the pool gets them. */
const toList = (members: ReadonlyArray<Member>, { hosts, permits }: Wanted, observe: Observe) =>
  members.map(({ name, service }): Pool.Host => {
    const wanted = hosts.find((host) => GatewayConfig.nameOf(host) === name)
    const { oneModelAtATime, permits: own = permits } = wanted ?? {}
    return { name, provider: observe(name, service.provider), permits: own, oneModelAtATime }
  })

/** What a member was made of stays, since requests run on it. */
const isOther = (wanted: GatewayConfig.Host, member: Member | undefined): boolean =>
  member !== undefined &&
  (wanted.url !== member.wanted.url ||
    wanted.tokenVariable !== member.wanted.tokenVariable ||
    (wanted.kind ?? member.service.kind) !== member.service.kind)

const noteOther = (wanted: GatewayConfig.Host) =>
  Output.note(
    `${GatewayConfig.nameOf(wanted)}: its address, kind or token has changed; give it another name, or start again`
  )

/** The service at an address; none if its kind is neither given nor recognised. */
export const recognise = Effect.fnUntraced(function* (
  wanted: GatewayConfig.Host,
  access: Access
): Effect.fn.Return<Option.Option<Servers.Service>, Failure.CommandFailed, HttpClient.HttpClient> {
  const { kind, tokenVariable, url } = wanted
  const name = GatewayConfig.nameOf(wanted)
  const found =
    kind ??
    (yield* Discovery.probe("ollama", { url, timeLimit: "1 second" }).pipe(
      Effect.map(({ kind, state }) => (state === "recognised" ? kind : undefined)),
      Effect.catch((error) => Failure.fail(Failure.describe(error).replace("--url", url)))
    ))
  if (found === undefined) return Option.none()
  const { environment } = Servers.definitions[found]
  const token = yield* Effect.orElseSucceed(Config.option(Config.Redacted(tokenVariable ?? environment.token)), () =>
    Option.none()
  )
  if (tokenVariable !== undefined && Option.isNone(token)) {
    return yield* Failure.fail(`${name}: the variable ${tokenVariable} of its token is not set`)
  }
  const location = { url, token: Option.getOrUndefined(token) }
  return yield* Servers.connectTo(found, location, { ...access, name }).pipe(
    Effect.map(Option.some),
    Effect.catch((error: ProviderError) => Failure.fail(Failure.describe(error)))
  )
})
