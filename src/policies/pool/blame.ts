/**
 * Requests that fail in the same way on several hosts. The request is to blame then and none of the hosts, whatever the status: what
 * a server calls its own fault may be a template, a schema or a text that it cannot process.
 */
import * as Hash from "effect/Hash"
import * as Redacted from "effect/Redacted"
import type { ProviderErrorReason } from "../../ProviderError.ts"
import * as Json from "../../values/json.ts"
import type * as Breaker from "./breaker.ts"
import type * as Host from "./host.ts"

export interface Blame {
  /** Whether the request has failed in this way on another host. If so, the failures that were counted are forgiven. */
  readonly isOfRequest: (request: object, reason: ProviderErrorReason, host: Host.Host, now: number) => boolean
  /** A failure was counted that the request may turn out to be to blame for. */
  readonly suspect: (request: object, reason: ProviderErrorReason, host: Host.Host, now: number) => void
  /** The hosts on which the request has failed. Another one shows who is to blame. */
  readonly failedOn: (request: object, now: number) => ReadonlySet<Host.Host>
}

interface Case {
  readonly request: string
  readonly hosts: Set<Host.Host>
  /** The failures that were counted. */
  counted: Array<{ readonly host: Host.Host; readonly failure: Breaker.Failure }>
  at: number
}

/** Failures count for their hosts again after this time without another one: the hosts may have failed for a reason of their own. */
const memoryMillis = 30_000

const maxCases = 256

export const make = (): Blame => {
  /** The oldest first. */
  const cases = new Map<string, Case>()

  const expire = (now: number): void => {
    for (const [key, { at }] of cases) {
      if (now - at < memoryMillis && cases.size <= maxCases) return
      cases.delete(key)
    }
  }

  const find = (request: object, reason: ProviderErrorReason, now: number): Case | undefined => {
    const way = wayOf(reason)
    if (way === undefined) return undefined
    const key = `${identityOf(request)} ${way}`
    const found = cases.get(key) ?? { request: identityOf(request), hosts: new Set(), counted: [], at: now }
    found.at = now
    cases.delete(key)
    cases.set(key, found)
    expire(now)
    return found
  }

  return {
    isOfRequest: (request, reason, host, now) => {
      const found = find(request, reason, now)
      if (found === undefined) return false
      found.hosts.add(host)
      if (found.hosts.size < 2) return false
      for (const { failure, host } of found.counted) host.breaker.forgive(failure)
      found.counted = []
      return true
    },
    suspect: (request, reason, host, now) => {
      const failure = host.breaker.lastFailure()
      if (failure !== undefined) find(request, reason, now)?.counted.push({ host, failure })
    },
    failedOn: (request, now) => {
      expire(now)
      if (cases.size === 0) return none
      const identity = identityOf(request)
      return new Set(
        [...cases.values()].filter(({ request }) => request === identity).flatMap(({ hosts }) => Array.from(hosts))
      )
    }
  }
}

const none: ReadonlySet<Host.Host> = new Set()

/** How an answer failed. A connection that fails and a deadline that passes say nothing about the request. */
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
