// What a client process measures of itself.
import { setImmediate } from "node:timers/promises"
import type { Subject } from "../subjects/catalogue.ts"

/** Reads an answer. Fails if the subject lost tokens, so that no subject gains by losing them. */
export async function readTokens({ read }: Subject, scenario: string, sent: number, onLast?: () => void) {
  let received = 0
  await read(scenario, (text) => {
    if (text !== "" && ++received === sent) onLast?.()
  })
  if (received !== sent) throw new Error(`${received} of ${sent} tokens arrived`)
}

/** Returns a function that gives the CPU time of all threads in µs and the wall time in ms since this call. */
export function startTiming() {
  const cpuBefore = process.cpuUsage()
  const wallBefore = performance.now()
  return () => {
    const wall = performance.now() - wallBefore
    const { user, system } = process.cpuUsage(cpuBefore)
    return { cpu: user + system, wall }
  }
}

/** Megabytes in use after a garbage collection; the process is started with `--expose-gc`. */
export function liveMegabytes(): number {
  globalThis.gc?.()
  const { heapUsed, external } = process.memoryUsage()
  return (heapUsed + external) / 1e6
}

/** Like `liveMegabytes`, after the work of the next turns of the event loop is done. */
export async function settledMegabytes(): Promise<number> {
  for (let turn = 0; turn < 5; turn++) {
    globalThis.gc?.()
    await setImmediate()
  }
  return liveMegabytes()
}
