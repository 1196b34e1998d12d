// What one short call costs from end to end, one after another.
import { expectTokens, timed } from "../client/readings.ts"
import type { Task } from "../client/Task.ts"
import { quantile } from "../harness/statistics.ts"
import { parseScenario, scenario } from "../server/scenarios.ts"
import { everySubject } from "../subjects/catalogue.ts"
import { ratioClaim, type Measure } from "./Measure.ts"
import { measureInRounds } from "./rounds.ts"

const task: Task<{ readonly answers: number }> = {
  name: "small-answer",
  run: async (subject, { answers }) => {
    const latencies: Array<number> = []
    let received = 0
    const { cpu } = await timed(async () => {
      for (let answer = 0; answer < answers; answer++) {
        const asked = performance.now()
        await subject.read(scenario.small, (text) => {
          if (text !== "") received++
        })
        latencies.push(performance.now() - asked)
      }
    })
    expectTokens(received, answers * parseScenario(scenario.small).amount)
    return { p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99), cpu: cpu / answers }
  }
}

const atMost = { subject: "ours, NDJSON", bound: "at most", limit: 1.1 } as const

export const smallAnswer: Measure = {
  name: "small-answer",
  title: "A small answer of 5 chunks",
  tables: [
    {
      columns: [
        { figure: "p50", title: "latency p50, ms", digits: 3 },
        { figure: "p99", title: "latency p99, ms", digits: 3 },
        { figure: "cpu", title: "CPU per answer, µs", digits: 0 }
      ]
    }
  ],
  claims: ["p50", "p99"].flatMap((figure) => [
    ratioClaim({ ...atMost, level: "must", figure, what: figure, against: "ollama" }),
    ratioClaim({ ...atMost, level: "aim", figure, what: figure, against: "floor, NDJSON" })
  ]),
  tasks: [task],
  run: (bench) =>
    measureInRounds(bench, task, {
      subjects: everySubject,
      rounds: bench.quick ? 1 : 5,
      warmUp: () => ({ answers: bench.quick ? 30 : 500 }),
      options: () => ({ answers: bench.quick ? 100 : 2000 })
    })
}
