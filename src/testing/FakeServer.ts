/**
 * A model server for tests. It listens on a real port, implements the protocols of Ollama and of the OpenAI-compatible
 * servers, and follows a script, which can contain faults.
 *
 * @category Testing
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Http from "node:http"
import type { Answer, Piece, ReceivedRequest, Reply, Script } from "./answer.ts"
import * as Cors from "./cors.ts"
import * as Delivery from "./delivery.ts"
import type { State } from "./log.ts"
import * as Log from "./log.ts"
import * as OtherEndpoints from "./otherEndpoints.ts"
import { wires } from "./wireRecords.ts"

export type { Answer, Completion, Cut, Delivery, Piece, ReceivedRequest, Reply, Script } from "./answer.ts"
export type { State } from "./log.ts"

/**
 * A running fake server.
 *
 * @category services
 * @since 0.1.0
 */
export class FakeServer extends Context.Service<
  FakeServer,
  {
    /** Its address, such as `http://127.0.0.1:49152`: the `baseUrl` of a provider. */
    readonly url: string
    /** The requests and connections so far. */
    readonly state: Effect.Effect<State>
    /** Waits until the state satisfies the predicate. */
    readonly until: (predicate: (state: State) => boolean) => Effect.Effect<State>
    /** Replaces the script, from the next request on. */
    readonly setScript: (script: Script) => Effect.Effect<void>
  }
>()("effect-local-llm/testing/FakeServer") {}

/**
 * Options besides the script. All fields are optional.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** The models that it lists. It answers requests for any model. Default: one, `fake:latest`. */
  readonly models?: ReadonlyArray<string> | undefined
  /**
   * The pages that may use it, as with `OLLAMA_ORIGINS`: origins such as `http://localhost:5173`, or `"*"`. Their preflights are
   * answered as Ollama answers them, which allows only the headers of its list; other origins get the status 403. The script is
   * called in neither case. A header in a `Reply` replaces that of CORS. Default: no headers of CORS are sent, so browsers allow
   * only pages of its own origin.
   */
  readonly origins?: ReadonlyArray<string> | undefined
}

/**
 * Starts a server that listens on a free port of 127.0.0.1, and closes it, with all its connections, at the end of the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  script: Script = { text: "This answer comes from a fake server." },
  { models = ["fake:latest"], origins }: Options = {}
): Effect.fn.Return<FakeServer["Service"], never, Scope.Scope> {
  const log = Log.make()
  let currentScript = script
  const run = yield* FiberSet.makeRuntime()

  const answer = Effect.fnUntraced(function* (request: Http.IncomingMessage, response: Http.ServerResponse) {
    const body = yield* readBody(request)
    const entry = log.begin(request, body)
    const channel: Delivery.Channel = {
      response,
      onWritten: (bytes) => log.update(entry, { bytesWritten: entry.bytesWritten + bytes }),
      onCut: () => log.update(entry, { outcome: "cut-by-server" })
    }
    response.once("close", () => {
      if (entry.outcome !== "answering") return
      const left = log.isClosed() ? "cut-by-server" : "cut-by-client"
      log.update(entry, { outcome: response.writableFinished ? "completed" : left })
    })

    const path = entry.path.replace(/\?.*/, "")
    const wire = entry.method === "POST" ? wires[path] : undefined
    const cors = origins === undefined ? { headers: {} } : Cors.decide(request, origins)
    if ("reply" in cors) return yield* Delivery.sendReply(channel, cors.reply)
    for (const [name, value] of Object.entries(cors.headers)) response.setHeader(name, value)
    const scripted = yield* ask(currentScript, { ...entry })
    if ("status" in scripted) return yield* Delivery.sendReply(channel, scripted)
    if (wire === undefined) {
      return yield* Delivery.sendReply(channel, OtherEndpoints.answer(entry.method, path, models, body))
    }
    yield* Delivery.sendCompletion(channel, scripted, wire(readOptions(body, scripted.model)))
  })

  const server = Http.createServer((request, response) => {
    const fiber = run(
      Effect.catchDefect(answer(request, response), (defect) => Effect.sync(() => fail(response, defect)))
    )
    response.once("close", () => fiber.interruptUnsafe())
  })
  // No idle connection is closed in the middle of a test.
  server.keepAliveTimeout = 0
  server.on("connection", (socket) => {
    log.connect()
    // A microtask later the response knows as well.
    socket.once("close", () => queueMicrotask(log.disconnect))
  })
  const port = yield* Effect.acquireRelease(listen(server), () =>
    Effect.callback<void>((resume) => {
      log.close()
      server.close(() => resume(Effect.void))
      server.closeAllConnections()
    })
  )

  return FakeServer.of({
    url: `http://127.0.0.1:${port}`,
    state: Effect.sync(log.state),
    until: log.until,
    setScript: (script) =>
      Effect.sync(() => {
        currentScript = script
      })
  })
})

