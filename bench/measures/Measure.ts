import { messageOf, start, type Program } from "../process.ts"
import type { Subject, SubjectName } from "../subjects/catalogue.ts"

/** To add a measure, list it in `all.ts` and give it a section with its markers in bench/RESULTS.md. */
export interface Measure {
  /** For `--only` and for the markers. */
  readonly name: string
  readonly title: string
  readonly columns: ReadonlyArray<Column>
  readonly chart?: Chart
  readonly targets: ReadonlyArray<Target>
  readonly subjects: ReadonlyArray<string>
  readonly rounds: number
  /** Adds a round 0 whose figures do not count. */
  readonly warmUp?: boolean
  /** The part that runs in the process of a subject. */
  readonly task?: Task<never>
  /** Starts what the turns share. */
  readonly open: (bench: Bench) => Promise<Turns> | Turns
}

/** What one round measures of one subject. */
export type Figures = Readonly<Record<string, number>>

export type Task<Load> = (subject: Subject, load: Load, serverUrl: string) => Promise<Figures>

export interface Bench {
  readonly quick: boolean
  readonly serverUrl: string
  /** The program of LiteLLM, if it is measured. */
  readonly litellm?: string | undefined
  readonly progress: (text: string) => void
}

export interface Turns {
  /** Figures that were yielded before a failure count. */
  readonly turn: (subject: string, round: number) => AsyncIterable<Figures>
  readonly close?: () => Promise<void>
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

export const startClient = (subject: string, serverUrl: string, flags: ReadonlyArray<string> = []): Promise<Program> =>
  start("client/main.ts", [subject, serverUrl], ["--expose-gc", ...flags])

export const runTask = async ({ ask }: Program, measure: string, load: unknown): Promise<Figures> =>
  (await ask({ measure, load })) as Figures

/** What stays for all rounds. Each starts when it is first needed. */
export function keep<A extends { readonly stop: () => void }>(begin: (key: string) => Promise<A>) {
  const begun = new Map<string, Promise<A>>()
  const get = (key: string): Promise<A> => {
    const one = begun.get(key) ?? begin(key)
    begun.set(key, one)
    return one
  }
  const close = async (): Promise<void> => {
    for (const each of await Promise.allSettled(begun.values())) if (each.status === "fulfilled") each.value.stop()
  }
  return { get, close }
}

interface TaskMeasure<Load> extends Omit<Measure, "open" | "task" | "subjects" | "warmUp"> {
  readonly subjects: ReadonlyArray<SubjectName>
  readonly task: Task<Load>
  /** None for a task that warms up by itself. */
  readonly warmUp?: (quick: boolean) => Load
  readonly load: (quick: boolean, subject: SubjectName) => Load
}

/** The usual measure: one task, run in turns. Every subject keeps its process, which is warm after the first round. */
export function taskMeasure<Load>({ load, warmUp, ...measure }: TaskMeasure<Load>): Measure {
  const open = ({ quick, serverUrl }: Bench): Turns => {
    const clients = keep((subject) => startClient(subject, serverUrl))
    const turn = async function* (subject: string, round: number) {
      const loadOf = round === 0 && warmUp ? warmUp : load
      yield runTask(await clients.get(subject), measure.name, loadOf(quick, subject as SubjectName))
    }
    return { turn, close: clients.close }
  }
  return { ...measure, warmUp: warmUp !== undefined, open }
}

/** Gives every subject one turn per round, so that a slow minute of the machine affects all subjects. */
export async function runMeasure(measure: Measure, bench: Bench): Promise<ReadonlyArray<Row>> {
  const rows = measure.subjects.map((subject) => ({ subject, figures: {}, failures: [] as Array<string> }))
  const rounds = bench.quick ? 1 : measure.rounds
  const { close, turn } = await measure.open(bench)
  for (let round = measure.warmUp === true ? 0 : 1; round <= rounds; round++) {
    for (const row of rows) {
      bench.progress(`${measure.name}: ${row.subject}, round ${round} of ${rounds}`)
      await record(turn(row.subject, round), round === 0 ? { figures: {}, failures: [] } : row)
    }
  }
  await close?.()
  // What was not asked for has neither.
  return rows.filter(({ failures, figures }) => failures.length > 0 || Object.keys(figures).length > 0)
}

async function record(
  turn: AsyncIterable<Figures>,
  { failures, figures }: { readonly figures: Record<string, Array<number>>; readonly failures: Array<string> }
): Promise<void> {
  try {
    for await (const measured of turn) {
      for (const [figure, value] of Object.entries(measured)) {
        if (!Number.isNaN(value)) (figures[figure] ??= []).push(Number(value.toPrecision(6)))
      }
    }
  } catch (error) {
    const failure = messageOf(error)
    if (!failures.includes(failure)) failures.push(failure)
  }
}
