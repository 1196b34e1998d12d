// What streaming really looks like: many answers at once, each token a packet of its own.
import { startTiming } from "../client/readings.ts"
import type { Figures, Task } from "../client/Task.ts"
import { sharedNow } from "../harness/clock.ts"
import { quantile } from "../harness/statistics.ts"
import { takeServerLateness } from "../server/control.ts"
import { scenario } from "../server/scenarios.ts"
import { everyStreaming } from "../subjects/catalogue.ts"
import type { Subject } from "../subjects/Subject.ts"
import { ratioClaim, type Measure } from "./Measure.ts"
import { measureInRounds } from "./rounds.ts"

export interface PacedLoad {
  readonly streams: number
  readonly seconds: number
}

/** The first token beyond the window ends the measurement, so there have to be some. */
const secondsAfterWindow = 0.1

export const pacedTask: Task<PacedLoad> = { name: "paced", run: watchPacedStreams }

const atMost = { level: "must", figure: "cpuPerToken", bound: "at most" } as const

export const paced: Measure = {
  name: "paced",
  title: "200 answers at once, 50 tokens a second each",
  tables: [
    {
      columns: [
        { figure: "cpuPerToken", title: "CPU per token, µs", digits: 1 },
        { figure: "latenessP50", title: "lateness p50, ms", digits: 2 },
        { figure: "latenessP99", title: "lateness p99, ms", digits: 2 }
      ]
    }
  ],
  claims: [
    ratioClaim({ ...atMost, subject: "ours, NDJSON", against: "ollama", limit: 1 }),
    ratioClaim({ ...atMost, level: "aim", subject: "ours, NDJSON", against: "floor, NDJSON", limit: 1.3 }),
    ratioClaim({ ...atMost, subject: "ours, SSE", against: "openai", limit: 0.75 }),
    ratioClaim({ ...atMost, level: "aim", subject: "ours, SSE", against: "floor, SSE", limit: 1.3 })
  ],
  tasks: [pacedTask],
  run: (bench) =>
    measureInRounds(bench, pacedTask, {
      subjects: everyStreaming,
      rounds: bench.quick ? 1 : 3,
      // Cold, the slowest subjects fall far behind with all of them.
      warmUp: () => ({ streams: 50, seconds: bench.quick ? 0.2 : 4 }),
      options: () => ({ streams: 200, seconds: bench.quick ? 0.4 : 5 })
    })
}

/**
 * Opens the streams, lets them settle, then looks at all tokens that are due within a window of the given length.
 * The window goes by the server's timetable, so that a subject which falls behind cannot shift it.
 */
async function watchPacedStreams(
  subject: Subject,
  { streams, seconds }: PacedLoad,
  serverUrl: string
): Promise<Figures> {
  const settling = Math.min(seconds / 2, 1)
  const asked = scenario.together(streams, settling + seconds + secondsAfterWindow)
  const watch = new Watch(settling * 1000, seconds * 1000)
  await Promise.all(
    Array.from({ length: streams }, () => {
      let first = true
      return subject.read(asked, (dueTime) => {
        if (dueTime === "") return
        // The first token of a stream comes when it is opened, outside the timetable.
        if (!first) watch.see(Number(dueTime))
        first = false
      })
    })
  )
  return { ...watch.figures(), serverLateness: await takeServerLateness(serverUrl) }
}

/** What comes of the tokens that are due within the window. */
class Watch {
  readonly #settling: number
  readonly #length: number
  readonly #lateness: Array<number> = []
  #begin = Number.POSITIVE_INFINITY
  #stopTiming: (() => { readonly cpu: number; readonly wall: number }) | undefined
  #cpuPerToken: number | undefined

  constructor(settling: number, length: number) {
    this.#settling = settling
    this.#length = length
  }

  see(due: number): void {
    this.#begin = Math.min(this.#begin, due + this.#settling)
    if (due < this.#begin) return
    if (due < this.#begin + this.#length) {
      this.#stopTiming ??= startTiming()
      this.#lateness.push(sharedNow() - due)
    } else {
      this.#cpuPerToken ??= this.#costSoFar()
    }
  }

  figures(): Figures {
    return {
      cpuPerToken: this.#cpuPerToken ?? this.#costSoFar(),
      latenessP50: quantile(this.#lateness, 0.5),
      latenessP99: quantile(this.#lateness, 0.99)
    }
  }

  #costSoFar(): number {
    return (this.#stopTiming?.().cpu ?? Number.NaN) / this.#lateness.length
  }
}
