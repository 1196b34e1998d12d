// The time to the first text of an answer that takes ten seconds.
import { setTimeout as sleep } from "node:timers/promises"
import { scenario } from "../server/scenarios.ts"
import { median } from "../statistics.ts"
import { entryOf, subjectsOf } from "../subjects/catalogue.ts"
import type { Subject } from "../subjects/Subject.ts"
import { column, type Measure, type Task } from "./Measure.ts"
import { runInTurns } from "./turns.ts"

const figure = "firstChunk"

const task: Task<{ readonly seconds: number; readonly probes: number }> = {
  name: "first-chunk",
  run: async (subject, { seconds, probes }) => {
    const waits: Array<number> = []
    for (let probe = 0; probe < probes; probe++) {
      waits.push(await timeToFirstChunk(subject, seconds))
      await sleep(20)
    }
    return { [figure]: median(waits) }
  }
}

async function timeToFirstChunk(subject: Subject, seconds: number): Promise<number> {
  const cancellation = new AbortController()
  const first = Promise.withResolvers<number>()
  const start = performance.now()
  const onText = (text: string) => {
    if (text !== "") first.resolve(performance.now() - start)
  }
  const reading = subject.read(scenario.paced(1, seconds), onText, cancellation.signal)
  // After the first chunk, a failure is only the effect of the cancellation.
  reading.then(() => first.reject(new Error("the answer was empty")), first.reject)
  return first.promise.finally(() => cancellation.abort())
}

export const firstChunk: Measure = {
  name: "first-chunk",
  title: "Time to the first chunk of an answer of 10 s",
  tables: [{ columns: [column(figure, "first chunk after, ms", 2)] }],
  targets: [
    { level: "must", subject: "ours, NDJSON", figure, atMost: 0.05, times: "buffered, NDJSON" },
    { level: "must", subject: "ours, SSE", figure, atMost: 0.05, times: "buffered, SSE" },
    { level: "must", subject: "ours, NDJSON", figure, what: "ms", atMost: 5, above: "floor, NDJSON" },
    { level: "must", subject: "ours, SSE", figure, what: "ms", atMost: 5, above: "floor, SSE" }
  ],
  task,
  run: (bench) =>
    runInTurns(bench, task, {
      subjects: subjectsOf("floor", "buffered", "ours", "peer"),
      rounds: bench.quick ? 1 : 3,
      warmUp: { seconds: 0.02, probes: 20 },
      options: (subject) => ({
        seconds: bench.quick ? 1 : 10,
        probes: entryOf(subject).kind === "buffered" ? 1 : bench.quick ? 5 : 20
      })
    })
}
