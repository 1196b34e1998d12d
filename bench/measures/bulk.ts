// How much CPU time one line costs when lines come as fast as they can be read.
import { expectTokens, timed } from "../client/readings.ts"
import type { Task } from "../client/Task.ts"
import { scenario } from "../server/scenarios.ts"
import { aiSdks, everySubject } from "../subjects/catalogue.ts"
import { ratioClaim, type Measure } from "./Measure.ts"
import { measureInRounds } from "./rounds.ts"

const task: Task<{ readonly tokens: number }> = {
  name: "bulk",
  run: async (subject, { tokens }) => {
    let received = 0
    const { cpu, wall } = await timed(() =>
      subject.read(scenario.bulk(tokens), (text) => {
        if (text !== "") received++
      })
    )
    expectTokens(received, tokens)
    return { cpuPerLine: cpu / tokens, linesPerSecond: tokens / (wall / 1000) }
  }
}

const atMost = { figure: "cpuPerLine", bound: "at most" } as const

export const bulk: Measure = {
  name: "bulk",
  title: "One long answer, one short token a line",
  tables: [
    {
      columns: [
        { figure: "cpuPerLine", title: "CPU per line, µs", digits: 2 },
        { figure: "linesPerSecond", title: "lines per second", digits: 0 }
      ]
    }
  ],
  claims: [
    ratioClaim({ ...atMost, level: "must", subject: "ours, NDJSON", against: "ollama", limit: 1 }),
    ratioClaim({ ...atMost, level: "aim", subject: "ours, NDJSON", against: "floor, NDJSON", limit: 1.15 }),
    ratioClaim({ ...atMost, level: "must", subject: "ours, SSE", against: "openai", limit: 0.25 }),
    ratioClaim({ ...atMost, level: "aim", subject: "ours, SSE", against: "floor, SSE", limit: 1.3 })
  ],
  tasks: [task],
  run: (bench) => {
    const tokens = bench.quick ? 50_000 : 1_000_000
    return measureInRounds(bench, task, {
      subjects: everySubject,
      rounds: bench.quick ? 1 : 3,
      warmUp: () => ({ tokens: tokens / 10 }),
      // The slowest two take minutes for a million lines; what a line costs them shows in a tenth of it.
      options: (subject) => ({ tokens: aiSdks.includes(subject) ? tokens / 10 : tokens })
    })
  }
}
