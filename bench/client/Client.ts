import { fork, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import type { SubjectName } from "../subjects/catalogue.ts"
import type { Figures, Order, Outcome, Task } from "./Task.ts"

// Programs run compiled files. Taking the types out of sources anew in every process would cost each of them 0.2 s and
// some 25 MB, which are no cost of the subject.
const compileCache = fileURLToPath(new URL("../results/compile-cache", import.meta.url))

const secondsToStart = 60
const secondsForOneTask = 240

/** The process of one subject, seen from the benchmark. */
export class Client {
  readonly #child: ChildProcess
  #lastWords = ""

  private constructor(child: ChildProcess) {
    this.#child = child
    child.stderr?.on("data", (text: Buffer) => {
      this.#lastWords = (this.#lastWords + text.toString()).slice(-10_000)
    })
  }

  static async start(
    subject: SubjectName,
    serverUrl: string,
    nodeOptions: ReadonlyArray<string> = []
  ): Promise<Client> {
    const child = fork(new URL("main.ts", import.meta.url), [subject, serverUrl], {
      execArgv: ["--expose-gc", ...nodeOptions],
      env: { ...process.env, NODE_COMPILE_CACHE: compileCache },
      // As JSON, a figure that is not a number would arrive as null.
      serialization: "advanced",
      stdio: ["ignore", "ignore", "pipe", "ipc"]
    })
    const client = new Client(child)
    await client.#nextMessage(secondsToStart)
    return client
  }

  /** Fills the cache of compiled files with those of a subject. */
  static async compile(subject: SubjectName, serverUrl: string): Promise<void> {
    const client = await Client.start(subject, serverUrl)
    client.stop()
  }

  async run<Options>(task: Task<Options>, options: Options): Promise<Figures> {
    this.#child.send({ task: task.name, options } satisfies Order)
    const outcome = (await this.#nextMessage(secondsForOneTask)) as Outcome
    if ("failure" in outcome) throw new Error(outcome.failure)
    return outcome.figures
  }

  stop(): void {
    this.#child.kill("SIGKILL")
  }

  async #nextMessage(secondsAtMost: number): Promise<unknown> {
    const listening = new AbortController()
    const { signal } = listening
    try {
      const [message] = await Promise.race([
        once(this.#child, "message", { signal }),
        once(this.#child, "close", { signal }).then(() => this.#fail("its process ended")),
        once(AbortSignal.timeout(secondsAtMost * 1000), "abort", { signal }).then(() =>
          this.#fail(`nothing came in ${secondsAtMost} s`)
        )
      ])
      return message
    } finally {
      listening.abort()
    }
  }

  #fail(what: string): never {
    this.stop()
    const cause = /^.*(?:Error|heap out of memory).*$/m.exec(this.#lastWords)?.[0]
    throw new Error(cause === undefined ? what : `${what}: ${cause.trim()}`)
  }
}
