/** The line after an answer. */
import * as Duration from "effect/Duration"
import type { FinalChunk } from "../StreamingChunk.ts"

export type FinalFields = Pick<FinalChunk, "model" | "finishReason" | "usage" | "timings">

/** Times of events, in milliseconds. */
export interface Times {
  readonly startedAt: number
  /** The first text, or the first thinking. */
  readonly firstAt: number | undefined
  readonly endedAt: number
}

/** The model, its tokens and its speed. Numbers that the server did not report are left out. */
export const describe = (server: string, { finishReason, model, timings, usage }: FinalFields, times: Times): string =>
  [
    `${model} on ${server}`,
    describeTokens(usage),
    times.firstAt === undefined ? undefined : `first after ${((times.firstAt - times.startedAt) / 1000).toFixed(2)} s`,
    describeSpeed(usage?.completionTokens, timings?.completion, times),
    finishReason === "stop" ? undefined : `ended by ${finishReason}`
  ]
    .filter((part) => part !== undefined)
    .join(" · ")

const describeTokens = (usage: FinalChunk["usage"]): string | undefined => {
  if (usage?.completionTokens === undefined) return undefined
  const prompt = usage.promptTokens === undefined ? "" : ` after ${usage.promptTokens} of the prompt`
  return `${usage.completionTokens} tokens${prompt}`
}

/** An answer that took less time arrived all at once, so its speed is unknown. */
const shortestMeasured = 100

/** Uses the time that the server reported. With our own clock, counting starts at the first token. */
const describeSpeed = (
  tokens: number | undefined,
  generating: Duration.Duration | undefined,
  { endedAt, firstAt }: Times
): string | undefined => {
  if (tokens === undefined || firstAt === undefined) return undefined
  if (generating !== undefined) return perSecond(tokens, Duration.toMillis(generating))
  return endedAt - firstAt < shortestMeasured ? undefined : perSecond(tokens - 1, endedAt - firstAt)
}

const perSecond = (tokens: number, millis: number): string | undefined =>
  millis > 0 ? `${((tokens * 1000) / millis).toFixed(1)} tokens/s` : undefined
