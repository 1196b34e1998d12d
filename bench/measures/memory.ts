// How much memory a client needs to read one answer, each answer in a fresh process.
import { existsSync, readFileSync } from "node:fs"
import { liveMegabytes, readTokens } from "../client/readings.ts"
import { messageOf } from "../process.ts"
import { scenario } from "../server/scenarios.ts"
import { tokensInBytes } from "../server/wire.ts"
import { entryOf, subjectsOf, type SubjectName } from "../subjects/catalogue.ts"
import { runTask, startClient, type Bench, type Column, type Figures, type Measure, type Task } from "./Measure.ts"

const sizes = [1, 10, 100, 1000]

// V8 lets its young generation grow with the length of a run: by 50 MB for the floor as well. With a small limit,
// only the program's own memory can grow.
const smallHeap = ["--max-old-space-size=32", "--max-semi-space-size=1"]

/** 1,000 MB compares streaming with buffering; the slow clients would need minutes for 100 MB. */
function sizesOf(subject: string, quick: boolean): ReadonlyArray<number> {
  const { kind, slow } = entryOf(subject as SubjectName)
  const largest = kind === "peer" ? (slow ? 10 : 100) : 1000
  return sizes.filter((size) => size <= (quick ? largest / 10 : largest))
}

const task: Task<{ readonly megabytes: number }> = async (subject, { megabytes }) => {
  const tokens = tokensInBytes(subject.protocol, megabytes * 1e6)
  // The modules and compiled code of a first request do not belong to the answer.
  await subject.read(scenario.small, () => {})
  globalThis.gc?.()
  const before = process.memoryUsage.rss() / 1e6
  let live = Number.NaN
  // At the last token, the subject still holds all that it keeps of the answer.
  await readTokens(subject, scenario.bulk(tokens), tokens, () => (live = liveMegabytes()))
  const peak = peakMegabytes()
  return { peak, added: peak - before, live }
}

/** `maxRSS` has also what the program had that started this one. */
function peakMegabytes(): number {
  const status = existsSync("/proc/self/status") ? readFileSync("/proc/self/status", "utf8") : ""
  const [, kilobytes = process.resourceUsage().maxRSS] = /^VmHWM:\s+(\d+) kB/m.exec(status) ?? []
  return (Number(kilobytes) * 1024) / 1e6
}

function columnsOf(figure: string, digits: number, table: string): ReadonlyArray<Column> {
  const titleOf = (size: number) => `${size.toLocaleString("en-US")} MB`
  return sizes.map((size) => ({ figure: `${figure}${size}`, title: titleOf(size), digits, table }))
}

// A process needs memory for its modules before it reads anything, so only the memory added by the answer is compared.
const added = { level: "must", figure: "added100", what: "memory added", atMost: 0.1 } as const
const what = "MB more for 1,000 MB than for 1 MB, heap of 32 MB"
const growth = { level: "must", figure: "tight1000", aboveFigure: "tight1", what, atMost: 16 } as const

export const memory: Measure = {
  name: "memory",
  title: "Memory for one answer of 1, 10, 100 and 1,000 MB",
  columns: [
    ...columnsOf("peak", 0, "Peak RSS of the process, MB"),
    ...columnsOf("added", 0, "Added by the answer: peak RSS minus the RSS before it, MB"),
    ...columnsOf("live", 1, "Live heap at the last token, MB"),
    ...columnsOf("tight", 0, "Peak RSS in a heap of 32 MB with a small young generation, MB")
  ],
  chart: { title: "Peak RSS of a process that reads an answer of 100 MB, MB (less is better)", figure: "peak100" },
  targets: [
    { ...added, subject: "ours, NDJSON", times: "buffered, NDJSON" },
    { ...added, subject: "ours, SSE", times: "buffered, SSE" },
    { ...growth, subject: "ours, NDJSON" },
    { ...growth, subject: "ours, SSE" }
  ],
  subjects: subjectsOf("floor", "buffered", "ours", "peer"),
  rounds: 5,
  task,
  open: (bench) => ({ turn: (subject, round) => readEverySize(bench, subject, round) })
}

async function* readEverySize(bench: Bench, subject: string, round: number): AsyncGenerator<Figures> {
  const wanted = sizesOf(subject, bench.quick)
  const [smallest = 0, largest = 0] = [wanted[0], wanted.at(-1)]
  // The longest answers take most of the time, and the rounds of those differ least.
  const isRead = (size: number) => size < 1000 || round === 1
  for (const size of wanted.filter(isRead)) {
    const figures = Object.entries(await readOne(bench, subject, size))
    yield Object.fromEntries(figures.map(([figure, value]) => [`${figure}${size}`, value]))
  }
  if (entryOf(subject as SubjectName).kind !== "ours") return
  for (const size of [smallest, largest].filter(isRead)) {
    const { peak = Number.NaN } = await readOne(bench, subject, size, smallHeap)
    yield { [`tight${size}`]: peak }
  }
}

async function readOne({ serverUrl }: Bench, subject: string, megabytes: number, flags: ReadonlyArray<string> = []) {
  const client = await startClient(subject, serverUrl, flags)
  try {
    return await runTask(client, "memory", { megabytes })
  } catch (error) {
    throw new Error(`${[`${megabytes} MB`, ...flags].join(" ")}: ${messageOf(error)}`, { cause: error })
  } finally {
    client.stop()
  }
}
