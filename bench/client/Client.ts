import { fork } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import type { Figures } from "../measures/Measure.ts"
import type { SubjectName } from "../subjects/catalogue.ts"

/** The process of one subject, as the benchmark controls it. */
export interface Client {
  /** Runs the task of a measure. */
  readonly run: (measure: string, options: unknown) => Promise<Figures>
  readonly stop: () => void
}

/** What the benchmark sends to a client process, and its answer. */
export interface TaskRequest {
  readonly measure: string
  readonly options: unknown
}
export type Outcome = { readonly figures: Figures } | { readonly failure: string }

// Programs run compiled files. Stripping the types would add 0.2 s and 25 MB to every process.
const compileCache = fileURLToPath(new URL("../results/compile-cache", import.meta.url))

export async function startClient(name: SubjectName, serverUrl: string, flags: Array<string> = []): Promise<Client> {
  const child = fork(new URL("main.ts", import.meta.url), [name, serverUrl], {
    execArgv: ["--expose-gc", ...flags],
    env: { ...process.env, NODE_COMPILE_CACHE: compileCache },
    // As JSON, NaN would arrive as null.
    serialization: "advanced",
    stdio: ["ignore", "ignore", "pipe", "ipc"]
  })
  let errorOutput = ""
  child.stderr?.on("data", (text: Buffer) => {
    errorOutput = (errorOutput + text.toString()).slice(-10_000)
  })
  const stop = () => void child.kill("SIGKILL")
  const nextMessage = async (timeoutSeconds: number) => {
    const timer = setTimeout(stop, timeoutSeconds * 1000)
    const listening = new AbortController()
    const ended = once(child, "close", listening).then(() => {
      const cause = /(?=\S).*(?:Error|heap out of memory).*/.exec(errorOutput) ?? []
      throw new Error([`its process ended, or gave no result in ${timeoutSeconds} s`, ...cause].join(": "))
    })
    const [message] = await Promise.race([once(child, "message", listening), ended]).finally(() => {
      clearTimeout(timer)
      listening.abort()
    })
    return message as unknown
  }
  await nextMessage(60)
  const run = async (measure: string, options: unknown) => {
    child.send({ measure, options } satisfies TaskRequest)
    const outcome = (await nextMessage(240)) as Outcome
    if ("failure" in outcome) throw new Error(outcome.failure)
    return outcome.figures
  }
  return { run, stop }
}
