// What a client process measures of itself.
import { setImmediate } from "node:timers/promises"

/** CPU time of all threads in microseconds, and wall time in milliseconds. */
export interface Times {
  readonly cpu: number
  readonly wall: number
}

/** Returns a function that gives the times since this call. */
export function startTiming(): () => Times {
  const cpuBefore = process.cpuUsage()
  const wallBefore = performance.now()
  return () => {
    const wall = performance.now() - wallBefore
    const { user, system } = process.cpuUsage(cpuBefore)
    return { cpu: user + system, wall }
  }
}

export function collectGarbage(): void {
  if (globalThis.gc === undefined) throw new Error("start this process with --expose-gc")
  globalThis.gc()
}

/** Megabytes in use after a garbage collection. */
export function liveMegabytes(): number {
  collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return (heapUsed + external) / 1e6
}

/** Like `liveMegabytes`, after the work of the next turns of the event loop is done. */
export async function settledMegabytes(): Promise<number> {
  for (let turn = 0; turn < 5; turn++) {
    collectGarbage()
    await setImmediate()
  }
  return liveMegabytes()
}

/** Fails if a subject lost tokens, so that no subject gains by losing them. */
export function expectTokens(received: number, sent: number): void {
  if (received !== sent) throw new Error(`${received} of ${sent} tokens arrived`)
}