/**
 * Provides a fake server.
 *
 * **Details**
 *
 * It has the routes `POST /api/chat`, `/api/generate`, `/v1/chat/completions` and `/v1/completions`, which the script answers, and
 * `GET /`, `/api/version`, `/api/tags`, `/api/ps`, `/v1/models`, `/health` and `/lmstudio-greeting`. `POST /api/embed` and
 * `/v1/embeddings` count the letters of each text; `POST /api/show` describes its models, and `POST /api/pull`,
 * `/api/push`, `/api/create`, `/api/copy` and `DELETE /api/delete` succeed without changing them. It refuses everything else as
 * the real servers do. Delays follow the clock that the layer was built with, so `TestClock` moves them.
 *
 * **Gotchas**
 *
 * It always streams, also if the request has `stream: false`, and it does not validate requests.
 *
 * **Example** (a provider against it, and what the server received)
 *
 * ```ts
 * import { NodeHttpClient } from "@effect/platform-node"
 * import { Effect, Layer, Stream } from "effect"
 * import { Ollama, Provider } from "effect-local-llm"
 * import { FakeServer } from "effect-local-llm/testing"
 *
 * const OllamaTest = Layer.unwrap(
 *   Effect.map(FakeServer.FakeServer, ({ url }) => Ollama.layer({ baseUrl: url }))
 * ).pipe(
 *   Layer.provide(NodeHttpClient.layerUndici),
 *   Layer.provideMerge(FakeServer.layer({ pieces: FakeServer.endless("again ") }))
 * )
 *
 * const program = Effect.gen(function*() {
 *   const provider = yield* Provider.Provider
 *   const server = yield* FakeServer.FakeServer
 *   yield* provider.stream({ model: "any", prompt: "Once" }).pipe(Stream.take(3), Stream.runDrain)
 *   yield* server.until(({ requests }) => requests[0]?.outcome === "cut-by-client")
 * }).pipe(Effect.provide(OllamaTest))
 * ```
 *
 * **Example** (a server that is busy at first, then breaks, then answers)
 *
 * ```ts
 * import { FakeServer } from "effect-local-llm/testing"
 *
 * const live = FakeServer.layer((request) =>
 *   request.index === 0
 *     ? { status: 503, body: { error: "server busy" } }
 *     : request.index === 1
 *       ? { text: "Rayleigh scat", cut: { how: "reset" } }
 *       : { text: "Rayleigh scattering.", delay: { between: "10 millis" } }
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (script?: Script, options?: Options): Layer.Layer<FakeServer> =>
  Layer.effect(FakeServer, make(script, options))

/**
 * A script without any answer, not even headers: each request waits until its client gives up.
 *
 * @category constructors
 * @since 0.1.0
 */
export const silence: Reply = { status: 200, delay: { headers: Infinity } }

/**
 * The same piece again and again, as fast as the client takes it: a model that does not stop, or, with a `raw` piece that
 * has no line end, a line that does not.
 *
 * @category constructors
 * @since 0.1.0
 */
export const endless = (piece: Piece): Iterable<Piece> => ({
  *[Symbol.iterator]() {
    while (true) yield piece
  }
})

const ask = (script: Script, request: ReceivedRequest): Effect.Effect<Answer> => {
  if (typeof script !== "function") return Effect.succeed(script)
  const answer = script(request)
  return Effect.isEffect(answer) ? answer : Effect.succeed(answer)
}

const readOptions = (body: unknown, model: string | undefined) => {
  const fields = Predicate.isObject(body) ? body : {}
  const stream = Predicate.hasProperty(fields, "stream_options") ? fields.stream_options : undefined
  return {
    model: model ?? (Predicate.hasProperty(fields, "model") && Predicate.isString(fields.model) ? fields.model : ""),
    withUsage: Predicate.hasProperty(stream, "include_usage") && stream.include_usage === true
  }
}

/** A fault in the script is reported at once. */
const fail = (response: Http.ServerResponse, defect: unknown): void => {
  if (response.headersSent) response.destroy()
  else response.writeHead(500).end(JSON.stringify({ error: `the script of the fake server failed: ${defect}` }))
}

const readBody = (request: Http.IncomingMessage): Effect.Effect<unknown> =>
  Effect.callback((resume) => {
    const parts: Array<Buffer> = []
    request.on("data", (part: Buffer) => parts.push(part))
    request.on("end", () => {
      const text = Buffer.concat(parts).toString()
      try {
        resume(Effect.succeed(text === "" ? undefined : JSON.parse(text)))
      } catch {
        resume(Effect.succeed(text))
      }
    })
  })

const listen = (server: Http.Server): Effect.Effect<number> =>
  Effect.callback((resume) => {
    server.once("error", (error) => resume(Effect.die(error)))
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
    })
  })
