import type { Subject } from "../subjects/catalogue.ts"

/** What one round measures of one subject. */
export type Figures = Readonly<Record<string, number>>

/** The part of a measure that runs in the subject's process. */
export type Task<Options> = (subject: Subject, options: Options, serverUrl: string) => Promise<Figures>

/** To add a measure, list it in `all.ts` and give it a section with its markers in bench/RESULTS.md. */
export interface Measure {
  /** For `--only` and for the markers. */
  readonly name: string
  readonly title: string
  readonly columns: ReadonlyArray<Column>
  readonly chart?: Chart
  readonly targets: ReadonlyArray<Target>
  readonly task?: Task<never>
  readonly run: (bench: Bench) => Promise<ReadonlyArray<Row>>
}

export interface Bench {
  readonly quick: boolean
  readonly serverUrl: string
  readonly progress: (text: string) => void
}

/** The figures of one subject, one value per round. */
export interface Row {
  readonly subject: string
  readonly figures: Readonly<Record<string, ReadonlyArray<number>>>
  readonly failures: ReadonlyArray<string>
}

export interface Column {
  readonly figure: string
  readonly title: string
  readonly digits: number
  /** The title of the table, if the measure has several. */
  readonly table?: string
}

/** Shows one figure of each subject as a bar. */
export interface Chart {
  readonly title: string
  readonly figure: string
  /** The best bar is the first one; the default is "low". */
  readonly best?: "low" | "high"
}

/** A limit for a median: what this library must reach, or a goal beyond that. */
export interface Target {
  readonly level: "must" | "goal"
  readonly subject: string
  readonly figure: string
  /** Names the figure if the measure has several. */
  readonly what?: string
  readonly atMost?: number
  readonly atLeast?: number
  /** The limit is a multiple of this subject's figure. */
  readonly times?: string
  /** The limit applies to the difference from this subject's figure. */
  readonly above?: string
  /** The limit applies to the difference from this other figure of the same subject. */
  readonly aboveFigure?: string
}
