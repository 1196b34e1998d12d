/** What a failed request shows about its host, and about itself. */
import * as Hash from "effect/Hash"
import * as Redacted from "effect/Redacted"
import type { ProviderError, ProviderErrorReason, Timeout } from "../../ProviderError.ts"
import * as Json from "../../values/json.ts"
import type * as Breaker from "./breaker.ts"
import type * as Host from "./host.ts"
import type { Prompt } from "./prompt.ts"

/** Whether the breaker of the host counts the failure. It does not count busy servers and wrong requests. */
export const isOfHost = (reason: ProviderErrorReason): boolean => {
  switch (reason._tag) {
    case "RateLimited":
    case "ContextOverflow":
    case "InvalidRequest":
    case "InvalidAnswer":
    case "ModelNotAvailable":
    case "Unsupported":
    case "LineTooLong":
      return false
    case "ApiError":
      return reason.status >= 500 ? reason.retryAfter === undefined : reason.status < 400
    // It includes the time of the consumer.
    case "Timeout":
      return reason.kind !== "total"
    default:
      return true
  }
}

/** Whether the request may have hung: the server accepted it and sent nothing. The model may be to blame, or the host. */
export const isHang = (reason: ProviderErrorReason): reason is Timeout =>
  reason._tag === "Timeout" && reason.kind === "first-chunk"

/** Whether another host may answer, if the request failed before its completion committed. Nothing was generated then. */
export const isForAnotherHost = (reason: ProviderErrorReason): boolean =>
  reason._tag === "NetworkError" ||
  // This host is busy, or it is starting.
  reason._tag === "RateLimited" ||
  (reason._tag === "ApiError" && reason.status === 503) ||
  reason._tag === "ModelNotAvailable" ||
  (reason._tag === "ContextOverflow" && reason.promptTokens !== undefined)

/** Whether the request may have taken the host down: an established connection was closed. */
export const isCrash = (reason: ProviderErrorReason): boolean =>
  reason._tag === "NetworkError" && (reason.kind === "reset" || reason.kind === "closed")

/** The error to report of several: a retryable one, or the last. */
export const report = (errors: ReadonlyArray<ProviderError>): ProviderError | undefined =>
  errors.findLast(({ isRetryable }) => isRetryable) ?? errors.at(-1)

/**
 * Requests that fail in the same way on several hosts. The request is to blame then and none of the hosts, whatever the status: what
 * a server calls its own fault may be a template, a schema or a text that it cannot process.
 */
export interface Blame {
  /** Whether the request has failed in this way on another host. If so, the failures that were counted are forgiven. */
  readonly isOfRequest: (sent: Failed, reason: ProviderErrorReason, host: Host.Host, now: number) => boolean
  /** A failure was counted that the request may turn out to be to blame for. */
  readonly suspect: (sent: Failed, reason: ProviderErrorReason, host: Host.Host, now: number) => void
  /** The hosts on which the request has failed of late. Another one shows who is to blame. `characters`: of its prompt. */
  readonly failedOn: (request: object, characters: number, now: number) => FailedOn
}

/** A request that failed. */
export interface Failed {
  readonly request: object
  readonly prompt: Prompt
}

export interface FailedOn {
  readonly hosts: ReadonlySet<object>
  /** It has failed in the same way on two of them, so another one would fail too. */
  readonly isToBlame: boolean
}

interface Case {
  readonly request: string
  /** Of the prompt: requests of other lengths need not be compared. */
  readonly characters: number
  readonly hosts: Set<Host.Host>
  /** The failures that were counted. */
  counted: Array<{ readonly host: Host.Host; readonly failure: Breaker.Failure }>
  at: number
}

/** Failures count for their hosts again after this time without another one: the hosts may have failed for a reason of their own. */
const memoryMillis = 30_000

const maxCases = 256

export const makeBlame = (): Blame => {
  /** The oldest first. */
  const cases = new Map<string, Case>()

  const expire = (now: number): void => {
    for (const [key, { at }] of cases) {
      if (now - at < memoryMillis && cases.size <= maxCases) return
      cases.delete(key)
    }
  }

  const find = ({ prompt, request }: Failed, reason: ProviderErrorReason, now: number): Case | undefined => {
    const way = wayOf(reason)
    if (way === undefined) return undefined
    const identity = identityOf(request)
    const key = `${identity} ${way}`
    const found = cases.get(key) ?? {
      request: identity,
      characters: prompt.characters,
      hosts: new Set(),
      counted: [],
      at: now
    }
    found.at = now
    cases.delete(key)
    cases.set(key, found)
    expire(now)
    return found
  }

  return {
    isOfRequest: (sent, reason, host, now) => {
      const found = find(sent, reason, now)
      if (found === undefined) return false
      found.hosts.add(host)
      if (found.hosts.size < 2) return false
      for (const { failure, host } of found.counted) host.breaker.forgive(failure)
      found.counted = []
      return true
    },
    suspect: (sent, reason, host, now) => {
      const failure = host.breaker.lastFailure()
      if (failure !== undefined) find(sent, reason, now)?.counted.push({ host, failure })
    },
    failedOn: (request, characters, now) => {
      expire(now)
      const similar = [...cases.values()].filter((one) => one.characters === characters)
      if (similar.length === 0) return none
      const identity = identityOf(request)
      const own = similar.filter(({ request }) => request === identity)
      return {
        hosts: new Set(own.flatMap(({ hosts }) => Array.from(hosts))),
        isToBlame: own.some(({ hosts }) => hosts.size > 1)
      }
    }
  }
}

const none: FailedOn = { hosts: new Set(), isToBlame: false }

/** How a request failed. A connection that fails and a deadline that passes say nothing about the request. */
const wayOf = (reason: ProviderErrorReason): string | undefined => {
  switch (reason._tag) {
    case "ApiError":
    case "StreamError":
      // Numbers, addresses and ids differ from host to host.
      return `${reason.message} ${Redacted.value(reason.detail ?? noText)
        .slice(0, 500)
        .replace(/\S*\d\S*/g, "#")}`
    case "ParseError":
    case "StreamTruncated":
      return reason.message
    default:
      return undefined
  }
}

const noText = Redacted.make("")

/** What a request asks for, however often it is sent. Its deadlines are not part of it: they are what is left of them. */
const identityOf = (request: object): string => {
  const json = Json.stringify(request, (key, value) =>
    key === "deadlines" ? undefined : ArrayBuffer.isView(value) ? sample(value) : value
  )
  return json === undefined ? "" : `${Hash.string(json)}:${json.length}`
}

/** Images are large. */
const sample = ({ buffer, byteLength, byteOffset }: ArrayBufferView): string =>
  `${byteLength} ${new Uint8Array(buffer, byteOffset, Math.min(byteLength, 4096)).join()}`
