/** Deadlines of a request that all of its attempts have together. */
import * as Duration from "effect/Duration"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import type { Deadlines } from "../CompletionRequest.ts"
import { ProviderError, Timeout } from "../ProviderError.ts"
import * as Checked from "../values/checked.ts"
import * as Values from "../values/objects.ts"

/** The deadlines that may be shared, and the kinds of their timeouts. */
const kinds = { firstChunk: "first-chunk", total: "total" } as const

export type Name = keyof typeof kinds

export interface Request {
  readonly deadlines?: Deadlines | undefined
}

export interface SharedDeadlines<out R> {
  /** Whether the request has any. */
  readonly exist: boolean
  /** The kind and the milliseconds of the one that passes first. */
  readonly shortest: { readonly kind: (typeof kinds)[Name]; readonly millis: number } | undefined
  /** How much of them is left, in milliseconds; `Infinity` without any. */
  readonly timeLeft: () => number
  /** The request with what is left of them. */
  readonly remaining: () => R
  /** The error of an attempt, with the deadlines of the request in place of what was left of them. */
  readonly toError: (error: ProviderError) => ProviderError
}

/** They count from now on. The request may be invalid. */
export const make = <R extends Request>(
  request: R,
  names: ReadonlyArray<Name>,
  now: () => number
): SharedDeadlines<R> => {
  const limits = findLimits(request, names)
  const [first] = limits.toSorted((a, b) => a.millis - b.millis)
  if (first === undefined) {
    return {
      exist: false,
      shortest: undefined,
      timeLeft: () => Infinity,
      remaining: () => request,
      toError: identity
    }
  }
  const startedAt = now()
  return {
    exist: true,
    shortest: { kind: kinds[first.name], millis: first.millis },
    timeLeft: () => first.millis - (now() - startedAt),
    remaining: () => {
      const elapsed = now() - startedAt
      if (elapsed < 1) return request
      // Deadlines of zero are invalid.
      const left = limits.map(({ millis, name }) => [name, Math.max(1, millis - elapsed)])
      return Checked.update(request, { deadlines: { ...request.deadlines, ...Object.fromEntries(left) } })
    },
    toError: (error) => {
      const { provider, reason, server } = error
      if (reason._tag !== "Timeout") return error
      const { description, kind } = reason
      const limit = limits.find(({ name }) => kinds[name] === kind)
      if (limit === undefined) return error
      const timeout = new Timeout({ kind, limit: Duration.millis(limit.millis), description })
      return new ProviderError({ provider, server, reason: timeout })
    }
  }
}

const findLimits = (request: Request, names: ReadonlyArray<Name>) => {
  if (!Values.isRecord(request) || !Values.isRecord(request.deadlines)) return []
  const { deadlines } = request
  return names.flatMap((name) => {
    const millis = Option.match(Values.toDuration(deadlines[name]), {
      onNone: () => Infinity,
      onSome: Duration.toMillis
    })
    return millis < Infinity ? [{ name, millis }] : []
  })
}
