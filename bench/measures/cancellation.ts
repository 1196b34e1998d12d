// What is left after thousands of answers, every second one of which was cancelled midway.
import { settledMegabytes } from "../client/readings.ts"
import type { Task } from "../client/Task.ts"
import { sleep } from "../harness/clock.ts"
import { countBusySockets } from "../server/control.ts"
import { parseScenario, scenario } from "../server/scenarios.ts"
import { floors, ourselves, peers, type SubjectName } from "../subjects/catalogue.ts"
import type { Subject } from "../subjects/Subject.ts"
import type { Claim, Measure } from "./Measure.ts"
import { measureInRounds } from "./rounds.ts"

interface Options {
  readonly streams: number
}

const atOnce = 100
const millisecondsToLetGo = 250

const task: Task<Options> = {
  name: "cancellation",
  run: async (subject, { streams }, serverUrl) => {
    // Another subject may have left some.
    const busyBefore = await countBusySockets(serverUrl)
    // The first answers fill the pools and compile the code; what they leave is no leak.
    await readAndCancel(subject, streams / 10)
    const heapBefore = await settledMegabytes()
    await readAndCancel(subject, streams)
    await sleep(millisecondsToLetGo)
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
  await Promise.all(Array.from({ length: atOnce }, worker))
}

/** The answer stalls after its tokens: it is the client that has to end it. */
async function cancelMidway(subject: Subject): Promise<void> {
  const leaving = new AbortController()
  const cancelled = Promise.withResolvers<void>()
  let expected = parseScenario(scenario.stalled).amount
  const onText = (text: string) => {
    if (text === "" || --expected > 0) return
    leaving.abort()
    // A subject that does not let go must not hold up the rest.
    setTimeout(cancelled.resolve, millisecondsToLetGo)
  }
  // Whether a cancelled answer ends or fails is each subject's own way.
  subject.read(scenario.stalled, onText, leaving.signal).then(cancelled.resolve, () => cancelled.resolve())
  await cancelled.promise
}

function nothingIsLeft(subject: SubjectName): ReadonlyArray<Claim> {
  const claim = (figure: string, says: string, limit: number): Claim => ({
    level: "must",
    says: `${subject}: ${says}`,
    bound: "at most",
    limit,
    value: (median) => median(subject, figure)
  })
  return [claim("busySockets", "no socket left receiving", 0), claim("heapGrowth", "at most 2 MB more heap", 2)]
}

export const cancellation: Measure = {
  name: "cancellation",
  title: "10,000 answers, half of them cancelled midway",
  tables: [
    {
      columns: [
        { figure: "busySockets", title: "sockets left receiving", digits: 0 },
        { figure: "heapGrowth", title: "heap growth, MB", digits: 2 }
      ]
    }
  ],
  claims: ourselves.flatMap(nothingIsLeft),
  tasks: [task],
  run: (bench) =>
    measureInRounds(bench, task, {
      subjects: [...floors, ...ourselves, ...peers],
      rounds: 1,
      options: () => ({ streams: bench.quick ? 400 : 10_000 })
    })
}
