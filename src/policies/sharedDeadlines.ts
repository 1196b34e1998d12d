/** Deadlines of a request that all of its attempts have together. */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { Deadlines } from "../CompletionRequest.ts"
import { ProviderError, Timeout } from "../ProviderError.ts"
import * as Values from "../values/objects.ts"
import type { Acquired } from "./attempt.ts"

export type Name = "firstChunk" | "total"

export interface Request {
  readonly deadlines?: Deadlines | undefined
}

export interface SharedDeadlines<out R> {
  /** How much of them is left, in milliseconds; `Infinity` without any. */
  readonly timeLeft: () => number
  /** The request is opened with what is left of them. The errors have the deadlines of the request. */
  readonly limit: <A>(acquired: Acquired<R, A>) => Acquired<void, A>
}

/** They count from now on. The request may be invalid. */
export const make = <R extends Request>(
  request: R,
  names: ReadonlyArray<Name> = ["total"],
  now: () => number
): SharedDeadlines<R> => {
  const startedAt = now()
  const limits = findLimits(request, names)
  if (limits.length === 0)
    return { timeLeft: () => Infinity, limit: (acquired) => ({ ...acquired, open: () => acquired.open(request) }) }

  const remaining = (): R => {
    const elapsed = now() - startedAt
    if (elapsed < 1) return request
    // Deadlines of zero are invalid.
    const left = limits.map(([name, limit]) => [name, Math.max(1, Duration.toMillis(limit) - elapsed)])
    return { ...request, deadlines: { ...request.deadlines, ...Object.fromEntries(left) } }
  }
  const withLimit = (error: ProviderError): ProviderError => {
    const { provider, reason, server } = error
    if (reason._tag !== "Timeout") return error
    const { description, kind } = reason
    const [, limit] = limits.find(([name]) => kinds[name] === kind) ?? []
    if (limit === undefined) return error
    return new ProviderError({ provider, server, reason: new Timeout({ kind, limit, description }) })
  }
  return {
    timeLeft: () => Math.min(...limits.map(([, limit]) => Duration.toMillis(limit))) - (now() - startedAt),
    limit: ({ open, toError = (error) => error, ...acquired }) => ({
      ...acquired,
      open: () => open(remaining()),
      toError: (error) => toError(withLimit(error))
    })
  }
}

const kinds: { readonly [K in Name]: Timeout["kind"] } = { firstChunk: "first-chunk", total: "total" }

const findLimits = (
  request: Request,
  names: ReadonlyArray<Name>
): ReadonlyArray<readonly [Name, Duration.Duration]> => {
  if (!Values.isRecord(request) || !Values.isRecord(request.deadlines)) return []
  const { deadlines } = request
  return names.flatMap((name) =>
    Option.match(Option.filter(Values.toDuration(deadlines[name]), Duration.isFinite), {
      onNone: () => [],
      onSome: (limit) => [[name, limit] as const]
    })
  )
}
