import type { Task } from "../client/Task.ts"
import type { Summary } from "../harness/statistics.ts"

export interface Bench {
  readonly quick: boolean
  readonly serverUrl: string
  readonly progress: (text: string) => void
}

export interface Measure {
  /** For `--only`. */
  readonly name: string
  readonly title: string
  readonly tables: ReadonlyArray<FiguresTable>
  readonly claims: ReadonlyArray<Claim>
  readonly tasks: ReadonlyArray<Task<never>>
  readonly run: (bench: Bench) => Promise<ReadonlyArray<Row>>
}

export interface FiguresTable {
  /** What all its columns have in common, if there is more than one table. */
  readonly title?: string
  readonly columns: ReadonlyArray<Column>
}

export interface Column {
  readonly figure: string
  readonly title: string
  readonly digits: number
}

export interface Row {
  readonly subject: string
  readonly figures: Readonly<Record<string, Summary>>
  readonly failures: ReadonlyArray<string>
}

/** What is promised of this library: a must, or an aim beyond it. */
export interface Claim {
  readonly level: "must" | "aim"
  readonly says: string
  readonly bound: "at most" | "at least"
  readonly limit: number
  /** NaN where a figure is missing. */
  readonly value: (median: Median) => number
}

/** The median of a subject's figure, NaN where it was not measured. */
export type Median = (subject: string, figure: string) => number

interface RatioClaim extends Pick<Claim, "level" | "bound" | "limit"> {
  readonly subject: string
  readonly figure: string
  readonly against: string
  /** Said of the figure where the measure has several. */
  readonly what?: string
}

/** The most usual claim: so many times the figure of another subject in the same run. */
export function ratioClaim({ subject, figure, against, what, ...claim }: RatioClaim): Claim {
  const whose = what === undefined ? subject : `${subject}, ${what}`
  return {
    ...claim,
    says: `${whose}: ${claim.bound} ${claim.limit} × ${against}`,
    value: (median) => median(subject, figure) / median(against, figure)
  }
}
