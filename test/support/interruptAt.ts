/** Interrupts between any two steps of an effect, which no clock can hit. */
import * as Effect from "effect/Effect"
import * as Scheduler from "effect/Scheduler"

/** Yields once, before the step of this number, and calls `interrupt` before the fiber goes on. */
export class InterruptAt extends Scheduler.MixedScheduler {
  private step = 0
  private readonly at: number
  private readonly interrupt: () => void
  constructor(at: number, interrupt: () => void) {
    super("async")
    this.at = at
    this.interrupt = interrupt
  }
  get isOver(): boolean {
    return this.step < this.at
  }
  override shouldYield(): boolean {
    if (++this.step !== this.at) return false
    queueMicrotask(this.interrupt)
    return true
  }
}

/** Fibers on a scheduler of their own go on in another task. */
export const nextTask = Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 0)))
