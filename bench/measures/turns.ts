import { Client } from "../client/Client.ts"
import type { SubjectName } from "../subjects/catalogue.ts"
import type { Bench, Figures, Row, Task } from "./Measure.ts"

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
      bench.progress(`${measure}: ${recorder.subject}, round ${round} of ${rounds}`)
      await recorder.attempt(async () => {
        const figures = await turn(recorder, round)
        if (figures && round > 0) recorder.add(figures)
      })
    }
  }
  return recorders.map((recorder) => recorder.row())
}

interface TaskTurns<Options> {
  readonly subjects: ReadonlyArray<SubjectName>
  readonly rounds: number
  /** None for a task that warms up by itself. */
  readonly warmUp?: Options
  readonly options: (subject: SubjectName) => Options
}

/** Runs a task in turns. Every subject keeps its process, which is warm after the first round. */
export async function runInTurns<Options>(
  bench: Bench,
  task: Task<Options>,
  { subjects, rounds, warmUp, options }: TaskTurns<Options>
): Promise<ReadonlyArray<Row>> {
  const clients = new Map<SubjectName, Promise<Client>>()
  for (const subject of subjects) {
    const starting = Client.start(subject, bench.serverUrl)
    clients.set(subject, starting)
    // All start at once; a failure is reported in the subject's turn.
    starting.catch(() => {})
  }
  await Promise.allSettled(clients.values())
  const rows = await takeTurns(bench, {
    measure: task.name,
    subjects,
    rounds,
    warmUp: warmUp !== undefined,
    turn: async ({ subject }, round) => {
      const client = await clients.get(subject)
      return client?.run(task, round === 0 && warmUp !== undefined ? warmUp : options(subject))
    }
  })
  for (const client of clients.values()) client.then((started) => started.stop()).catch(() => {})
  return rows
}

/** Records the figures and failures of one subject. */
export class Recorder<Name extends string> {
  readonly subject: Name
  readonly #figures: Record<string, Array<number>> = {}
  readonly #failures = new Set<string>()

  constructor(subject: Name) {
    this.subject = subject
  }

  add(figures: Figures): void {
    for (const [figure, value] of Object.entries(figures)) {
      if (!Number.isNaN(value)) (this.#figures[figure] ??= []).push(value)
    }
  }

  /** Records a failure of the work instead of passing it on. */
  async attempt(work: () => Promise<void>, prefix = ""): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.#failures.add(prefix + (error instanceof Error ? error.message : String(error)))
    }
  }

  row(): Row {
    return { subject: this.subject, figures: this.#figures, failures: [...this.#failures] }
  }
}
