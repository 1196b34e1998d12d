/** Which host answers a request. */
import type { ProviderErrorReason } from "../../ProviderError.ts"
import { AllProvidersFailed, ContextOverflow, ModelNotAvailable, NetworkError } from "../../ProviderError.ts"
import * as Host from "./host.ts"

export interface Wanted {
  readonly model: string | undefined
  /** The fewest tokens that the prompt has, if that is known; otherwise 0. */
  tokens: number
  /** The tokens of the last turn, or 0. The prompt has as many, unless the program left something out of it. */
  readonly lastTokens: number
  /** The name of the host that answered the last turn. */
  readonly lastHost: string | undefined
  /** Hosts on which the same request failed before. */
  readonly failedOn: ReadonlySet<Host.Host>
  /** Hosts that failed before their answer committed. */
  readonly tried: Set<Host.Host>
}

export type Choice =
  | { readonly _tag: "Chosen"; readonly host: Host.Host }
  /** Some hosts are suitable, but busy. Those in `otherModel` have free permits and answer requests for another model. */
  | { readonly _tag: "Busy"; readonly otherModel: ReadonlyArray<Host.Host> }
  | { readonly _tag: "None"; readonly reason: ProviderErrorReason }

export interface Situation {
  readonly now: number
  readonly random: () => number
  /** Hosts that a request before this one waits for. */
  readonly reserved: ReadonlySet<Host.Host>
}

export const choose = (hosts: ReadonlyArray<Host.Host>, wanted: Wanted, situation: Situation): Choice => {
  const present = hosts.filter((host) => !host.isDraining && !wanted.tried.has(host))
  const able = present.filter(
    (host) => !lacksModel(host, wanted) && fits(host, wanted) && !Host.isOff(host, wanted.model)
  )
  const suitable = prefer(
    prefer(able, ({ models }) => models.get(wanted.model ?? "")?.isUnlisted !== true),
    (host) => wanted.lastTokens <= Host.contextLength(host, wanted.model)
  )
  if (suitable.length === 0) return { _tag: "None", reason: explain(present, wanted) }
  const free = suitable.filter((host) => Host.isFree(host) && !situation.reserved.has(host))
  const open = free.filter((host) => Host.isLaneOpen(host, wanted.model))
  const host = pick(open, wanted, situation)
  return host === undefined
    ? { _tag: "Busy", otherModel: free.filter((host) => !open.includes(host)) }
    : { _tag: "Chosen", host }
}

const lacksModel = ({ models }: Host.Host, { model }: Wanted): boolean =>
  model !== undefined && models.get(model)?.isMissing === true

const fits = (host: Host.Host, { model, tokens }: Wanted): boolean => tokens <= Host.contextLength(host, model)

const explain = (present: ReadonlyArray<Host.Host>, wanted: Wanted): ProviderErrorReason => {
  if (present.length === 0) return new NetworkError({ description: "the pool has no host for the request" })
  const { model = "", tokens } = wanted
  const having = present.filter((host) => !lacksModel(host, wanted))
  if (having.length === 0) return new ModelNotAvailable({ model, description: "no host of the pool has it" })
  const fitting = having.filter((host) => fits(host, wanted))
  if (fitting.length === 0) {
    const contextLength = Math.max(...having.map((host) => Host.contextLength(host, wanted.model)))
    return new ContextOverflow({ promptTokens: tokens, contextLength })
  }
  return new AllProvidersFailed({
    errors: fitting.flatMap((host) => Host.lastErrorOf(host, wanted.model) ?? [])
  })
}

/** The request has not failed there, then the model is loaded there, then the last turn was there, then the lower cost of two at random. */
const pick = (
  hosts: ReadonlyArray<Host.Host>,
  { failedOn, lastHost, model }: Wanted,
  { now, random }: Situation
): Host.Host | undefined => {
  if (hosts.length <= 1) return hosts[0]
  const hopeful = prefer(hosts, (host) => !failedOn.has(host))
  const rest = [
    ...prefer(
      prefer(hopeful, (host) => Host.isLoaded(host, model, now)),
      ({ name }) => name === lastHost
    )
  ]
  const [a] = rest.splice(Math.floor(random() * rest.length), 1)
  const b = rest[Math.floor(random() * rest.length)]
  if (a === undefined || b === undefined) return a
  const difference = Host.cost(a, model, now) - Host.cost(b, model, now)
  // Two hosts without any latency differ by NaN.
  return difference < 0 || (!(difference > 0) && Host.used(a) <= Host.used(b)) ? a : b
}

const prefer = <A>(all: ReadonlyArray<A>, is: (a: A) => boolean): ReadonlyArray<A> => {
  const some = all.filter(is)
  return some.length === 0 ? all : some
}
