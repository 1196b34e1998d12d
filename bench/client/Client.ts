import { fork, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import type { Figures, Task } from "../measures/Measure.ts"
import type { SubjectName } from "../subjects/catalogue.ts"

/** What the benchmark sends to a client process, and its answer. */
export interface TaskRequest {
  readonly task: string
  readonly options: unknown
}
export type Outcome = { readonly figures: Figures } | { readonly failure: string }

// Programs run compiled files. Stripping the types in every process would cost 0.2 s and 25 MB, which are not costs of the
// subject.
const compileCache = fileURLToPath(new URL("../results/compile-cache", import.meta.url))
const startTimeoutSeconds = 60
const taskTimeoutSeconds = 240

/** The process of one subject, as the benchmark controls it. */
export class Client {
  readonly #child: ChildProcess
  #errorOutput = ""

  private constructor(child: ChildProcess) {
    this.#child = child
    child.stderr?.on("data", (text: Buffer) => {
      this.#errorOutput = (this.#errorOutput + text.toString()).slice(-10_000)
    })
  }

  static async start(name: SubjectName, serverUrl: string, nodeOptions: ReadonlyArray<string> = []): Promise<Client> {
    const child = fork(new URL("main.ts", import.meta.url), [name, serverUrl], {
      execArgv: ["--expose-gc", ...nodeOptions],
      env: { ...process.env, NODE_COMPILE_CACHE: compileCache },
      // As JSON, NaN would arrive as null.
      serialization: "advanced",
      stdio: ["ignore", "ignore", "pipe", "ipc"]
    })
    const client = new Client(child)
    await client.#nextMessage(startTimeoutSeconds)
    return client
  }

  async run<Options>(task: Task<Options>, options: Options): Promise<Figures> {
    this.#child.send({ task: task.name, options } satisfies TaskRequest)
    const outcome = (await this.#nextMessage(taskTimeoutSeconds)) as Outcome
    if ("failure" in outcome) throw new Error(outcome.failure)
    return outcome.figures
  }

  stop(): void {
    this.#child.kill("SIGKILL")
  }

  async #nextMessage(timeoutSeconds: number): Promise<unknown> {
    const listening = new AbortController()
    const { signal } = listening
    try {
      const [message] = await Promise.race([
        once(this.#child, "message", { signal }),
        once(this.#child, "close", { signal }).then(() => this.#fail("its process ended")),
        once(AbortSignal.timeout(timeoutSeconds * 1000), "abort", { signal }).then(() =>
          this.#fail(`no result within ${timeoutSeconds} s`)
        )
      ])
      return message
    } finally {
      listening.abort()
    }
  }

  #fail(what: string): never {
    this.stop()
    const cause = /^.*(?:Error|heap out of memory).*$/m.exec(this.#errorOutput)?.[0]
    throw new Error(cause === undefined ? what : `${what}: ${cause.trim()}`)
  }
}
