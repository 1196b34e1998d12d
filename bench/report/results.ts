// The figures of one measure and what they mean.
import { median } from "../statistics.ts"
import { measures } from "../measures/all.ts"
import type { Measure, Row, Target } from "../measures/Measure.ts"

export interface Result {
  readonly measure: string
  /** The day on which it was measured. */
  readonly date: string
  /** The machine and the versions. */
  readonly environment: string
  readonly rows: ReadonlyArray<Row>
}

export interface Verdict {
  readonly target: Target
  /** NaN if a figure is missing. */
  readonly value: number
  readonly outcome: "met" | "missed" | "not measured"
}

export function measureNamed(name: string): Measure {
  const measure = measures.find((candidate) => candidate.name === name)
  if (measure === undefined) throw new Error(`no measure ${name}; there are ${measures.map((each) => each.name)}`)
  return measure
}

/** The median of a subject's figure, NaN if it was not measured. */
export type Median = (subject: string, figure: string) => number

export function medianIn(rows: ReadonlyArray<Row>): Median {
  return (subject, figure) => median(rows.find((row) => row.subject === subject)?.figures[figure] ?? [])
}

export function verdictsOf({ measure, rows }: Result): ReadonlyArray<Verdict> {
  return measureNamed(measure).targets.map((target) => judge(target, medianIn(rows)))
}

/** A subject without any figure, or a failure of this library: an error of the benchmark, however slow the machine. */
export function isBroken({ rows }: Result): boolean {
  const failed = ({ subject, figures, failures }: Row) =>
    Object.keys(figures).length === 0 || (subject.startsWith("ours") && failures.length > 0)
  return rows.length === 0 || rows.some(failed)
}

function judge(target: Target, median: Median): Verdict {
  const { subject, figure, times, above, aboveFigure, atMost = Infinity, atLeast = -Infinity } = target
  const own = median(subject, figure)
  const base = above === undefined && aboveFigure === undefined ? 0 : median(above ?? subject, aboveFigure ?? figure)
  const value = times === undefined ? own - base : own / median(times, figure)
  if (Number.isNaN(value)) return { target, value, outcome: "not measured" }
  return { target, value, outcome: value <= atMost && value >= atLeast ? "met" : "missed" }
}
