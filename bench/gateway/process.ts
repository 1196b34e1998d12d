/** Programs of the benchmark, each a process of its own, which reports what it has used. */
import { fork } from "node:child_process"
import { fileURLToPath } from "node:url"

export interface Usage {
  /** Microseconds of the processor, so far. */
  readonly cpu: number
  /** Megabytes. */
  readonly rss: number
}

export interface Program {
  readonly url: string
  readonly usage: () => Promise<Usage>
  readonly stop: () => void
}

/** Starts a program of this folder. */
export const start = (name: "host" | "proxy", ...parameters: ReadonlyArray<string>): Promise<Program> =>
  new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(new URL(`./${name}.ts`, import.meta.url)), parameters)
    child.once("error", reject)
    child.once("exit", () => reject(new Error(`${name} ${parameters.join(" ")} has ended`)))
    child.once("message", (url) =>
      resolve({
        url: String(url),
        usage: () =>
          new Promise((resolve) => {
            child.once("message", (usage) => resolve(usage as Usage))
            child.send("usage")
          }),
        stop: () => child.disconnect()
      })
    )
  })

/** In a program: says where it listens, reports when it is asked, and ends with the program that started it. */
export const serve = (url: string): void => {
  process.send?.(url)
  process.once("disconnect", () => process.exit())
  process.on("message", () => {
    const { system, user } = process.cpuUsage()
    process.send?.({ cpu: system + user, rss: process.memoryUsage().rss / 1e6 } satisfies Usage)
  })
}
