// What may happen to an answer, and what a client should do then.
import { endless, silence, type Answer } from "../../src/testing/FakeServer.ts"
import type { Protocol } from "../server/wire.ts"

/** What the client did. */
export interface Observed {
  /** The text that it passed on. */
  readonly text: string
  readonly end: "complete" | "failed" | "waiting"
  /** Whether the server saw that the client closed the connection. */
  readonly isClosed: boolean
}

export interface Situation {
  readonly title: string
  readonly answer: (protocol: Protocol) => Answer
  /** Stops the client: by its own failure at the first text, or by a signal after the request has arrived. */
  readonly stop?: "at the first text" | "later"
  /** After how many bytes a client that goes on is not waited for. Default: it is waited for as long as may be. */
  readonly enoughBytes?: number
  readonly isRight: (observed: Observed) => boolean
  /** In the words of the table. Default: how the answer ended. */
  readonly describe?: (observed: Observed) => string
}

const text = "The sky is blue."
const characters = "Größe 日本語 🦊"
const longLineBytes = 16 * 1024 * 1024

/** 16 MiB without the end of a line. */
const longLine = (protocol: Protocol) => ({
  *[Symbol.iterator]() {
    const beginning = { ndjson: '{"message":{"content":"', sse: 'data: {"choices":[{"index":0,"delta":{"content":"' }
    yield "Now: "
    yield { raw: beginning[protocol] }
    for (let sent = 0; sent < longLineBytes; sent += 65_536) yield { raw: "x".repeat(65_536) }
    yield { wait: Infinity }
  }
})

/** The client has to report that the answer is not complete, after the text that came. */
const isFailure = ({ end, text }: Observed) => end === "failed" && text.length > 0

const failing = (title: string, answer: Answer): Situation => ({ title, answer: () => answer, isRight: isFailure })

/** The client stops. The server has to see that. */
const stopping = (title: string, answer: Answer, stop: NonNullable<Situation["stop"]>): Situation => ({
  title,
  answer: () => answer,
  stop,
  isRight: ({ isClosed }) => isClosed,
  describe: ({ isClosed }) => (isClosed ? "the server stops" : "the server goes on")
})

const endlessAnswer = { pieces: endless("word "), delay: { between: 5 } }

export const situations: ReadonlyArray<Situation> = [
  failing("The body ends without its end marker", { text, cut: { how: "end" } }),
  failing("The connection is reset in the middle", { pieces: ["The ", "sky ", { wait: 300 }], cut: { how: "reset" } }),
  failing("A record in the middle is not JSON", { pieces: ["The ", { record: '{"broken' }, "sky"] }),
  failing("The server reports an error in the middle", { pieces: ["The ", "sky ", { error: "out of memory" }] }),
  {
    title: "A line of 16 MiB that does not end",
    answer: (protocol) => ({ pieces: longLine(protocol) }),
    enoughBytes: longLineBytes,
    isRight: isFailure,
    describe: ({ end }) => (end === "waiting" ? "collects it" : end === "failed" ? "fails" : "ends as complete")
  },
  stopping("The consumer fails or breaks its loop at the first text", endlessAnswer, "at the first text"),
  stopping("The consumer stops before the headers, while the model loads", silence, "later"),
  {
    title: "The consumer stops in the middle: the result differs from a complete answer",
    answer: () => endlessAnswer,
    stop: "later",
    isRight: ({ end }) => end === "failed",
    describe: ({ end }) => (end === "failed" ? "yes" : "no")
  },
  {
    title: "The connection stays open after the end marker",
    answer: () => ({ text, holdOpen: true }),
    isRight: ({ end }) => end === "complete"
  },
  {
    title: "Characters are split over packets",
    answer: () => ({ text: characters, drip: { bytes: 1 } }),
    isRight: ({ end, text }) => end === "complete" && text === characters,
    describe: ({ text }) => (text === characters ? "whole" : "damaged")
  }
]
