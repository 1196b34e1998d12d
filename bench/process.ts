// The programs of the benchmark, each in a process of its own.
import { fork, spawn, type SpawnOptionsWithoutStdio } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import type { Server } from "node:http"
import { fileURLToPath } from "node:url"

export interface Program {
  /** What it said when it was ready: the address of a server. */
  readonly ready: string
  /** Sends a request, and waits for its answer. Fails if the program reports a failure, ends, or needs too long. */
  readonly ask: (request: unknown) => Promise<unknown>
  readonly usage: () => Usage
  readonly stop: () => void
}

export interface Usage {
  /** Microseconds of the processor, so far. The system counts hundredths of a second. */
  readonly cpu: number
  /** Megabytes that are resident. */
  readonly memory: number
}

/** In milliseconds. Long, because a busy machine is no failure. */
const longestWait = 240_000

type Outcome = { readonly value: unknown } | { readonly failure: string }

// Programs run compiled files. Stripping the types would add 0.2 s and 25 MB to every process.
const compileCache = fileURLToPath(new URL("results/compile-cache", import.meta.url))

/** Starts a program of this folder with some flags of Node. */
export async function start(
  file: string,
  parameters: ReadonlyArray<string> = [],
  flags: ReadonlyArray<string> = []
): Promise<Program> {
  const child = fork(new URL(file, import.meta.url), parameters, {
    execArgv: [...flags],
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
  const nextMessage = async (): Promise<unknown> => {
    const timer = setTimeout(stop, longestWait)
    const listening = new AbortController()
    const ended = once(child, "close", listening).then(() => {
      const cause = /(?=\S).*(?:Error|heap out of memory).*/.exec(errorOutput) ?? []
      throw new Error([`its process ended, or gave no result in ${longestWait / 1000} s`, ...cause].join(": "))
    })
    const [message] = await Promise.race([once(child, "message", listening), ended]).finally(() => {
      clearTimeout(timer)
      listening.abort()
    })
    return message
  }
  const ready = String(await nextMessage())
  const ask = async (request: unknown) => {
    child.send(request as object)
    const outcome = (await nextMessage()) as Outcome
    if ("failure" in outcome) throw new Error(outcome.failure)
    return outcome.value
  }
  return { ready, ask, usage: () => usageOf(child.pid), stop }
}

/** Starts another program, and waits until it has written what the pattern matches, whose first group is its address. */
export async function launch(
  command: string,
  parameters: ReadonlyArray<string>,
  pattern: RegExp,
  options: SpawnOptionsWithoutStdio = {}
): Promise<Omit<Program, "ask">> {
  const child = spawn(command, parameters, { env: { ...process.env, NODE_COMPILE_CACHE: compileCache }, ...options })
  const stop = () => void child.kill(options.killSignal ?? "SIGKILL")
  process.once("exit", stop)
  const timer = setTimeout(stop, longestWait)
  const ready = await new Promise<string>((resolve, reject) => {
    let output = ""
    const read = (text: Buffer) => {
      const matched = pattern.exec((output += text.toString()))
      if (matched !== null) resolve(matched[1] ?? "")
    }
    for (const stream of [child.stdout, child.stderr]) stream.on("data", read)
    child.once("close", () => reject(new Error(`${command} ${parameters[0]} has ended: ${output}`)))
  }).finally(() => clearTimeout(timer))
  for (const stream of [child.stdout, child.stderr]) stream.removeAllListeners("data").resume()
  return { ready, usage: () => usageOf(child.pid), stop }
}

/** What a process uses, from `/proc`, so this needs Linux. */
export function usageOf(pid = 0): Usage {
  const [, fields = ""] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")
  const [user, system] = fields.split(" ").slice(11, 13)
  const [, kilobytes] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? []
  return { cpu: (Number(user) + Number(system)) * 10_000, memory: Number(kilobytes) / 1000 }
}

/** In a program: says that it is ready, answers requests, and ends with the program that started it. */
export function serve(ready: string, answer?: (request: never) => Promise<unknown>): void {
  process.on("message", async (request) => {
    const outcome: Outcome = await (answer?.(request as never) ?? Promise.reject(new Error("takes no requests"))).then(
      (value) => ({ value }),
      (error) => ({ failure: messageOf(error) })
    )
    process.send?.(outcome)
  })
  process.once("disconnect", () => process.exit())
  process.send?.(ready)
}

/** In a program that is a server: listens on a free port, and says where. */
export function listen(server: Server): void {
  server.listen({ port: 0, host: "127.0.0.1", backlog: 10_000 }, () => serve(urlOf(server.address())))
}

export const urlOf = (address: object | string | null): string =>
  `http://127.0.0.1:${address !== null && typeof address === "object" && "port" in address ? address.port : 0}`

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
