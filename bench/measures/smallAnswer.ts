// The cost of one short call from end to end, one call after another.
import { expectTokens, startTiming } from "../client/readings.ts"
import { parseScenario, scenario } from "../server/scenarios.ts"
import { quantile } from "../statistics.ts"
import { everySubject } from "../subjects/catalogue.ts"
import { column, type Measure, type Task } from "./Measure.ts"
import { runInTurns } from "./turns.ts"

const task: Task<{ readonly answers: number }> = {
  name: "small-answer",
  run: async (subject, { answers }) => {
    const latencies: Array<number> = []
    let received = 0
    const stop = startTiming()
    for (let answer = 0; answer < answers; answer++) {
      const start = performance.now()
      await subject.read(scenario.small, (text) => {
        if (text !== "") received++
      })
      latencies.push(performance.now() - start)
    }
    const { cpu } = stop()
    expectTokens(received, answers * parseScenario(scenario.small).amount)
    return { p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99), cpu: cpu / answers }
  }
}

const p50 = { subject: "ours, NDJSON", figure: "p50", what: "p50" }
const p99 = { subject: "ours, NDJSON", figure: "p99", what: "p99" }

export const smallAnswer: Measure = {
  name: "small-answer",
  title: "A small answer of 5 chunks",
  tables: [
    {
      columns: [
        column("p50", "latency p50, ms", 3),
        column("p99", "latency p99, ms", 3),
        column("cpu", "CPU per answer, µs", 0)
      ]
    }
  ],
  chart: { kind: "bars", title: "Small answer: median latency, ms (less is better)" },
  targets: [
    { level: "must", ...p50, atMost: 1, times: "ollama" },
    { level: "goal", ...p50, atMost: 1.1, times: "floor, NDJSON" },
    { level: "must", ...p99, atMost: 1.1, times: "ollama" },
    { level: "goal", ...p99, atMost: 1.1, times: "floor, NDJSON" }
  ],
  task,
  run: (bench) =>
    runInTurns(bench, task, {
      subjects: everySubject,
      rounds: bench.quick ? 1 : 5,
      warmUp: { answers: bench.quick ? 30 : 500 },
      options: () => ({ answers: bench.quick ? 100 : 2000 })
    })
}
