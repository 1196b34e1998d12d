// Many answers at once.
import { setTimeout as sleep } from "node:timers/promises"
import { settledMegabytes, startTiming } from "../client/readings.ts"
import type { Program } from "../process.ts"
import { parseScenario, readStatus, scenario } from "../server/scenarios.ts"
import { quantile, sharedNow } from "../statistics.ts"
import { againstAi, subjectsOf, type Subject } from "../subjects/catalogue.ts"
import { runTask, startClient, taskMeasure, type Figures, type Measure, type Target } from "./Measure.ts"

const ndjson = { subject: "ours, NDJSON", figure: "cpuPerToken" }
const sse = { subject: "ours, SSE", figure: "cpuPerToken" }
/** The first token after the window ends the measurement, so there have to be some. */
const secondsAfterWindow = 0.1

/** The usual load of a backend: each token in its own packet. */
export const paced = taskMeasure({
  name: "paced",
  title: "100 answers at once, 50 tokens a second each",
  columns: [
    { figure: "cpuPerToken", title: "CPU per token, µs", digits: 1 },
    { figure: "latenessP50", title: "lateness p50, ms", digits: 2 },
    { figure: "latenessP99", title: "lateness p99, ms", digits: 2 }
  ],
  chart: { title: "100 paced answers: CPU per token, µs (less is better)", figure: "cpuPerToken" },
  targets: [
    { level: "must", ...ndjson, atMost: 0.7, times: "ollama" },
    { level: "goal", ...ndjson, atMost: 1.3, times: "floor, NDJSON" },
    { level: "must", ...sse, atMost: 0.7, times: "openai" },
    { level: "goal", ...sse, atMost: 1.3, times: "floor, SSE" },
    { level: "must", subject: "ours, NDJSON, policies", figure: "cpuPerToken", atMost: 1.05, times: "ours, NDJSON" },
    ...againstAi("cpuPerToken")
  ],
  subjects: subjectsOf("floor", "ours", "variant", "peer"),
  rounds: 4,
  // Without a warm-up, the slowest subjects are far too late with all streams.
  warmUp: (quick) => (quick ? { streams: 5, seconds: 0.2 } : { streams: 50, seconds: 1.5 }),
  // With 200, the slowest subjects need all of a core on a slow machine, so that the cost of a token cannot be seen.
  load: (quick) => (quick ? { streams: 10, seconds: 0.4 } : { streams: 100, seconds: 1 }),
  /** Opens the streams, lets them settle, then measures all tokens that are due within a window of the given length. */
  task: async (subject, { streams, seconds }, serverUrl) => {
    const settling = Math.min(seconds / 2, 1)
    const answer = scenario.paced(streams, settling + seconds + secondsAfterWindow)
    const measured = measureWindow(settling * 1000, seconds * 1000)
    const readOne = () => {
      let first = true
      return subject.read(answer, (dueTime) => {
        if (dueTime === "") return
        // The first token is sent when a stream is opened, outside of the timetable.
        if (!first) measured.add(Number(dueTime))
        first = false
      })
    }
    await Promise.all(Array.from({ length: streams }, readOne))
    const { lateness } = await readStatus(serverUrl)
    return { ...measured.figures(), serverLateness: lateness }
  }
})

/**
 * Measures the tokens that are due within a window, and the CPU time from its first token to the first one after it.
 * The window follows the server's timetable, so that a late subject cannot shift it.
 */
function measureWindow(settling: number, length: number) {
  const lateness: Array<number> = []
  let begin = Number.POSITIVE_INFINITY
  let stopTiming: ReturnType<typeof startTiming> | undefined
  let cpuPerToken = Number.NaN
  return {
    add: (due: number) => {
      begin = Math.min(begin, due + settling)
      if (due < begin) return
      stopTiming ??= startTiming()
      if (due < begin + length) lateness.push(sharedNow() - due)
      else if (Number.isNaN(cpuPerToken)) cpuPerToken = stopTiming().cpu / lateness.length
    },
    figures: () => ({
      cpuPerToken,
      latenessP50: quantile(lateness, 0.5),
      latenessP99: quantile(lateness, 0.99)
    })
  }
}

const lateAfterMilliseconds = 100
const fullSearch = { from: 200, upTo: 6400, bisections: 2, seconds: 1 }
const quickSearch = { from: 20, upTo: 20, bisections: 0, seconds: 0.4 }

