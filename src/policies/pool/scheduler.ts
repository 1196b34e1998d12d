/** What gives the requests of a pool their hosts: in this process, or one that many processes share. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import type { ProviderError } from "../../ProviderError.ts"
import { isProviderError } from "../../ProviderError.ts"
import * as Monotonic from "../../values/monotonic.ts"
import type { RequestHistory } from "../history.ts"
import type * as Choose from "./choose.ts"
import * as Failures from "./failures.ts"
import * as Host from "./host.ts"
import * as Knowledge from "./knowledge.ts"
import type { Ticket, WaitLimit } from "./line.ts"
import * as Models from "./models.ts"
import type { Prompt } from "./prompt.ts"
import * as Queue from "./queue.ts"
import type { Caller } from "./waitingList.ts"

/** A request that enters the pool. */
export interface Request {
  /** What tells it from other requests, as JSON. */
  readonly request: object
  readonly model: string | undefined
  readonly prompt: Prompt
  readonly caller: Caller
  readonly history: RequestHistory
  /** The hosts that failed before, and the fewest tokens that the prompt has, if another scheduler has seen it. Default: none, and 0. */
  readonly tried?: Set<Host.Host>
  readonly minTokens?: number
  /** How long the request is in the pool, in milliseconds. Default: 0. */
  readonly waited?: number
}

/** A host for one attempt. */
export interface Grant {
  readonly host: Host.Host
  readonly prediction: Host.Prediction
}

/** A request in the pool, for all of its attempts. */
export interface Entry {
  /** Waits for a host. */
  readonly acquire: (limit: WaitLimit) => Effect.Effect<Grant, Choose.Failure>
  /** The first chunk that carries anything has come. */
  readonly begin: () => void
  /** Gives the host back, or stops waiting. Has no effect without a host the second time. */
  readonly end: (end: Queue.Ended) => void
}

export interface Scheduler {
  readonly hosts: () => ReadonlyArray<Host.Host>
  readonly now: () => number
  readonly admit: (request: Request) => Entry
}

/** A request in the pool of this process. */
export interface LocalEntry extends Entry {
  /** In place of `acquire`: the request has this host, because another scheduler has given it. */
  readonly hold: (host: Host.Host, hasBegun: boolean) => void
  readonly host: () => Host.Host | undefined
  /** The hosts that failed before its completion committed. */
  readonly tried: ReadonlySet<Host.Host>
  /** The fewest tokens that the prompt has, if a host reported it; otherwise 0. */
  readonly minTokens: () => number
}

export interface Local extends Scheduler {
  readonly queue: Queue.Queue
  readonly admit: (request: Request) => LocalEntry
}

export interface Options extends Pick<Queue.Options, "health" | "maxWaiting" | "onWaited" | "unloadHanging"> {}

/** The scheduler of one process. It lives as long as the scope. */
export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<Local, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const random = yield* Random.Random
  const run = yield* FiberSet.makeRuntime<never, void, never>()
  const now = (): number => Monotonic.millisOf(clock)
  const knowledge = Knowledge.make()
  const queue = yield* Queue.make({ ...options, knowledge, now, random: () => random.nextDoubleUnsafe(), run })
  const models = Models.make({ now, run, refresh: queue.refresh })
  const parts: Parts = { queue, models, knowledge }
  return {
    queue,
    hosts: queue.hosts,
    now,
    admit: (request) => makeEntry(parts, makeTicket(parts, request))
  }
})

interface Parts {
  readonly queue: Queue.Queue
  readonly models: Models.Models
  readonly knowledge: Knowledge.Knowledge
}

const makeEntry = ({ models, queue }: Parts, ticket: Ticket): LocalEntry => {
  /** How many hosts the request had taken down when it was sent. */
  let crashes = ticket.history.crashed.size
  return {
    acquire: (limit) =>
      Effect.suspend(() => models.prepare(queue.hosts(), ticket.model)).pipe(
        Effect.andThen(
          Effect.suspend(() => {
            ticket.suits = suitsOf(ticket, queue.hosts())
            return queue.enter(ticket, limit)
          })
        ),
        Effect.map((host) => {
          ticket.sentAt = queue.now()
          crashes = ticket.history.crashed.size
          return { host, prediction: ticket.running?.prediction ?? Host.makePrediction() }
        })
      ),
    hold: (host, hasBegun) => {
      queue.hold(ticket, host, hasBegun)
      crashes = ticket.history.crashed.size
    },
    host: () => ticket.host,
    tried: ticket.tried,
    minTokens: () => ticket.minTokens,
    begin: () => queue.begin(ticket),
    end: (end) => {
      const { outcome, progress } = end
      if (isProviderError(outcome) && progress !== "committed" && ticket.host !== undefined) {
        learn(models, ticket, ticket.host, outcome, crashes)
      }
      queue.leave(ticket, end)
    }
  }
}

const makeTicket = ({ knowledge, queue }: Parts, entering: Request): Ticket => {
  const { caller, history, minTokens = 0, model, prompt, request, tried = new Set() } = entering
  const since = queue.now() - (entering.waited ?? 0)
  const { learned, promptTokens } = knowledge.about(model ?? "", prompt)
  const failedOn = queue.blame.failedOn(request, prompt.characters, since)
  return {
    request,
    model,
    prompt,
    promptTokens,
    learned,
    history,
    failedOn,
    hasFailedOn: (host) =>
      failedOn.hosts.size + history.failed.size > 0 && (failedOn.hosts.has(host) || history.failed.has(host)),
    tried,
    minTokens,
    patientUntil: undefined,
    caller,
    suits: "",
    cost: completionCost + promptTokens * tokenCost,
    since,
    waitingSince: since,
    host: undefined,
    running: undefined,
    sentAt: undefined,
    lastWait: undefined
  }
}

/** What a request costs for the turns of its caller: tokens that are generated, of which a token that is read is a small part. */
const completionCost = 200
const tokenCost = 0.1

/** What decides which hosts suit the request. */
const suitsOf = (
  { failedOn, history, minTokens, model = "", tried }: Ticket,
  hosts: ReadonlyArray<Host.Host>
): string => {
  if (tried.size + history.inUse.size + failedOn.hosts.size === 0) return `${model}\n${minTokens}`
  const excluded = hosts.filter((host) => tried.has(host) || history.inUse.has(host) || failedOn.hosts.has(host))
  return [model, minTokens, ...excluded.map(({ name }) => name)].join("\n")
}

/** What the failure of an attempt shows about the request and the host. */
const learn = (
  models: Models.Models,
  ticket: Ticket,
  host: Host.Host,
  { reason }: ProviderError,
  crashes: number
): void => {
  const { history, minTokens, model, tried } = ticket
  tried.add(host)
  history.failed.add(host)
  // A pool in this one may have counted it.
  if (Failures.isCrash(reason) && history.crashed.size === crashes) history.crashed.add(host)
  if (reason._tag === "NetworkError") for (const each of host.models.values()) Host.forgetModel(host, each)
  if (reason._tag === "ModelNotAvailable" && model !== undefined) models.setMissing(host, model)
  if (reason._tag === "ContextOverflow") ticket.minTokens = Math.max(minTokens, reason.promptTokens ?? 0)
}
