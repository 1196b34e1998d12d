// The usual load of a backend: many answers at once, each token in its own packet.
import { startTiming, type Times } from "../client/readings.ts"
import { sharedNow } from "../clock.ts"
import { takeServerLateness } from "../server/control.ts"
import { scenario } from "../server/scenarios.ts"
import { quantile } from "../statistics.ts"
import { subjectsOf } from "../subjects/catalogue.ts"
import type { Subject } from "../subjects/Subject.ts"
import { column, type Figures, type Measure, type Task } from "./Measure.ts"
import { runInTurns } from "./turns.ts"

interface PacedLoad {
  readonly streams: number
  readonly seconds: number
}

export const pacedTask: Task<PacedLoad> = { name: "paced", run: readPacedStreams }

/** The first token after the window ends the measurement, so there have to be some. */
const secondsAfterWindow = 0.1

/**
 * Opens the streams, lets them settle, then measures all tokens that are due within a window of the given length. The
 * window follows the server's timetable, so that a late subject cannot shift it.
 */
async function readPacedStreams(subject: Subject, load: PacedLoad, serverUrl: string): Promise<Figures> {
  const { streams, seconds } = load
  const settling = Math.min(seconds / 2, 1)
  const answer = scenario.paced(streams, settling + seconds + secondsAfterWindow)
  const measured = new Window(settling * 1000, seconds * 1000)
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
  return { ...measured.figures(), serverLateness: await takeServerLateness(serverUrl) }
}

/** The tokens that are due within the window, and the CPU time from its first token to the first token after it. */
class Window {
  readonly #settling: number
  readonly #length: number
  readonly #lateness: Array<number> = []
  #begin = Number.POSITIVE_INFINITY
  #stopTiming: (() => Times) | undefined
  #cpuPerToken: number | undefined

  constructor(settling: number, length: number) {
    this.#settling = settling
    this.#length = length
  }

  add(due: number): void {
    this.#begin = Math.min(this.#begin, due + this.#settling)
    if (due < this.#begin) return
    if (due < this.#begin + this.#length) {
      this.#stopTiming ??= startTiming()
      this.#lateness.push(sharedNow() - due)
    } else {
      this.#cpuPerToken ??= this.#cpuPerTokenSoFar()
    }
  }

  figures(): Figures {
    return {
      cpuPerToken: this.#cpuPerToken ?? this.#cpuPerTokenSoFar(),
      latenessP50: quantile(this.#lateness, 0.5),
      latenessP99: quantile(this.#lateness, 0.99)
    }
  }

  #cpuPerTokenSoFar(): number {
    return (this.#stopTiming?.().cpu ?? Number.NaN) / this.#lateness.length
  }
}

const ndjson = { subject: "ours, NDJSON", figure: "cpuPerToken" }
const sse = { subject: "ours, SSE", figure: "cpuPerToken" }

export const paced: Measure = {
  name: "paced",
  title: "200 answers at once, 50 tokens a second each",
  tables: [
    {
      columns: [
        column("cpuPerToken", "CPU per token, µs", 1),
        column("latenessP50", "lateness p50, ms", 2),
        column("latenessP99", "lateness p99, ms", 2)
      ]
    }
  ],
  chart: { kind: "bars", title: "200 paced answers: CPU per token, µs (less is better)" },
  targets: [
    { level: "must", ...ndjson, atMost: 0.95, times: "ollama" },
    { level: "goal", ...ndjson, atMost: 1.3, times: "floor, NDJSON" },
    { level: "must", ...sse, atMost: 0.75, times: "openai" },
    { level: "goal", ...sse, atMost: 1.3, times: "floor, SSE" }
  ],
  task: pacedTask,
  run: (bench) =>
    runInTurns(bench, pacedTask, {
      subjects: subjectsOf("floor", "ours", "variant", "peer"),
      rounds: bench.quick ? 1 : 3,
      // Without a warm-up, the slowest subjects are far too late with all streams.
      warmUp: { streams: 50, seconds: bench.quick ? 0.2 : 4 },
      options: () => ({ streams: 200, seconds: bench.quick ? 0.4 : 5 })
    })
}
