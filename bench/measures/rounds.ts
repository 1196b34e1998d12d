import { Client } from "../client/Client.ts"
import type { Figures, Task } from "../client/Task.ts"
import { summarize } from "../harness/statistics.ts"
import type { SubjectName } from "../subjects/catalogue.ts"
import type { Bench, Row } from "./Measure.ts"

interface Plan<Options> {
  readonly subjects: ReadonlyArray<SubjectName>
  readonly rounds: number
  /** None for a task that warms up by itself. */
  readonly warmUp?: (subject: SubjectName) => Options
  readonly options: (subject: SubjectName) => Options
}

/** Gives every subject a warm process, then every subject its turn in each round: what slows the machine slows all. */
export async function measureInRounds<Options>(
  bench: Bench,
  task: Task<Options>,
  plan: Plan<Options>
): Promise<ReadonlyArray<Row>> {
  bench.progress(`${task.name}: starting`)
  const runs = plan.subjects.map((subject) => new Run(subject))
  const clients = new Map<SubjectName, Client>()
  const start = async (subject: SubjectName) => void clients.set(subject, await Client.start(subject, bench.serverUrl))
  await Promise.all(runs.map((run) => run.attempt(() => start(run.subject))))

  const takeTurns = async (what: string, optionsOf: (subject: SubjectName) => Options, counts: boolean) => {
    for (const run of runs) {
      bench.progress(`${task.name}: ${run.subject}, ${what}`)
      await run.attempt(async () => {
        const figures = await clients.get(run.subject)?.run(task, optionsOf(run.subject))
        if (counts) run.add(figures)
      })
    }
  }
  if (plan.warmUp) await takeTurns("warm-up", plan.warmUp, false)
  for (let round = 1; round <= plan.rounds; round++) {
    await takeTurns(`round ${round} of ${plan.rounds}`, plan.options, true)
  }
  for (const client of clients.values()) client.stop()
  return runs.map((run) => run.row())
}

/** The figures of one subject, round by round. */
export class Run<Subject extends string> {
  readonly subject: Subject
  readonly #rounds = new Map<string, Array<number>>()
  readonly #failures = new Set<string>()

  constructor(subject: Subject) {
    this.subject = subject
  }

  add(figures: Figures = {}): void {
    for (const [figure, value] of Object.entries(figures)) {
      if (Number.isNaN(value)) continue
      this.#rounds.set(figure, [...(this.#rounds.get(figure) ?? []), value])
    }
  }

  /** Does a piece of work; a failure becomes part of the row. */
  async attempt(work: () => Promise<void>, what = ""): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.#failures.add(what + (error instanceof Error ? error.message : String(error)))
    }
  }

  row(): Row {
    const figures = Object.fromEntries([...this.#rounds].map(([figure, rounds]) => [figure, summarize(rounds)]))
    return { subject: this.subject, figures, failures: [...this.#failures] }
  }
}
