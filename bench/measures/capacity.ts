// How many answers at 50 tokens a second one process can read without delay.
import { Client } from "../client/Client.ts"
import { subjectsOf, type SubjectName } from "../subjects/catalogue.ts"
import { column, type Bench, type Figures, type Measure } from "./Measure.ts"
import { pacedTask } from "./paced.ts"
import { takeTurns } from "./turns.ts"

const lateAfterMilliseconds = 100
const fullSearch = { from: 50, upTo: 6400, bisections: 2, seconds: 2 }
const quickSearch = { from: 200, upTo: 200, bisections: 0, seconds: 0.4 }

export const capacity: Measure = {
  name: "capacity",
  title: `Answers at 50 tokens a second before 1 % of the tokens are over ${lateAfterMilliseconds} ms late`,
  tables: [
    {
      columns: [
        column("streams", "streams", 0),
        column("latenessP99", "lateness p99 at that load, ms", 1),
        column("serverLateness", "the server's own p99, ms", 1)
      ]
    }
  ],
  chart: { kind: "bars", title: "Answers read without delay (more is better)" },
  targets: [
    { level: "must", subject: "ours, NDJSON", figure: "streams", atLeast: 1, times: "ollama" },
    { level: "goal", subject: "ours, NDJSON", figure: "streams", what: "streams", atLeast: 1000 },
    { level: "goal", subject: "ours, SSE", figure: "streams", what: "streams", atLeast: 1000 }
  ],
  run: (bench) =>
    takeTurns(bench, {
      measure: "capacity",
      subjects: subjectsOf("floor", "ours", "peer"),
      rounds: bench.quick ? 1 : 2,
      turn: ({ subject }) => findCapacity(bench, subject)
    })
}

/** Doubles the load until the subject is late, then halves the gap between the last good and the first bad load. */
async function findCapacity(bench: Bench, subject: SubjectName): Promise<Figures> {
  const { from, upTo, bisections, seconds } = bench.quick ? quickSearch : fullSearch
  const client = await Client.start(subject, bench.serverUrl)
  let best = { streams: 0, latenessP99: Number.NaN, serverLateness: Number.NaN }
  const isInTime = async (streams: number) => {
    bench.progress(`capacity: ${subject}, ${streams} streams`)
    const { latenessP99 = Number.NaN, serverLateness = Number.NaN } = await client.run(pacedTask, { streams, seconds })
    const inTime = latenessP99 <= lateAfterMilliseconds
    if (inTime) best = { streams, latenessP99, serverLateness }
    return inTime
  }
  try {
    await client.run(pacedTask, { streams: 50, seconds })
    let tooMany = from
    while (tooMany <= upTo && (await isInTime(tooMany))) tooMany *= 2
    for (let step = 0; step < bisections && tooMany <= upTo; step++) {
      const between = Math.round((best.streams + tooMany) / 2)
      if (!(await isInTime(between))) tooMany = between
    }
    return best
  } finally {
    client.stop()
  }
}
