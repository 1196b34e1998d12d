/**
 * A model server for tests. It listens on a real port, implements the protocols of Ollama and of the OpenAI-compatible servers, and follows
 * a script, which can contain faults.
 *
 * @category Testing
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Http from "node:http"
import * as Json from "../values/json.ts"
import * as Delivery from "./delivery.ts"
import { wires } from "./records.ts"
import * as Routes from "./routes.ts"
import type { Answer, Piece, ReceivedRequest, Reply, Script, State } from "./script.ts"

export type { Answer, Completion, Cut, Delivery, Piece, ReceivedRequest, Reply, Script, State } from "./script.ts"

/**
 * A fake server that runs, as `make` returns it.
 *
 * @category models
 * @since 0.3.0
 */
export interface Server {
  /** Its address, such as `http://127.0.0.1:49152`: the `baseUrl` of a provider. */
  readonly url: string
  /** The requests and connections so far. */
  readonly state: Effect.Effect<State>
  /** Waits until the state satisfies the predicate. */
  readonly until: (predicate: (state: State) => boolean) => Effect.Effect<State>
  /** Replaces the script, from the next request on. */
  readonly setScript: (script: Script) => Effect.Effect<void>
}

/**
 * The fake server of a layer.
 *
 * @category services
 */
export class FakeServer extends Context.Service<FakeServer, Server>()("effect-local-llm/testing/FakeServer") {}

/**
 * Options besides the script. All fields are optional.
 *
 * @category options
 */
export interface Options {
  /** The models that it lists. It generates completions for any model. Default: one, `fake:latest`. */
  readonly models?: ReadonlyArray<string> | undefined
  /**
   * The pages that may use it, as with `OLLAMA_ORIGINS`: origins such as `http://localhost:5173`, or `"*"`. Preflights get the response of
   * Ollama, which allows only the headers of its list; other origins get the status 403. The script is called in neither case. A header in
   * a `Reply` replaces that of CORS. Default: no headers of CORS are sent, so browsers allow only pages of its own origin.
   */
  readonly origins?: ReadonlyArray<string> | undefined
}

/**
 * Starts a server that listens on a free port of 127.0.0.1, and closes it, with all its connections, at the end of the scope.
 *
 * @category constructors
 */
export const make: (script?: Script, options?: Options) => Effect.Effect<Server, never, Scope.Scope> =
  Effect.fnUntraced(function* (
    script: Script = { text: "This answer comes from a fake server." },
    options: Options = {}
  ) {
    const log = makeLog()
    const running: Running = { log, script, options, isClosed: false }
    const run = yield* FiberSet.makeRuntime()
    const server = Http.createServer((request, response) => {
      const fiber = run(
        Effect.catchDefect(respond(running, request, response), (defect) => Effect.sync(() => fail(response, defect)))
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
        running.isClosed = true
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
          running.script = script
        })
    })
  })

interface Running {
  readonly log: ReturnType<typeof makeLog>
  readonly options: Options
  script: Script
  isClosed: boolean
}

const respond = Effect.fnUntraced(function* (
  running: Running,
  request: Http.IncomingMessage,
  response: Http.ServerResponse
) {
  const { log, options } = running
  const body = yield* readBody(request)
  const entry = log.add(request, body)
  const channel: Delivery.Channel = {
    response,
    onWritten: (bytes) => log.update(entry, { bytesWritten: entry.bytesWritten + bytes }),
    onCut: () => log.update(entry, { outcome: "cut-by-server" })
  }
  response.once("close", () => {
    if (entry.outcome !== "answering") return
    const cut = running.isClosed ? "cut-by-server" : "cut-by-client"
    log.update(entry, { outcome: response.writableFinished ? "completed" : cut })
  })

  const cors = options.origins === undefined ? { headers: {} } : Routes.cors(request, options.origins)
  if ("reply" in cors) return yield* Delivery.sendReply(channel, cors.reply)
  for (const [name, value] of Object.entries(cors.headers)) response.setHeader(name, value)
  const scripted = yield* ask(running.script, { ...entry })
  if ("status" in scripted) return yield* Delivery.sendReply(channel, scripted)
  const path = entry.path.replace(/\?.*/, "")
  const makeWire = entry.method === "POST" ? wires[path] : undefined
  if (makeWire === undefined) {
    const { models = ["fake:latest"] } = options
    return yield* Delivery.sendReply(channel, Routes.reply(entry.method, path, models, body))
  }
  yield* Delivery.sendCompletion(channel, scripted, makeWire(readOptions(body, scripted.model)))
})

