// Virtual time, which jumps from one timer to the next, so an hour takes seconds.
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scheduler from "effect/Scheduler"

export interface Time {
  /** In milliseconds. */
  readonly now: () => number
  /** Runs a function after some milliseconds. The result cancels it. */
  readonly after: (millis: number, run: () => void) => () => void
}

/** Runs an Effect that waits for nothing but timers and its own fibers. */
export function runVirtually<A, E>(program: (time: Time) => Effect.Effect<A, E>): A {
  let now = 0
  let tasks: Array<() => void> = []
  // In descending order of time. The latest of those with the same time comes first.
  const timers: Array<{ readonly at: number; run: () => void }> = []

  const after: Time["after"] = (millis, run) => {
    const timer = { at: now + Math.max(0, millis), run }
    let [low, high] = [0, timers.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((timers[middle]?.at ?? 0) > timer.at) low = middle + 1
      else high = middle
    }
    timers.splice(low, 0, timer)
    return () => void (timer.run = () => {})
  }
  const runTasks = (): void => {
    while (tasks.length > 0) {
      const ready = tasks
      tasks = []
      for (const task of ready) task()
    }
  }
  const scheduler: Scheduler.Scheduler = {
    executionMode: "async",
    shouldYield: () => false,
    makeDispatcher: () => ({ scheduleTask: (task) => void tasks.push(task), flush: runTasks })
  }
  const time: Time = { now: () => now, after }
  const fiber = Effect.runFork(Effect.provideService(program(time), Clock.Clock, makeClock(time)), { scheduler })
  for (;;) {
    runTasks()
    const exit = fiber.pollUnsafe()
    if (exit?._tag === "Success") return exit.value
    if (exit !== undefined) throw new Error(Cause.pretty(exit.cause))
    const timer = timers.pop()
    if (timer === undefined) throw new Error("the program waits for something that is no timer")
    now = timer.at
    timer.run()
  }
}

function makeClock({ after, now }: Time): Clock.Clock {
  const nanos = () => BigInt(Math.round(now() * 1e6))
  return {
    currentTimeMillisUnsafe: now,
    currentTimeMillis: Effect.sync(now),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanosUnsafe: nanos,
    monotonicTimeNanos: Effect.sync(nanos),
    sleep: (duration) =>
      Effect.callback((resume) => Effect.sync(after(Duration.toMillis(duration), () => resume(Effect.void))))
  }
}
