import { startClient } from "../client/Client.ts"
import type { SubjectName } from "../subjects/catalogue.ts"
import type { Bench, Figures, Measure, Row, Task } from "./Measure.ts"

interface Turns<Name extends string> {
  readonly measure: string
  readonly subjects: ReadonlyArray<Name>
  readonly rounds: number
  /** Adds a round 0 whose figures do not count. */
  readonly warmUp?: boolean
  /** Figures that were yielded before a failure count. */
  readonly turn: (subject: Name, round: number) => AsyncIterable<Figures>
}

/** Gives every subject one turn per round, so that a slow minute of the machine affects all subjects. */
export async function takeTurns<Name extends string>(
  bench: Bench,
  { measure, subjects, rounds, warmUp = false, turn }: Turns<Name>
): Promise<ReadonlyArray<Row>> {
  const rows = subjects.map((subject) => ({ subject, figures: {}, failures: [] }))
  for (let round = warmUp ? 0 : 1; round <= rounds; round++) {
    for (const row of rows) {
      const { subject } = row
      bench.progress(`${measure}: ${subject}, round ${round} of ${rounds}`)
      await record(turn(subject, round), round === 0 ? { figures: {}, failures: [] } : row)
    }
  }
  return rows
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
    const failure = error instanceof Error ? error.message : String(error)
    if (!failures.includes(failure)) failures.push(failure)
  }
}

interface TaskMeasure<Options> extends Omit<Measure, "task" | "run"> {
  readonly task: Task<Options>
  readonly subjects: ReadonlyArray<SubjectName>
  readonly rounds: number
  /** None for a task that warms up by itself. */
  readonly warmUp?: (quick: boolean) => Options
  readonly options: (quick: boolean, subject: SubjectName) => Options
}

/** The usual measure: one task, run in turns. Every subject keeps its process, which is warm after the first round. */
export function taskMeasure<Options>(measure: TaskMeasure<Options>): Measure {
  const { subjects, rounds, warmUp, options, ...common } = measure
  const { name } = common
  const run = async (bench: Bench) => {
    const { quick, serverUrl } = bench
    const clients = new Map(subjects.map((subject) => [subject, startClient(subject, serverUrl)]))
    const started = await Promise.allSettled(clients.values())
    const turn = async function* (subject: SubjectName, round: number) {
      const client = await clients.get(subject)
      const loadOf = round === 0 && warmUp ? warmUp : options
      if (client !== undefined) yield client.run(name, loadOf(quick, subject))
    }
    const turns = { measure: name, subjects, rounds: quick ? 1 : rounds, warmUp: warmUp !== undefined, turn }
    const rows = await takeTurns(bench, turns)
    for (const client of started) if (client.status === "fulfilled") client.value.stop()
    return rows
  }
  return { ...common, run }
}
