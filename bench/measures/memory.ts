// How much memory a client needs to read one answer, each answer in a fresh process.
import { Client } from "../client/Client.ts"
import { collectGarbage, expectTokens, liveMegabytes } from "../client/readings.ts"
import { scenario } from "../server/scenarios.ts"
import { tokensInBytes } from "../server/wire.ts"
import { entryOf, subjectsOf, type SubjectName } from "../subjects/catalogue.ts"
import { column, type Bench, type Column, type Figures, type Measure, type Target, type Task } from "./Measure.ts"
import { takeTurns, type Recorder } from "./turns.ts"

const sizes = [1, 10, 100, 1000]

// V8 lets its young generation grow with the length of a run: by 50 MB for the floor as well. With a small limit, only the
// program's own memory can grow.
const smallHeap = ["--max-old-space-size=32", "--max-semi-space-size=1"]

/** 1,000 MB compares streaming with buffering; the slow clients would need minutes for 100 MB. */
function sizesOf(subject: SubjectName, quick: boolean): ReadonlyArray<number> {
  const { kind, slow } = entryOf(subject)
  const largestOfPeer = slow ? 10 : 100
  const largest = kind === "peer" ? largestOfPeer : 1000
  return sizes.filter((size) => size <= (quick ? largest / 10 : largest))
}

const task: Task<{ readonly megabytes: number }> = {
  name: "memory",
  run: async (subject, { megabytes }) => {
    const tokens = tokensInBytes(subject.protocol, megabytes * 1e6)
    // The modules and compiled code of a first request do not belong to the answer.
    await subject.read(scenario.small, () => {})
    collectGarbage()
    const before = process.memoryUsage.rss() / 1e6
    let received = 0
    let live = Number.NaN
    await subject.read(scenario.bulk(tokens), (text) => {
      // At the last token, the subject still holds all that it keeps of the answer.
      if (text !== "" && ++received === tokens) live = liveMegabytes()
    })
    expectTokens(received, tokens)
    const peak = (process.resourceUsage().maxRSS * 1024) / 1e6
    return { peak, added: peak - before, live }
  }
}

function columnsOf(figure: string, digits: number): ReadonlyArray<Column> {
  return sizes.map((size) => column(`${figure}${size}`, `${size.toLocaleString("en-US")} MB`, digits))
}

/** A process needs memory for its modules before it reads anything, so only the memory added by the answer is compared. */
const added = { level: "must", figure: "added100", what: "memory added", atMost: 0.1 } as const
const growth = { level: "must", figure: "tight1000", aboveFigure: "tight1", atMost: 16 } as const
const passes = { level: "goal", figure: "passes1000", atLeast: 1 } as const

export const memory: Measure = {
  name: "memory",
  title: "Memory for one answer of 1, 10, 100 and 1,000 MB",
  tables: [
    { title: "Peak RSS of the process, MB", columns: columnsOf("peak", 0) },
    { title: "Added by the answer: peak RSS minus the RSS before it, MB", columns: columnsOf("added", 0) },
    { title: "Live heap at the last token, MB", columns: columnsOf("live", 1) },
    { title: "Peak RSS in a heap of 32 MB with a small young generation, MB", columns: columnsOf("tight", 0) }
  ],
  chart: { kind: "lines", title: "Peak RSS by the size of the answer, MB" },
  targets: [
    { ...added, subject: "ours, NDJSON", times: "buffered, NDJSON" },
    { ...added, subject: "ours, SSE", times: "buffered, SSE" },
    ...subjectsOf("ours").flatMap((subject): ReadonlyArray<Target> => [
      { ...growth, subject, what: "MB for 1,000 MB minus MB for 1 MB, small heap" },
      { ...passes, subject, what: "reads 1 GB in a heap of 32 MB (1 = yes)" }
    ])
  ],
  task,
  run: (bench) =>
    takeTurns(bench, {
      measure: "memory",
      subjects: subjectsOf("floor", "buffered", "ours", "peer"),
      rounds: bench.quick ? 1 : 3,
      turn: (recorder) => readEverySize(bench, recorder)
    })
}

async function readEverySize(bench: Bench, recorder: Recorder<SubjectName>): Promise<void> {
  const { subject } = recorder
  const wanted = sizesOf(subject, bench.quick)
  for (const megabytes of wanted) {
    await recorder.attempt(async () => {
      const figures = await readInFreshProcess(bench, subject, megabytes)
      for (const [figure, value] of Object.entries(figures)) recorder.add({ [`${figure}${megabytes}`]: value })
    }, `${megabytes} MB: `)
  }
  if (entryOf(subject).kind !== "ours") return
  for (const megabytes of [Math.min(...wanted), Math.max(...wanted)]) {
    // Running out of memory here misses a goal, but is not a failure of the benchmark.
    const figures = await readInFreshProcess(bench, subject, megabytes, smallHeap).catch(() => undefined)
    recorder.add({ [`passes${megabytes}`]: figures === undefined ? 0 : 1 })
    if (figures?.peak !== undefined) recorder.add({ [`tight${megabytes}`]: figures.peak })
  }
}

async function readInFreshProcess(
  bench: Bench,
  subject: SubjectName,
  megabytes: number,
  nodeOptions: ReadonlyArray<string> = []
): Promise<Figures> {
  bench.progress(`memory: ${subject}, ${megabytes} MB ${nodeOptions.join(" ")}`)
  const client = await Client.start(subject, bench.serverUrl, nodeOptions)
  try {
    return await client.run(task, { megabytes })
  } finally {
    client.stop()
  }
}
