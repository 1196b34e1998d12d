// What a client process reads off itself.
import { setImmediate } from "node:timers/promises"

/** CPU time of all threads in microseconds and wall time in milliseconds. */
export async function timed(work: () => Promise<void>): Promise<{ readonly cpu: number; readonly wall: number }> {
  const stop = startTiming()
  await work()
  return stop()
}

export function startTiming(): () => { readonly cpu: number; readonly wall: number } {
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

/** Megabytes that are still in use once the garbage is gone. */
export function liveMegabytes(): number {
  collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return (heapUsed + external) / 1e6
}

/** As `liveMegabytes`, once what ends in a later turn of the event loop has ended. */
export async function settledMegabytes(): Promise<number> {
  for (let turn = 0; turn < 5; turn++) {
    collectGarbage()
    await setImmediate()
  }
  return liveMegabytes()
}

/** The most memory this process has ever held, in megabytes. */
export function peakMegabytes(): number {
  return (process.resourceUsage().maxRSS * 1024) / 1e6
}

/** Fails when a subject has lost a token on the way, so that none can win by it. */
export function expectTokens(received: number, sent: number): void {
  if (received !== sent) throw new Error(`${received} of ${sent} tokens arrived`)
}
