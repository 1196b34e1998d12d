/** An `HttpClient` that gives one answer to every request, without a socket, and notes what was asked. */
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"

export interface Answer {
  readonly status?: number | undefined
  readonly headers?: Record<string, string> | undefined
  /** The body as it comes in, piece by piece. */
  readonly pieces: Iterable<Uint8Array>
  /** What breaks the connection after the last piece. Default: nothing, the body ends. */
  readonly broken?: Error | undefined
}

export const layer = (
  answer: Answer,
  requests: Array<HttpClientRequest.HttpClientRequest> = []
): Layer.Layer<HttpClient.HttpClient> =>
  Layer.succeed(
    HttpClient.HttpClient,
    HttpClient.make((request) =>
      Effect.sync(() => {
        requests.push(request)
        return HttpClientResponse.fromWeb(request, toResponse(answer))
      })
    )
  )

const toResponse = ({ broken, headers = {}, pieces, status = 200 }: Answer): Response => {
  const iterator = pieces[Symbol.iterator]()
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      const next = iterator.next()
      if (next.done !== true) controller.enqueue(next.value)
      else if (broken === undefined) controller.close()
      else controller.error(broken)
    }
  })
  return new Response(body, { status, headers })
}
