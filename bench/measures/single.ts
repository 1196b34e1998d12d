// One answer at a time.
import { setTimeout as sleep } from "node:timers/promises"
import { readTokens, startTiming } from "../client/readings.ts"
import { parseScenario, scenario } from "../server/scenarios.ts"
import { median, quantile } from "../statistics.ts"
import { againstAi, entryOf, everySubject, subjectsOf, type Subject } from "../subjects/catalogue.ts"
import { taskMeasure } from "./Measure.ts"

const wait = { figure: "firstChunk" }

/** The time to the first text of an answer that takes ten seconds. */
export const firstChunk = taskMeasure({
  name: "first-chunk",
  title: "Time to the first chunk of an answer of 10 s",
  columns: [{ ...wait, title: "first chunk after, ms", digits: 2 }],
  targets: [
    { level: "must", subject: "ours, NDJSON", ...wait, atMost: 0.05, times: "buffered, NDJSON" },
    { level: "must", subject: "ours, SSE", ...wait, atMost: 0.05, times: "buffered, SSE" },
    { level: "must", subject: "ours, NDJSON", ...wait, what: "ms", atMost: 5, above: "floor, NDJSON" },
    { level: "must", subject: "ours, SSE", ...wait, what: "ms", atMost: 5, above: "floor, SSE" }
  ],
  subjects: subjectsOf("floor", "buffered", "ours", "peer"),
  rounds: 2,
  warmUp: () => ({ seconds: 0.02, probes: 20 }),
  load: (quick, subject) => ({ seconds: quick ? 1 : 10, probes: entryOf(subject).kind === "buffered" ? 1 : 20 }),
  task: async (subject, { seconds, probes }) => {
    const waits: Array<number> = []
    for (let probe = 0; probe < probes; probe++) {
      waits.push(await timeToFirstChunk(subject, seconds))
      await sleep(20)
    }
    return { firstChunk: median(waits) }
  }
})

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

const tokens = (quick: boolean) => (quick ? 50_000 : 1_000_000)
const bulkNdjson = { subject: "ours, NDJSON", figure: "cpuPerLine" }
const bulkSse = { subject: "ours, SSE", figure: "cpuPerLine" }

/** The CPU time of one line if lines arrive as fast as they can be read. */
export const bulk = taskMeasure({
  name: "bulk",
  title: "One long answer, one short token per line",
  columns: [
    { figure: "cpuPerLine", title: "CPU per line, µs", digits: 2 },
    { figure: "linesPerSecond", title: "lines per second", digits: 0 }
  ],
  chart: { title: "One long answer: CPU per line, µs (less is better)", figure: "cpuPerLine" },
  targets: [
    { level: "must", ...bulkNdjson, atMost: 1, times: "ollama" },
    { level: "must", ...bulkNdjson, atMost: 0.9, times: "buffered, NDJSON" },
    { level: "must", ...bulkSse, atMost: 0.9, times: "buffered, SSE" },
    { level: "must", ...bulkNdjson, atMost: 1.2, times: "floor, NDJSON" },
    { level: "must", ...bulkSse, atMost: 1.35, times: "floor, SSE" },
    { level: "must", ...bulkSse, atMost: 0.25, times: "openai" }
  ],
  subjects: everySubject,
  rounds: 3,
  warmUp: (quick) => ({ tokens: tokens(quick) / 10 }),
  // The slow ones need minutes for a million lines; a tenth shows the cost of a line as well.
  load: (quick, subject) => ({ tokens: tokens(quick) / (entryOf(subject).slow || subject === "openai" ? 10 : 1) }),
  task: async (subject, { tokens }) => {
    const stop = startTiming()
    await readTokens(subject, scenario.bulk(tokens), tokens)
    const { cpu, wall } = stop()
    return { cpuPerLine: cpu / tokens, linesPerSecond: tokens / (wall / 1000) }
  }
})

const p50 = { subject: "ours, NDJSON", figure: "p50", what: "p50" }
const p99 = { subject: "ours, NDJSON", figure: "p99", what: "p99" }

/** The cost of one short call from end to end. */
export const smallAnswer = taskMeasure({
  name: "small-answer",
  title: "A small answer of 5 chunks",
  columns: [
    { figure: "p50", title: "latency p50, ms", digits: 3 },
    { figure: "p99", title: "latency p99, ms", digits: 3 },
    { figure: "cpu", title: "CPU per answer, µs", digits: 0 }
  ],
  chart: { title: "Small answer: median latency, ms (less is better)", figure: "p50" },
  targets: [
    { level: "must", ...p50, atMost: 1, times: "ollama" },
    { level: "goal", ...p50, atMost: 1.1, times: "floor, NDJSON" },
    { level: "must", ...p99, atMost: 1.1, times: "ollama" },
    { level: "goal", ...p99, atMost: 1.1, times: "floor, NDJSON" },
    { level: "must", subject: "ours, NDJSON, policies", figure: "p50", atMost: 1.15, times: "ours, NDJSON" },
    ...againstAi("p50")
  ],
  subjects: everySubject,
  rounds: 4,
  warmUp: (quick) => ({ answers: quick ? 30 : 300 }),
  load: (quick) => ({ answers: quick ? 100 : 1000 }),
  task: async (subject, { answers }) => {
    const latencies: Array<number> = []
    const stop = startTiming()
    for (let answer = 0; answer < answers; answer++) {
      const start = performance.now()
      await readTokens(subject, scenario.small, parseScenario(scenario.small).amount)
      latencies.push(performance.now() - start)
    }
    const { cpu } = stop()
    return { p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99), cpu: cpu / answers }
  }
})
