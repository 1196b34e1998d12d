// How much memory an answer takes while it is read, each answer in a fresh process.
import { Client } from "../client/Client.ts"
import { collectGarbage, expectTokens, liveMegabytes, peakMegabytes } from "../client/readings.ts"
import type { Figures, Task } from "../client/Task.ts"
import { scenario } from "../server/scenarios.ts"
import { tokensInBytes } from "../server/wire.ts"
import { aiSdks, bufferedWays, floors, ourselves, peers, type SubjectName } from "../subjects/catalogue.ts"
import { ratioClaim, type Bench, type Claim, type Column, type Measure } from "./Measure.ts"
import { Run } from "./rounds.ts"

const sizes = [1, 10, 100, 1000]
const subjects: ReadonlyArray<SubjectName> = [...floors, ...bufferedWays, ...ourselves, ...peers]

// V8 lets its young generation grow with the length of a run, whatever the program keeps: 50 MB for the floor as well.
// Held small, what is left to grow is the program's own.
const tightHeap = ["--max-old-space-size=32", "--max-semi-space-size=1"]

/** The largest are for before and after; `ai` would take minutes for what the other clients read in seconds. */
function sizesFor(subject: SubjectName, quick: boolean): ReadonlyArray<number> {
  const largestOfPeer = aiSdks.includes(subject) ? 10 : 100
  const largest = peers.includes(subject) ? largestOfPeer : 1000
  return sizes.filter((size) => size <= (quick ? largest / 10 : largest))
}

const task: Task<{ readonly megabytes: number }> = {
  name: "memory",
  run: async (subject, { megabytes }) => {
    const tokens = tokensInBytes(subject.protocol, megabytes * 1e6)
    // What a first request loads and compiles is not the answer's.
    await subject.read(scenario.small, () => {})
    collectGarbage()
    const before = process.memoryUsage.rss() / 1e6
    let received = 0
    let live = Number.NaN
    await subject.read(scenario.bulk(tokens), (text) => {
      // With the last token in hand, all that the subject keeps of the answer is still there.
      if (text !== "" && ++received === tokens) live = liveMegabytes()
    })
    expectTokens(received, tokens)
    const peak = peakMegabytes()
    return { peak, added: peak - before, live }
  }
}

function columnsOf(figure: string, digits: number): ReadonlyArray<Column> {
  return sizes.map((size) => ({ figure: `${figure}${size}`, title: `${size.toLocaleString("en-US")} MB`, digits }))
}

function claimsInTightHeap(subject: SubjectName): ReadonlyArray<Claim> {
  return [
    {
      level: "must",
      says: `${subject}: 1,000 MB take at most 16 MB more than 1 MB, in a tight heap`,
      bound: "at most",
      limit: 16,
      value: (median) => median(subject, "tight1000") - median(subject, "tight1")
    },
    {
      level: "aim",
      says: `${subject}: an answer of 1 GB passes in a heap of 32 MB (1 = yes)`,
      bound: "at least",
      limit: 1,
      value: (median) => median(subject, "passes1000")
    }
  ]
}

/** A process with its modules takes its share before it has read anything: the answer is what comes on top. */
const atMost = { level: "must", figure: "added100", what: "memory added", bound: "at most", limit: 0.1 } as const

export const memory: Measure = {
  name: "memory",
  title: "Memory for one answer of 1, 10, 100 and 1,000 MB",
  tables: [
    { title: "Peak RSS of the process, MB", columns: columnsOf("peak", 0) },
    { title: "Of it for the answer: what the peak is above the RSS before, MB", columns: columnsOf("added", 0) },
    { title: "Live heap with the last token in hand, MB", columns: columnsOf("live", 1) },
    { title: "Peak RSS in a tight heap: 32 MB, young generation held small", columns: columnsOf("tight", 0) }
  ],
  claims: [
    ratioClaim({ ...atMost, subject: "ours, NDJSON", against: "buffered, NDJSON" }),
    ratioClaim({ ...atMost, subject: "ours, SSE", against: "buffered, SSE" }),
    ...ourselves.flatMap(claimsInTightHeap)
  ],
  tasks: [task],
  run: async (bench) => {
    const runs = subjects.map((subject) => new Run(subject))
    for (let round = 0; round < (bench.quick ? 1 : 3); round++) {
      for (const run of runs) await readEverySize(bench, run)
    }
    return runs.map((run) => run.row())
  }
}

async function readEverySize(bench: Bench, run: Run<SubjectName>): Promise<void> {
  const wanted = sizesFor(run.subject, bench.quick)
  for (const megabytes of wanted) {
    await run.attempt(async () => {
      const figures = await readInFreshProcess(bench, run.subject, megabytes)
      run.add(Object.fromEntries(Object.entries(figures).map(([figure, value]) => [`${figure}${megabytes}`, value])))
    }, `${megabytes} MB: `)
  }
  if (!ourselves.includes(run.subject)) return
  for (const megabytes of [Math.min(...wanted), Math.max(...wanted)]) {
    // To run out of memory here misses an aim; it is no failure of the benchmark.
    const figures = await readInFreshProcess(bench, run.subject, megabytes, tightHeap).catch(() => undefined)
    run.add({ [`passes${megabytes}`]: figures === undefined ? 0 : 1 })
    if (figures?.peak !== undefined) run.add({ [`tight${megabytes}`]: figures.peak })
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
