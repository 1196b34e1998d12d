import type { ServerResponse } from "node:http"
import { sharedNow } from "../clock.ts"
import { quantile } from "../statistics.ts"
import { packet, sendPacket, type Wire } from "./wire.ts"

const millisecondsPerToken = 20
let lateness: Array<number> = []

/** The 99th percentile of the server's own lateness since the last call, in milliseconds; 0 without paced answers. */
export function takeLateness(): number {
  const taken = lateness
  lateness = []
  return taken.length === 0 ? 0 : quantile(taken, 0.99)
}

/** Sends every open answer one token each 20 ms. The answers are spread evenly over the 20 ms. */
export class Pacer {
  readonly #wire: Wire
  readonly #answersByMillisecond = Array.from({ length: millisecondsPerToken }, () => new Set<ServerResponse>())
  readonly #waiting = new Set<ServerResponse>()
  #answers = 0
  #joined = 0
  #due = 0
  #timer: NodeJS.Timeout | undefined

  constructor(wire: Wire) {
    this.#wire = wire
  }

  /** Sends the first token, then waits until this many answers are open, so that connecting is not measured. */
  answer(response: ServerResponse, count: number, seconds: number): void {
    sendPacket(response, this.#tokenDueAt(Math.floor(sharedNow())))
    this.#waiting.add(response)
    response.once("close", () => this.#waiting.delete(response))
    if (this.#waiting.size < count) return
    for (const waiting of this.#waiting) this.#join(waiting, seconds)
    this.#waiting.clear()
  }

  #join(response: ServerResponse, seconds: number): void {
    const answers = this.#answersByMillisecond[this.#joined++ % millisecondsPerToken]
    answers?.add(response)
    if (this.#answers++ === 0) {
      this.#due = Math.ceil(sharedNow())
      this.#timer = setInterval(() => this.#sendDueTokens(), 1)
    }
    const end = setTimeout(() => {
      answers?.delete(response)
      response.end(this.#wire.ending)
    }, seconds * 1000)
    response.once("close", () => {
      clearTimeout(end)
      answers?.delete(response)
      if (--this.#answers === 0) clearInterval(this.#timer)
    })
  }

  #sendDueTokens(): void {
    for (const now = sharedNow(); this.#due <= now; this.#due++) {
      const answers = this.#answersByMillisecond[this.#due % millisecondsPerToken]
      if (answers === undefined || answers.size === 0) continue
      const token = this.#tokenDueAt(this.#due)
      for (const response of answers) sendPacket(response, token)
      lateness.push(sharedNow() - this.#due)
    }
  }

  #tokenDueAt(time: number): Buffer {
    return packet(this.#wire.token(String(time)))
  }
}
