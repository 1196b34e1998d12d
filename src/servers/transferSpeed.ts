/** How fast a transfer is, from its reports and the monotonic clock. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { ModelProgress } from "../ModelProgress.ts"
import * as Monotonic from "../values/monotonic.ts"

/** The time constant of the average, in milliseconds: what is much older has no weight. */
const decayMillis = 3000

interface State {
  readonly digest: string | undefined
  readonly bytes: number
  readonly at: number
  readonly speed: number | undefined
}

/** Adds `bytesPerSecond`. What was transferred before the first report of a layer is not counted. */
export const add = <E>(reports: Stream.Stream<ModelProgress, E>): Stream.Stream<ModelProgress, E> =>
  Stream.mapAccumEffect(
    reports,
    (): State => ({ digest: undefined, bytes: 0, at: 0, speed: undefined }),
    (state, report) =>
      Effect.map(Monotonic.now, (now) => {
        const next = advance(state, report, now)
        const { speed } = next
        return [next, [speed === undefined || report.isFinal ? report : { ...report, bytesPerSecond: speed }]]
      })
  )

const advance = (state: State, { layer }: ModelProgress, now: number): State => {
  if (layer === undefined) return state
  const { completedBytes: bytes, digest } = layer
  const elapsed = now - state.at
  if (digest !== state.digest || bytes < state.bytes) return { ...state, digest, bytes, at: now }
  // Several reports in one moment are measured together.
  if (elapsed < 1) return state
  const current = ((bytes - state.bytes) / elapsed) * 1000
  const weight = 1 - Math.exp(-elapsed / decayMillis)
  const speed = state.speed === undefined ? current : state.speed + (current - state.speed) * weight
  return { digest, bytes, at: now, speed }
}
