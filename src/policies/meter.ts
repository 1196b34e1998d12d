/** What is known of the tokens of a completion, however it ends. */
import * as Arr from "effect/Array"
import type * as Effect from "effect/Effect"
import type { FinalChunk, Usage } from "../StreamingChunk.ts"
import type { Completion } from "./attempt.ts"
import * as Observed from "./observed.ts"

export interface Metered {
  readonly outcome: Observed.Outcome
  /** If it had come. */
  readonly final: FinalChunk | undefined
  /** Those that the server reported, or of a completion that did not end those of its prompt, if it reported progress. */
  readonly usage: Usage
  /** How many chunks came before the final one. */
  readonly chunks: number
}

/** The completion, of which this is reported once, whatever ends it. */
export const make = (chunks: Completion, onEnd: (metered: Metered) => Effect.Effect<void>): Completion =>
  Observed.make(chunks, () => {
    let final: FinalChunk | undefined
    let promptTokens: number | undefined
    let count = 0
    return {
      add: (chunks) => {
        const last = Arr.lastNonEmpty(chunks)
        count += chunks.length
        if (last.isFinal) {
          final = last
          count--
        } else if (last.promptProgress !== undefined) {
          promptTokens = last.promptProgress.processed
          count -= chunks.length
        }
      },
      end: (outcome) =>
        onEnd({
          outcome,
          final,
          chunks: count,
          usage: final?.usage ?? (promptTokens === undefined ? {} : { promptTokens })
        })
    }
  })

/** The sum, as far as it is known: of a completion without a report, a token for each chunk. */
export const tokensOf = ({ chunks, final, usage }: Metered): number =>
  (usage.promptTokens ?? 0) + (usage.completionTokens ?? (final?.usage === undefined ? chunks : 0))
