// What remains after thousands of answers of which every second one was cancelled midway.
import { setTimeout as sleep } from "node:timers/promises"
import { settledMegabytes } from "../client/readings.ts"
import { countBusySockets } from "../server/control.ts"
import { parseScenario, scenario } from "../server/scenarios.ts"
import { subjectsOf } from "../subjects/catalogue.ts"
import type { Subject } from "../subjects/Subject.ts"
import { column, type Measure, type Target, type Task } from "./Measure.ts"
import { runInTurns } from "./turns.ts"

const concurrency = 100
const millisecondsToDisconnect = 250

const task: Task<{ readonly streams: number }> = {
  name: "cancellation",
  run: async (subject, { streams }, serverUrl) => {
    // Another subject may have left some.
    const busyBefore = await countBusySockets(serverUrl)
    // The first answers fill the pools and compile the code; the memory of that is no leak.
    await readAndCancel(subject, streams / 10)
    const heapBefore = await settledMegabytes()
    await readAndCancel(subject, streams)
    await sleep(millisecondsToDisconnect)
    const heapGrowth = (await settledMegabytes()) - heapBefore
    return { busySockets: (await countBusySockets(serverUrl)) - busyBefore, heapGrowth }
  }
}

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

export const cancellation: Measure = {
  name: "cancellation",
  title: "10,000 answers, half of them cancelled midway",
  tables: [
    { columns: [column("busySockets", "sockets left receiving", 0), column("heapGrowth", "heap growth, MB", 2)] }
  ],
  targets: subjectsOf("ours").flatMap((subject): ReadonlyArray<Target> => [
    { level: "must", subject, figure: "busySockets", what: "sockets left receiving", atMost: 0 },
    { level: "must", subject, figure: "heapGrowth", what: "heap growth in MB", atMost: 2 }
  ]),
  task,
  run: (bench) =>
    runInTurns(bench, task, {
      subjects: subjectsOf("floor", "ours", "peer"),
      rounds: 1,
      options: () => ({ streams: bench.quick ? 400 : 10_000 })
    })
}
