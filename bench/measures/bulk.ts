// The CPU time of one line if lines arrive as fast as they can be read.
import { expectTokens, startTiming } from "../client/readings.ts"
import { scenario } from "../server/scenarios.ts"
import { entryOf, everySubject } from "../subjects/catalogue.ts"
import { column, type Measure, type Task } from "./Measure.ts"
import { runInTurns } from "./turns.ts"

const task: Task<{ readonly tokens: number }> = {
  name: "bulk",
  run: async (subject, { tokens }) => {
    let received = 0
    const stop = startTiming()
    await subject.read(scenario.bulk(tokens), (text) => {
      if (text !== "") received++
    })
    const { cpu, wall } = stop()
    expectTokens(received, tokens)
    return { cpuPerLine: cpu / tokens, linesPerSecond: tokens / (wall / 1000) }
  }
}

const ndjson = { subject: "ours, NDJSON", figure: "cpuPerLine" }
const sse = { subject: "ours, SSE", figure: "cpuPerLine" }

export const bulk: Measure = {
  name: "bulk",
  title: "One long answer, one short token per line",
  tables: [{ columns: [column("cpuPerLine", "CPU per line, µs", 2), column("linesPerSecond", "lines per second", 0)] }],
  chart: { kind: "bars", title: "One long answer: CPU per line, µs (less is better)" },
  targets: [
    { level: "must", ...ndjson, atMost: 1, times: "ollama" },
    // The ratios to the floor that version 0.1.0 reached.
    { level: "must", ...ndjson, atMost: 1.2, times: "floor, NDJSON" },
    { level: "must", ...sse, atMost: 1.25, times: "floor, SSE" },
    { level: "goal", ...ndjson, atMost: 1.15, times: "floor, NDJSON" },
    { level: "must", ...sse, atMost: 0.25, times: "openai" }
  ],
  task,
  run: (bench) => {
    const tokens = bench.quick ? 50_000 : 1_000_000
    return runInTurns(bench, task, {
      subjects: everySubject,
      rounds: bench.quick ? 1 : 3,
      warmUp: { tokens: tokens / 10 },
      // The slow ones need minutes for a million lines; a tenth shows the cost of a line as well.
      options: (subject) => ({ tokens: entryOf(subject).slow ? tokens / 10 : tokens })
    })
  }
}
