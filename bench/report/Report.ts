import type { Claim, Measure, Median, Row } from "../measures/Measure.ts"
import type { Environment } from "./environment.ts"

/** All that a run has found out; the raw figures are kept as they are. */
export interface Report {
  readonly environment: Environment
  readonly results: ReadonlyArray<Result>
}

export interface Result {
  readonly measure: string
  readonly rows: ReadonlyArray<Row>
  readonly verdicts: ReadonlyArray<Verdict>
}

export interface Verdict extends Pick<Claim, "level" | "says"> {
  /** Null where a figure is missing. */
  readonly value: number | null
  readonly outcome: "met" | "missed" | "not measured"
}

export function resultOf(measure: Measure, rows: ReadonlyArray<Row>): Result {
  return { measure: measure.name, rows, verdicts: measure.claims.map((claim) => judge(claim, medianIn(rows))) }
}

export function medianIn(rows: ReadonlyArray<Row>): Median {
  return (subject, figure) => rows.find((row) => row.subject === subject)?.figures[figure]?.median ?? Number.NaN
}

/** A row without figures, or a failure of our own: what must never pass unseen, however slow the machine. */
export function isBroken(row: Row): boolean {
  return Object.keys(row.figures).length === 0 || (row.subject.startsWith("ours") && row.failures.length > 0)
}

function judge({ level, says, bound, limit, value }: Claim, median: Median): Verdict {
  const found = value(median)
  if (Number.isNaN(found)) return { level, says, value: null, outcome: "not measured" }
  const met = bound === "at most" ? found <= limit : found >= limit
  return { level, says, value: found, outcome: met ? "met" : "missed" }
}
