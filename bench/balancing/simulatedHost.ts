// A provider whose server is a model of a host.
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { CompletionRequest } from "../../src/CompletionRequest.ts"
import * as Provider from "../../src/Provider.ts"
import { NetworkError, ProviderError } from "../../src/ProviderError.ts"
import type { StreamingChunk } from "../../src/StreamingChunk.ts"
import { countTokens, Host, tokensOf, type Job, type Request, type Settings } from "./host.ts"
import type { Time } from "./time.ts"

export interface SimulatedHost {
  readonly provider: Provider.Provider
  /** How long a request would wait for its first token. */
  readonly forecast: (request: CompletionRequest) => number
}

export function make(settings: Settings, { after, now }: Time): SimulatedHost {
  const { models, name } = settings
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
  const failure = new ProviderError({ provider: name, reason: new NetworkError({ kind: "refused" }) })
  const stream = (request: CompletionRequest) =>
    Stream.callback<StreamingChunk, ProviderError>((queue) => {
      const onChange = (job: Job): void => {
        if (job.state === "failed") return void Queue.failCauseUnsafe(queue, Cause.fail(failure))
        Queue.offerUnsafe(queue, toChunk(job))
        if (job.state === "ended") Queue.endUnsafe(queue)
      }
      const send = Effect.sync(() => {
        const job = current().send(toHostRequest(request), onChange)
        if (job.state === "failed") onChange(job)
        proceed()
        return job
      })
      const cancel = (job: Job) =>
        Effect.sync(() => {
          current().cancel(job)
          proceed()
        })
      return Effect.acquireRelease(send, cancel)
    })
  const listModels = Effect.suspend(() => {
    const { isOff, loaded } = current()
    return isOff ? Effect.fail(failure) : Effect.succeed(models.map((id) => ({ id, isLoaded: id === loaded })))
  })
  return {
    provider: Provider.make({ name, stream, listModels }),
    forecast: (request) => current().forecast(toHostRequest(request))
  }
}

/** A field that the clients of this benchmark add to their requests. */
export function extraOf({ extra }: CompletionRequest, name: "answer" | "key"): string {
  const fields: Readonly<Record<string, unknown>> = { ...extra }
  return String(fields[name])
}

/** The request as the host sees it. The text of its answer is a field of its own, so that a conversation can go on with it. */
const toHostRequest = (request: CompletionRequest): Request => ({
  model: request.model ?? "",
  prompt: (request.messages ?? []).map(({ content }) => String(content)),
  answer: extraOf(request, "answer")
})

/** The first token, or the end with all others. */
function toChunk({ answer, cachedTokens, model, prompt, state }: Job): StreamingChunk {
  if (state === "generating") return { content: answer.slice(0, 4), isFinal: false }
  const usage = { promptTokens: countTokens(prompt), cachedTokens, completionTokens: tokensOf(answer) }
  return { content: answer.slice(4), isFinal: true, model, finishReason: "stop", usage }
}
