/** What tests run inside a page: reading answers with the providers of this library. The tests call `lab` of the page. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import type * as HttpClient from "effect/http/HttpClient"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as LlamaServer from "../../src/LlamaServer.ts"
import * as LmStudio from "../../src/LmStudio.ts"
import * as Ollama from "../../src/Ollama.ts"
import type * as Provider from "../../src/Provider.ts"
import { isProviderError } from "../../src/ProviderError.ts"
import type { PartName } from "./support/parts.ts"
import { part } from "./support/parts.ts"

const servers = { Ollama: Ollama.make, LmStudio: LmStudio.make, LlamaServer: LlamaServer.make }

export type ServerName = keyof typeof servers

/** What a page asks. Everything in it crosses to the browser as JSON. */
export interface Question {
  readonly server?: ServerName
  readonly url: string
  /** Default: sends none. */
  readonly token?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly traceHeaders?: boolean
  readonly maxLineBytes?: number
  readonly deadlines?: { readonly firstChunk?: number; readonly idle?: number; readonly total?: number }
  /** Stops after so many chunks. Default: reads to the end. */
  readonly take?: number
  /** Milliseconds between two chunks. Default: as fast as they come. */
  readonly pause?: number
}

export interface Failure {
  readonly reason: string
  readonly message: string
  readonly detail?: string | undefined
  readonly status?: number | undefined
  /** In milliseconds. */
  readonly retryAfter?: number | undefined
}

/** How an answer stands. */
export interface Reading {
  /** Its first characters. */
  text: string
  characters: number
  chunks: number
  /** When each of the first chunks came, in milliseconds since the question. */
  readonly times: Array<number>
  outcome: "reading" | "complete" | "failed" | "interrupted" | "defect"
  failure?: Failure
}

const keptCharacters = 1000

const toFailure = (error: unknown): Failure => {
  if (!isProviderError(error)) return { reason: "not a ProviderError", message: String(error) }
  const { message, reason, retryAfter } = error
  return {
    reason: reason._tag,
    message,
    detail: "detail" in reason && reason.detail !== undefined ? Redacted.value(reason.detail) : undefined,
    status: "status" in reason ? reason.status : undefined,
    retryAfter: retryAfter && Duration.toMillis(retryAfter)
  }
}

const makeProvider = ({
  deadlines,
  headers,
  maxLineBytes,
  server = "Ollama",
  token,
  traceHeaders,
  url
}: Question): Effect.Effect<Provider.Provider, unknown, HttpClient.HttpClient> =>
  servers[server]({
    baseUrl: url,
    token: token === undefined ? undefined : Redacted.make(token),
    headers,
    traceHeaders,
    maxLineBytes,
    deadlines
  })

const readings: Array<{ readonly reading: Reading; readonly stop: () => void }> = []

const read = (question: Question, reading: Reading): Effect.Effect<void, unknown> => {
  const started = performance.now()
  return Effect.flatMap(makeProvider(question), ({ stream }) =>
    stream({ model: "fake", messages: [{ role: "user", content: "Why is the sky blue?" }] }).pipe(
      question.take === undefined ? (chunks) => chunks : Stream.take(question.take),
      Stream.runForEach(({ content, thinking = "" }) => {
        reading.chunks++
        reading.characters += content.length + thinking.length
        if (reading.text.length < keptCharacters) reading.text += thinking + content
        if (reading.times.length < keptCharacters) reading.times.push(performance.now() - started)
        return question.pause === undefined ? Effect.void : Effect.sleep(question.pause)
      })
    )
  ).pipe(Effect.provide(FetchHttpClient.layer), Effect.withSpan("question"))
}

const lab = {
  /** Asks, and returns the number of the reading. */
  ask: (question: Question): number => {
    const reading: Reading = { text: "", characters: 0, chunks: 0, times: [], outcome: "reading" }
    const stop = Effect.runCallback(read(question, reading), {
      onExit: (exit) => {
        if (Exit.isSuccess(exit)) reading.outcome = "complete"
        else if (Cause.hasInterruptsOnly(exit.cause)) reading.outcome = "interrupted"
        else {
          const error = Cause.findError(exit.cause)
          reading.outcome = Result.isSuccess(error) ? "failed" : "defect"
          reading.failure = toFailure(Result.isSuccess(error) ? error.success : Cause.squash(exit.cause))
        }
      }
    })
    return readings.push({ reading, stop }) - 1
  },
  look: (number: number): Reading | undefined => readings[number]?.reading,
  stop: (number: number): void => readings[number]?.stop(),
  /** Runs one of the other parts of the library, and returns what it found. */
  run: (name: PartName, urls: ReadonlyArray<string>): Promise<unknown> =>
    Effect.runPromise(Effect.provide(part(name)(urls), FetchHttpClient.layer))
}

declare global {
  var lab: Lab
}

export type Lab = typeof lab

globalThis.lab = lab
