/** Gateways on real ports, and clients that see each byte of the responses. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Http from "node:http"
import * as Net from "node:net"
import * as Gateway from "../../src/Gateway.ts"
import { Provider } from "../../src/Provider.ts"
import type { ProviderError } from "../../src/ProviderError.ts"

/** A gateway in front of a provider, as long as the scope. Returns its address. */
export const serve = Effect.fnUntraced(function* (
  provider: Provider,
  options: Gateway.Options = {}
): Effect.fn.Return<string, ProviderError, Scope.Scope> {
  const server = NodeHttpServer.layer(Http.createServer, { port: 0, host: "127.0.0.1", gracefulShutdownTimeout: 0 })
  const live = Layer.provideMerge(
    Layer.provide(Gateway.serve(options), Layer.succeed(Provider, provider)),
    Layer.orDie(server)
  )
  const { address } = Context.get(yield* Layer.build(live), HttpServer.HttpServer)
  return `http://127.0.0.1:${"port" in address ? address.port : 0}`
})

const messages = [{ role: "user", content: "Why is the sky blue?" }]

/** A route for completions. */
export interface Row {
  readonly path: string
  readonly body: object
  /** Only in a response that is complete. */
  readonly end: string
  /** The last record of a response that is not. */
  readonly failure: RegExp
  /** What is sent when there is nothing to send. */
  readonly keepAlive: RegExp
}

const openAiFailure = /^data: \{"error":\{.*\}\}\n\n$/m

export const rows: Readonly<Record<string, Row>> = {
  "Ollama, chat": {
    path: "/api/chat",
    body: { model: "m", messages },
    end: '"done":true',
    failure: /\n\{"error":"(?:[^"\\]|\\.)+"(?:,"status":\d+)?\}\n$/,
    keepAlive: /^ +$/
  },
  "Ollama, generate": {
    path: "/api/generate",
    body: { model: "m", prompt: "Once" },
    end: '"done":true',
    failure: /\n\{"error":"(?:[^"\\]|\\.)+"(?:,"status":\d+)?\}\n$/,
    keepAlive: /^ +$/
  },
  "OpenAI, chat": {
    path: "/v1/chat/completions",
    body: { model: "m", messages },
    end: "data: [DONE]",
    failure: openAiFailure,
    keepAlive: /^(?::.*\n\n)+$/
  },
  "OpenAI, completions": {
    path: "/v1/completions",
    body: { model: "m", prompt: "Once" },
    end: "data: [DONE]",
    failure: openAiFailure,
    keepAlive: /^(?::.*\n\n)+$/
  },
  "OpenAI, responses": {
    path: "/v1/responses",
    body: { model: "m", input: "Why is the sky blue?" },
    end: "response.completed",
    failure: /event: response\.failed\ndata: .*\n\n$/,
    keepAlive: /^(?::.*\n\n)+$/
  },
  "Anthropic, messages": {
    path: "/v1/messages",
    body: { model: "m", max_tokens: 100, messages },
    end: "message_stop",
    failure: /event: error\ndata: \{"type":"error",.*\}\n\n$/,
    keepAlive: /^(?:event: ping\n.*\n\n)+$/
  }
}

/** A response, with how its connection ended. */
export interface Seen {
  readonly status: number
  readonly headers: Http.IncomingHttpHeaders
  readonly text: string
  /** Whether the response has its own end, rather than that of the connection. */
  readonly isWhole: boolean
  /** Whether the connection was closed right after it. */
  readonly isClosed: boolean
}

/** A request that is under way. */
export interface Sent {
  readonly request: Http.ClientRequest
  /** The text so far. */
  readonly text: () => string
  /** Waits until the text so far satisfies the predicate. */
  readonly until: (predicate: (text: string) => boolean) => Promise<void>
  readonly seen: Promise<Seen>
}

/** Sends a request on a connection of its own, which the client keeps open. */
export const send = (
  url: string,
  body: object | string | undefined,
  options: Pick<Http.RequestOptions, "headers" | "method"> = {}
): Sent => {
  let text = ""
  const waiting = new Set<() => void>()
  let resolve: (seen: Seen) => void = () => undefined
  let reject: (error: unknown) => void = () => undefined
  const seen = new Promise<Seen>((...settle) => {
    ;[resolve, reject] = settle
  })
  seen.catch(() => undefined)
  const agent = new Http.Agent({ keepAlive: true, maxSockets: 1 })
  const headers = { ...(body === undefined ? {} : { "content-type": "application/json" }), ...options.headers }
  const method = options.method ?? (body === undefined ? "GET" : "POST")
  const request = Http.request(url, { agent, method, headers }, (response) => {
    let isSocketClosed = false
    response.socket.once("close", () => {
      isSocketClosed = true
    })
    response.setEncoding("utf8")
    response.on("data", (more: string) => {
      text += more
      for (const each of waiting) each()
    })
    response.on("error", () => undefined)
    response.on("close", () => {
      const { complete: isWhole, headers, statusCode: status = 0 } = response
      // A server that closes the connection does so at once.
      setTimeout(() => {
        agent.destroy()
        resolve({ status, headers, text, isWhole, isClosed: isSocketClosed })
      }, 50)
    })
  })
  request.on("error", reject)
  request.end(typeof body === "object" ? JSON.stringify(body) : body)
  return {
    request,
    text: () => text,
    until: (predicate) =>
      new Promise((resolve) => {
        const look = () => {
          if (!predicate(text)) return
          waiting.delete(look)
          resolve()
        }
        waiting.add(look)
        look()
      }),
    seen
  }
}

/** Sends a request and waits for the whole response. */
export const ask = (...parameters: Parameters<typeof send>) => Effect.promise(() => send(...parameters).seen)

/** Writes bytes to a gateway, and returns all that it writes until it closes the connection. */
export const exchange = (url: string, write: (socket: Net.Socket) => void): Effect.Effect<string> =>
  Effect.callback((resume) => {
    const { hostname, port } = new URL(url)
    let text = ""
    const socket = Net.connect({ host: hostname, port: Number(port) }, () => write(socket))
    socket.setEncoding("utf8")
    socket.on("data", (more) => {
      text += String(more)
    })
    socket.on("error", () => undefined)
    socket.on("close", () => resume(Effect.succeed(text)))
    return Effect.sync(() => socket.destroy())
  })
