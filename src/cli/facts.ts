/** The line below an answer. */
import * as Duration from "effect/Duration"
import type { StreamingChunk } from "../StreamingChunk.ts"

export type FinalChunk = Pick<StreamingChunk, "model" | "finishReason" | "usage" | "timings">

/** When things happened, in milliseconds. */
export interface Times {
  readonly asked: number
  /** The first text or thought. */
  readonly first: number | undefined
  readonly ended: number
}

/** Which model answered, what it cost and how fast it was; what the server did not count is left out. */
export const describe = (server: string, { finishReason, model, timings, usage }: FinalChunk, times: Times): string =>
  [
    `${model} on ${server}`,
    describeTokens(usage),
    times.first === undefined ? undefined : `first after ${((times.first - times.asked) / 1000).toFixed(2)} s`,
    describeSpeed(usage?.completionTokens, timings?.completion, times),
    finishReason === "stop" ? undefined : `ended by ${finishReason}`
  ]
    .filter((fact) => fact !== undefined)
    .join(" · ")

const describeTokens = (usage: StreamingChunk["usage"]): string | undefined => {
  if (usage?.completionTokens === undefined) return undefined
  const prompt = usage.promptTokens === undefined ? "" : ` after ${usage.promptTokens} of the prompt`
  return `${usage.completionTokens} tokens${prompt}`
}

/** What came faster than this came in one piece: its speed was not seen. */
const shortestMeasured = 100

/** By the server's clock where it tells; by ours, the first token is where the counting begins. */
const describeSpeed = (
  tokens: number | undefined,
  generating: Duration.Duration | undefined,
  { ended, first }: Times
): string | undefined => {
  if (tokens === undefined || first === undefined) return undefined
  if (generating !== undefined) return perSecond(tokens, Duration.toMillis(generating))
  return ended - first < shortestMeasured ? undefined : perSecond(tokens - 1, ended - first)
}

const perSecond = (tokens: number, millis: number): string | undefined =>
  millis > 0 ? `${((tokens * 1000) / millis).toFixed(1)} tokens/s` : undefined
