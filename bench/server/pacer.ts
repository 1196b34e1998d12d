import type { ServerResponse } from "node:http"
import { quantile, sharedNow } from "../statistics.ts"
import { packet, sendPacket, type Wire } from "./wire.ts"

let lateness: Array<number> = []

/** The 99th percentile of the server's own lateness since the last call, in milliseconds; 0 without paced answers. */
export function takeLateness(): number {
  const taken = lateness
  lateness = []
  return taken.length === 0 ? 0 : quantile(taken, 0.99)
}

/**
 * Returns a function that sends an answer one token each so many ms. All answers are spread evenly over these. Each gets its first token
 * at once and waits until `count` answers are open, so that connecting is not measured.
 */
export function makePacer(wire: Wire, millisecondsPerToken: number) {
  const answersByMillisecond = Array.from({ length: millisecondsPerToken }, () => new Set<ServerResponse>())
  const waiting = new Set<ServerResponse>()
  const tokenDueAt = (time: number) => packet(wire.token(String(time)))
  let open = 0
  let joined = 0
  let due = 0
  let timer: NodeJS.Timeout | undefined

  const sendDueTokens = () => {
    for (const now = sharedNow(); due <= now; due++) {
      const answers = answersByMillisecond[due % millisecondsPerToken]
      if (answers === undefined || answers.size === 0) continue
      const token = tokenDueAt(due)
      for (const response of answers) sendPacket(response, token)
      lateness.push(sharedNow() - due)
    }
  }

  const join = (response: ServerResponse, seconds: number) => {
    const answers = answersByMillisecond[joined++ % millisecondsPerToken]
    answers?.add(response)
    if (open++ === 0) {
      due = Math.ceil(sharedNow())
      timer = setInterval(sendDueTokens, 1)
    }
    const end = setTimeout(() => {
      answers?.delete(response)
      response.end(wire.ending)
    }, seconds * 1000)
    response.once("close", () => {
      clearTimeout(end)
      answers?.delete(response)
      if (--open === 0) clearInterval(timer)
    })
  }

  return (response: ServerResponse, count: number, seconds: number): void => {
    sendPacket(response, tokenDueAt(Math.floor(sharedNow())))
    waiting.add(response)
    response.once("close", () => waiting.delete(response))
    if (waiting.size < count) return
    for (const each of waiting) join(each, seconds)
    waiting.clear()
  }
}