/** How many answers at 50 tokens a second one process can read without delay. */
export const capacity: Measure = {
  name: "capacity",
  title: `Answers at 50 tokens a second before 1 % of the tokens are over ${lateAfterMilliseconds} ms late`,
  columns: [
    { figure: "streams", title: "streams", digits: 0 },
    { figure: "latenessP99", title: "lateness p99 at that load, ms", digits: 1 },
    { figure: "serverLateness", title: "the server's own p99, ms", digits: 1 }
  ],
  chart: { title: "Answers read without delay (more is better)", figure: "streams", best: "high" },
  targets: [
    { level: "must", subject: "ours, NDJSON", figure: "streams", atLeast: 1, times: "ollama" },
    { level: "goal", subject: "ours, NDJSON", figure: "streams", what: "streams", atLeast: 1000 },
    { level: "goal", subject: "ours, SSE", figure: "streams", what: "streams", atLeast: 1000 }
  ],
  subjects: subjectsOf("floor", "ours", "peer"),
  rounds: 2,
  open: ({ quick, serverUrl }) => ({
    turn: async function* (subject) {
      const client = await startClient(subject, serverUrl)
      yield findCapacity(client, quick ? quickSearch : fullSearch).finally(client.stop)
    }
  })
}

/** Doubles the load until the subject is late, then halves the gap between the last good load, or none, and the first bad one. */
async function findCapacity(client: Program, { from, upTo, bisections, seconds }: typeof fullSearch) {
  let best: Figures & { readonly streams: number } = { streams: 0 }
  const isInTime = async (streams: number) => {
    const { latenessP99 = Number.NaN, serverLateness = Number.NaN } = await runTask(client, paced.name, {
      streams,
      seconds
    })
    if (latenessP99 <= lateAfterMilliseconds) best = { streams, latenessP99, serverLateness }
    return latenessP99 <= lateAfterMilliseconds
  }
  await runTask(client, paced.name, { streams: 50, seconds })
  let tooMany = from
  while (tooMany <= upTo && (await isInTime(tooMany))) tooMany *= 2
  for (let step = 0; step < bisections && tooMany <= upTo; step++) {
    const between = Math.round((best.streams + tooMany) / 2)
    if (!(await isInTime(between))) tooMany = between
  }
  return best
}

const concurrency = 100
const millisecondsToDisconnect = 250

/** What remains after thousands of answers of which every second one was cancelled midway. */
export const cancellation = taskMeasure({
  name: "cancellation",
  title: "5,000 answers, half of them cancelled midway",
  columns: [
    { figure: "busySockets", title: "sockets left receiving", digits: 0 },
    { figure: "heapGrowth", title: "heap growth, MB", digits: 2 }
  ],
  targets: subjectsOf("ours").flatMap((subject): ReadonlyArray<Target> => [
    { level: "must", subject, figure: "busySockets", what: "sockets left receiving", atMost: 0 },
    { level: "must", subject, figure: "heapGrowth", what: "heap growth in MB", atMost: 2 }
  ]),
  subjects: subjectsOf("floor", "ours", "peer"),
  rounds: 1,
  load: (quick) => ({ streams: quick ? 100 : 5000 }),
  task: async (subject, { streams }, serverUrl) => {
    // Another subject may have left some.
    const before = await readStatus(serverUrl)
    // The first answers fill the pools and compile the code; the memory of that is no leak.
    await readAndCancel(subject, streams / 10)
    const heapBefore = await settledMegabytes()
    await readAndCancel(subject, streams)
    await sleep(millisecondsToDisconnect)
    const heapGrowth = (await settledMegabytes()) - heapBefore
    const after = await readStatus(serverUrl)
    return { busySockets: after.busySockets - before.busySockets, heapGrowth }
  }
})

async function readAndCancel(subject: Subject, streams: number): Promise<void> {
  let started = 0
  const worker = async () => {
    while (started < streams) {
      if (started++ % 2 === 0) await subject.read(scenario.small, () => {})
      else await cancelMidway(subject)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, worker))
}

/** The answer stalls after its tokens, so that only the client can end it. */
async function cancelMidway(subject: Subject): Promise<void> {
  const cancellation = new AbortController()
  const done = Promise.withResolvers<void>()
  let expected = parseScenario(scenario.stalled).amount
  const onText = (text: string) => {
    if (text === "" || --expected > 0) return
    cancellation.abort()
    // A subject that does not disconnect must not block the others.
    setTimeout(done.resolve, millisecondsToDisconnect)
  }
  // Some subjects end a cancelled answer, others fail.
  subject.read(scenario.stalled, onText, cancellation.signal).then(done.resolve, () => done.resolve())
  await done.promise
}