type Entry = { -readonly [K in keyof ReceivedRequest]: ReceivedRequest[K] }

const toEntry = (index: number, { headers, method = "", url = "" }: Http.IncomingMessage, body: unknown): Entry => ({
  index,
  method,
  path: url,
  headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)])),
  body,
  outcome: "answering",
  bytesWritten: 0
})

/** The requests and connections, and the waits for them. */
const makeLog = () => {
  const entries = { requests: new Array<Entry>(), preflights: new Array<Entry>() }
  const connections = { openConnections: 0, connections: 0 }
  const checks = new Set<() => void>()

  const state = (): State => ({
    requests: entries.requests.map((entry) => ({ ...entry })),
    preflights: entries.preflights.map((entry) => ({ ...entry })),
    ...connections
  })
  /** Checks every state, also one that the next change replaces at once. */
  const changed = (): void => checks.forEach((check) => check())
  return {
    state,
    add: (request: Http.IncomingMessage, body: unknown): Entry => {
      const entry = toEntry(entries.requests.length, request, body)
      entries[Routes.isPreflight(request) ? "preflights" : "requests"].push(entry)
      changed()
      return entry
    },
    update: (entry: Entry, fields: Partial<Entry>): void => {
      Object.assign(entry, fields)
      changed()
    },
    connect: (): void => {
      connections.openConnections++
      connections.connections++
      changed()
    },
    disconnect: (): void => {
      connections.openConnections--
      changed()
    },
    until: (predicate: (state: State) => boolean): Effect.Effect<State> =>
      Effect.callback((resume) => {
        const check = (): void => {
          const current = state()
          const result = Result.try(() => predicate(current))
          if (Result.isSuccess(result) && !result.success) return
          checks.delete(check)
          resume(Result.isSuccess(result) ? Effect.succeed(current) : Effect.die(result.failure))
        }
        checks.add(check)
        check()
        return Effect.sync(() => checks.delete(check))
      })
  }
}

/**
 * Provides a fake server.
 *
 * **Details**
 *
 * The script decides the responses of `POST /api/chat`, `/api/generate`, `/v1/chat/completions` and `/v1/completions`. It also has
 * `GET /`, `/api/version`, `/api/tags`, `/api/ps`, `/v1/models`, `/health` and `/lmstudio-greeting`. `POST /api/embed` and
 * `/v1/embeddings` count the letters of each text; `POST /api/show` describes its models, and `POST /api/pull`, `/api/push`,
 * `/api/create`, `/api/copy` and `DELETE /api/delete` succeed without changing them. It refuses everything else as the real servers do.
 * Delays follow the clock that the layer was built with, so `TestClock` moves them.
 *
 * **Gotchas**
 *
 * It always streams, also if the request has `stream: false`, and it does not validate requests.
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
 */
export const layer = (script?: Script, options?: Options): Layer.Layer<FakeServer> =>
  Layer.effect(FakeServer, make(script, options))

/**
 * A script without any response, not even headers: each request waits until its client gives up.
 *
 * @category constructors
 */
export const silence: Reply = { status: 200, delay: { headers: Infinity } }

/**
 * The same piece again and again, as fast as the client takes it: a model that does not stop, or, with a `raw` piece without a line end, a
 * line that does not.
 *
 * @category constructors
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

const readOptions = (body: unknown, model: string | undefined) => ({
  model: model ?? Json.toText(Json.get(body, "model")) ?? "",
  withUsage: Json.get(Json.get(body, "stream_options"), "include_usage") === true
})

/** A fault in the script is reported at once. */
const fail = (response: Http.ServerResponse, defect: unknown): void => {
  if (response.headersSent) response.destroy()
  else response.writeHead(500).end(JSON.stringify({ error: `the script of the fake server failed: ${defect}` }))
}

const readBody = (request: Http.IncomingMessage): Effect.Effect<unknown> =>
  Effect.promise(async () => {
    let text = ""
    for await (const part of request.setEncoding("utf8")) text += part
    const value = Json.parse(text)
    return value === undefined && text !== "" ? text : value
  })

/** The port. */
const listen = (server: Http.Server): Effect.Effect<number> =>
  Effect.callback((resume) => {
    server.once("error", (error) => resume(Effect.die(error)))
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
    })
  })
