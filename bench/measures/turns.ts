import { startClient } from "../client/Client.ts"
import type { SubjectName } from "../subjects/catalogue.ts"
import type { Bench, Figures, Measure, Row, Task } from "./Measure.ts"

interface Turns<Name extends string> {
  readonly measure: string
  readonly subjects: ReadonlyArray<Name>
  readonly rounds: number
  /** Adds a round 0 whose figures do not count. */
  readonly warmUp?: boolean
  readonly turn: (recorder: Recorder<Name>, round: number) => Promise<Figures | void>
}

/** Gives every subject one turn per round, so that a slow minute of the machine affects all subjects. */
export async function takeTurns<Name extends string>(
  bench: Bench,
  { measure, subjects, rounds, warmUp = false, turn }: Turns<Name>
): Promise<ReadonlyArray<Row>> {
  const recorders = subjects.map((subject) => new Recorder(subject))
  for (let round = warmUp ? 0 : 1; round <= rounds; round++) {
    for (const recorder of recorders) {
      const { subject } = recorder
      bench.progress(`${measure}: ${subject}, round ${round} of ${rounds}`)
      const current = round === 0 ? new Recorder(subject) : recorder
      await current.attempt(() => turn(current, round))
    }
  }
  return recorders
}

interface TaskMeasure<Options> extends Omit<Measure, "task" | "run"> {
  readonly subjects: ReadonlyArray<SubjectName>
  readonly rounds: number
  /** None for a task that warms up by itself. */
  readonly warmUp?: (quick: boolean) => Options
  readonly options: (quick: boolean, subject: SubjectName) => Options
  readonly run: Task<Options>["run"]
}

/** The usual measure: one task, run in turns. Every subject keeps its process, which is warm after the first round. */
export function taskMeasure<Options>(measure: TaskMeasure<Options>): Measure & { readonly task: Task<Options> } {
  const { name, subjects, rounds, warmUp, options, run, ...page } = measure
  const task = { name, run }
  const runInTurns = async (bench: Bench) => {
    const { quick, serverUrl } = bench
    const starting = subjects.map(async (subject) => [subject, await startClient(subject, serverUrl)] as const)
    const started = await Promise.allSettled(starting)
    const clients = new Map(started.flatMap((result) => (result.status === "fulfilled" ? [result.value] : [])))
    const turn = async ({ subject }: Recorder<SubjectName>, round: number) => {
      const loadOf = round === 0 && warmUp ? warmUp : options
      return clients.get(subject)?.run(task, loadOf(quick, subject))
    }
    const turns = { measure: name, subjects, rounds: quick ? 1 : rounds, warmUp: warmUp !== undefined, turn }
    const rows = await takeTurns(bench, turns)
    for (const client of clients.values()) client.stop()
    return rows
  }
  return { ...page, name, task, run: runInTurns }
}

/** The row of a subject while it is measured. */
export class Recorder<Name extends string> implements Row {
  readonly subject: Name
  readonly figures: Record<string, Array<number>> = {}
  readonly failures: Array<string> = []

  constructor(subject: Name) {
    this.subject = subject
  }

  /** Records the figures of the work, or its failure. */
  async attempt(work: () => Promise<Figures | void>, prefix = ""): Promise<void> {
    try {
      for (const [figure, value] of Object.entries((await work()) ?? {})) {
        if (!Number.isNaN(value)) (this.figures[figure] ??= []).push(value)
      }
    } catch (error) {
      const failure = prefix + (error instanceof Error ? error.message : String(error))
      if (!this.failures.includes(failure)) this.failures.push(failure)
    }
  }
}
