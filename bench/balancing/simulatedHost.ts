// A model of a host that runs by a clock, and a provider of it.
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { CompletionRequest } from "../../src/CompletionRequest.ts"
import * as Provider from "../../src/Provider.ts"
import { NetworkError, ProviderError } from "../../src/ProviderError.ts"
import type { StreamingChunk } from "../../src/StreamingChunk.ts"
import type { Job, Request, Settings } from "./host.ts"
import { countTokens, Host, tokensOf } from "./host.ts"
import type { Time } from "./time.ts"

export interface RunningHost {
  /** The host as it is now. */
  readonly current: () => Host
  /** Calls back when a request begins to generate, and when it has ended or failed. The result cancels the request. */
  readonly send: (request: Request, onChange: (job: Job) => void) => () => void
}

export function run(settings: Settings, { after, now }: Time): RunningHost {
  const host = new Host(settings)
  let stop = () => {}
  const current = (): Host => {
    host.advance(now())
    return host
  }
  const proceed = (): void => {
    current()
    stop()
    const next = host.nextAt()
    stop = next === Infinity ? stop : after(next - now(), proceed)
  }
  const send: RunningHost["send"] = (request, onChange) => {
    const job = current().send(request, onChange)
    if (job.state === "failed") onChange(job)
    proceed()
    return () => {
      current().cancel(job)
      proceed()
    }
  }
  return { current, send }
}

/** A field that the clients of this benchmark add to their requests. */
export function extraOf({ extra }: CompletionRequest, name: "answer" | "key"): string {
  const fields: Readonly<Record<string, unknown>> = { ...extra }
  return String(fields[name])
}

/** The request as the host sees it. The text of its answer is a field of its own, so that a conversation can go on with it. */
export const toHostRequest = (request: CompletionRequest): Request => ({
  model: request.model ?? "",
  prompt: (request.messages ?? []).map(({ content }) => String(content)),
  answer: extraOf(request, "answer")
})

export function makeProvider(running: RunningHost): Provider.Provider {
  const { models, name } = running.current().settings
  const failure = new ProviderError({ provider: name, reason: new NetworkError({ kind: "refused" }) })
  const stream = (request: CompletionRequest) =>
    Stream.callback<StreamingChunk, ProviderError>((queue) => {
      const onChange = (job: Job): void => {
        if (job.state === "failed") return void Queue.failCauseUnsafe(queue, Cause.fail(failure))
        Queue.offerUnsafe(queue, toChunk(job))
        if (job.state === "ended") Queue.endUnsafe(queue)
      }
      return Effect.acquireRelease(
        Effect.sync(() => running.send(toHostRequest(request), onChange)),
        (cancel) => Effect.sync(cancel)
      )
    })
  const listModels = Effect.suspend(() => {
    const host = running.current()
    return host.isOff ? Effect.fail(failure) : Effect.succeed(models.map((id) => ({ id, isLoaded: host.isLoaded(id) })))
  })
  return Provider.make({ name, stream, listModels })
}

/** The first token, or the end with all others. */
function toChunk({ answer, cachedTokens, model, prompt, state }: Job): StreamingChunk {
  if (state === "generating") return { content: answer.slice(0, 4), isFinal: false }
  const usage = { promptTokens: countTokens(prompt), cachedTokens, completionTokens: tokensOf(answer) }
  return { content: answer.slice(4), isFinal: true, model, finishReason: "stop", usage }
}
