// How long a reader waits for the first words of an answer that takes ten seconds.
import { quantile } from "../harness/statistics.ts"
import { sleep } from "../harness/clock.ts"
import type { Task } from "../client/Task.ts"
import { scenario } from "../server/scenarios.ts"
import { bufferedWays, floors, ourselves, peers } from "../subjects/catalogue.ts"
import type { Subject } from "../subjects/Subject.ts"
import { ratioClaim, type Claim, type Measure } from "./Measure.ts"
import { measureInRounds } from "./rounds.ts"

interface Options {
  readonly seconds: number
  readonly probes: number
}

const task: Task<Options> = {
  name: "first-chunk",
  run: async (subject, { seconds, probes }) => {
    const waits: Array<number> = []
    for (let probe = 0; probe < probes; probe++) {
      waits.push(await waitForFirstChunk(subject, seconds))
      await sleep(20)
    }
    return { firstChunk: quantile(waits, 0.5) }
  }
}

async function waitForFirstChunk(subject: Subject, seconds: number): Promise<number> {
  const leaving = new AbortController()
  const first = Promise.withResolvers<number>()
  const asked = performance.now()
  const reading = subject.read(
    scenario.paced(seconds),
    (text) => {
      if (text !== "") first.resolve(performance.now() - asked)
    },
    leaving.signal
  )
  // Once the first chunk is there, leaving may well count as a failure.
  reading.then(() => first.reject(new Error("the answer was empty")), first.reject)
  return first.promise.finally(() => leaving.abort())
}

const figure = "firstChunk"
const pairs = [
  { ours: "ours, NDJSON", buffered: "buffered, NDJSON", floor: "floor, NDJSON" },
  { ours: "ours, SSE", buffered: "buffered, SSE", floor: "floor, SSE" }
]

function withinFiveMillisecondsOfTheFloor({ ours, floor }: { readonly ours: string; readonly floor: string }): Claim {
  return {
    level: "must",
    says: `${ours}: at most 5 ms after ${floor}`,
    bound: "at most",
    limit: 5,
    value: (median) => median(ours, figure) - median(floor, figure)
  }
}

export const firstChunk: Measure = {
  name: "first-chunk",
  title: "Wait for the first chunk of an answer of 10 s",
  tables: [{ columns: [{ figure, title: "first chunk after, ms", digits: 2 }] }],
  claims: [
    ...pairs.map(({ ours, buffered }) =>
      ratioClaim({ level: "must", subject: ours, figure, against: buffered, bound: "at most", limit: 0.05 })
    ),
    ...pairs.map(withinFiveMillisecondsOfTheFloor)
  ],
  tasks: [task],
  run: (bench) =>
    measureInRounds(bench, task, {
      subjects: [...floors, ...bufferedWays, ...ourselves, ...peers],
      rounds: bench.quick ? 1 : 3,
      warmUp: () => ({ seconds: 0.02, probes: 20 }),
      options: (subject) => ({
        seconds: bench.quick ? 1 : 10,
        probes: bufferedWays.includes(subject) ? 1 : bench.quick ? 5 : 20
      })
    })
}
