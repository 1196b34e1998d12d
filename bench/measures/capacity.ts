// How many answers at 50 tokens a second one process follows before it falls behind.
import { Client } from "../client/Client.ts"
import { aiSdks, floors, ourselves, type SubjectName } from "../subjects/catalogue.ts"
import { ratioClaim, type Bench, type Claim, type Measure } from "./Measure.ts"
import { pacedTask } from "./paced.ts"
import { Run } from "./rounds.ts"

const lateAfterMilliseconds = 100
const subjects: ReadonlyArray<SubjectName> = [...floors, ...ourselves, "ollama", "openai", ...aiSdks]

interface Search {
  readonly from: number
  readonly upTo: number
  readonly factor: number
  readonly bisections: number
  readonly seconds: number
}
const fullSearch: Search = { from: 50, upTo: 6400, factor: 2, bisections: 2, seconds: 2 }
const quickSearch: Search = { from: 200, upTo: 200, factor: 2, bisections: 0, seconds: 0.4 }

function thousandStreams(subject: SubjectName): Claim {
  return {
    level: "aim",
    says: `${subject}: at least 1,000 streams`,
    bound: "at least",
    limit: 1000,
    value: (median) => median(subject, "streams")
  }
}

export const capacity: Measure = {
  name: "capacity",
  title: `Answers at 50 tokens a second before 1 % of the tokens are over ${lateAfterMilliseconds} ms late`,
  tables: [
    {
      columns: [
        { figure: "streams", title: "streams", digits: 0 },
        { figure: "latenessP99", title: "lateness p99 there, ms", digits: 1 },
        { figure: "serverLateness", title: "the server's own p99, ms", digits: 1 }
      ]
    }
  ],
  claims: [
    ratioClaim({
      level: "must",
      subject: "ours, NDJSON",
      figure: "streams",
      against: "ollama",
      bound: "at least",
      limit: 1
    }),
    ...ourselves.map(thousandStreams)
  ],
  tasks: [],
  run: async (bench) => {
    const runs = subjects.map((subject) => new Run(subject))
    for (let round = 0; round < (bench.quick ? 1 : 2); round++) {
      for (const run of runs) await run.attempt(async () => run.add(await findCapacity(bench, run.subject)))
    }
    return runs.map((run) => run.row())
  }
}

/** Multiplies the load until the subject falls behind, then halves the gap between the last good and the first bad. */
async function findCapacity(bench: Bench, subject: SubjectName) {
  const { from, upTo, factor, bisections, seconds } = bench.quick ? quickSearch : fullSearch
  const client = await Client.start(subject, bench.serverUrl)
  let best = { streams: 0, latenessP99: Number.NaN, serverLateness: Number.NaN }
  const follows = async (streams: number) => {
    bench.progress(`capacity: ${subject}, ${streams} streams`)
    const { latenessP99 = Number.NaN, serverLateness = Number.NaN } = await client.run(pacedTask, { streams, seconds })
    const inTime = latenessP99 <= lateAfterMilliseconds
    if (inTime) best = { streams, latenessP99, serverLateness }
    return inTime
  }
  try {
    await client.run(pacedTask, { streams: 50, seconds })
    let tooMany = from
    while (tooMany <= upTo && (await follows(tooMany))) tooMany *= factor
    for (let step = 0; step < bisections && tooMany <= upTo; step++) {
      const between = Math.round((best.streams + tooMany) / 2)
      if (!(await follows(between))) tooMany = between
    }
    return best
  } finally {
    client.stop()
  }
}
