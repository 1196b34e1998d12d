/** The routes of a gateway that belong to no protocol: the status page, `/status`, `/metrics` and `/health`. */
import * as Effect from "effect/Effect"
import type { Headers } from "effect/http/Headers"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import * as Stream from "effect/Stream"
import * as GatewayAccess from "../../gateway/access.ts"
import * as Browser from "../../gateway/browser.ts"
import type { Refusal } from "../../gateway/access.ts"
import type { Accounts } from "./accounts.ts"
import * as Page from "./page.ts"
import type { Reporter } from "./status.ts"

export interface Parts {
  readonly accounts: Accounts
  readonly names: Browser.Names
  readonly reporter: Reporter
  /** Whether the gateway takes new requests. */
  readonly isOpen: () => boolean
}

type Response = HttpServerResponse.HttpServerResponse

/** How often the status is sent. */
const interval = "1 second"

export const layer = ({ accounts, isOpen, names, reporter }: Parts) =>
  HttpRouter.use(
    Effect.fnUntraced(function* (router) {
      const guarded = (respond: (headers: Headers) => Effect.Effect<Response>) =>
        Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
          Effect.fromResult(Browser.check(request, names)).pipe(
            Effect.andThen(accounts.authorizeStatus(GatewayAccess.keyOf(request.headers))),
            Effect.andThen(respond(request.headers)),
            Effect.catch((refusal) => Effect.succeed(refuse(refusal)))
          )
        )
      yield* router.addGlobalMiddleware((next) =>
        Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
          if (!isOpen()) return Effect.succeed(closedTo(request))
          return isPage(request) ? Effect.succeed(pageFor(request, names)) : next
        })
      )
      yield* router.add(
        "GET",
        "/status",
        guarded(({ accept = "" }) =>
          accept.includes("text/event-stream")
            ? Effect.succeed(events(reporter, isOpen))
            : Effect.map(reporter.status, toJson)
        )
      )
      yield* router.add(
        "GET",
        "/metrics",
        guarded(() => Effect.map(Effect.andThen(reporter.measure, PrometheusMetrics.format()), toMetrics))
      )
      yield* router.add("GET", "/health", Effect.map(reporter.isReady, toHealth))
    })
  )

/** What browsers open. For all others, the path belongs to Ollama's protocol. */
const isPage = ({ headers, method, url }: HttpServerRequest.HttpServerRequest): boolean =>
  method === "GET" && /^\/(\?|$)/.test(url) && (headers["accept"] ?? "").includes("text/html")

const pageFor = (request: HttpServerRequest.HttpServerRequest, names: Browser.Names): Response => {
  const checked = Browser.check(request, names)
  return checked._tag === "Failure"
    ? refuse(checked.failure)
    : HttpServerResponse.text(Page.html, { contentType: "text/html; charset=utf-8", headers: Page.headers })
}

const noStore = { "cache-control": "no-store" }

const refuse = ({ headers = {}, message, status }: Refusal): Response =>
  HttpServerResponse.jsonUnsafe({ error: { message } }, { status, headers: { ...headers, ...noStore } })

const stopping = "The gateway is stopping"

/** Clients retry a request that meets a server that is being restarted. Ollama's show a text, and all others an object. */
const closedTo = ({ url }: HttpServerRequest.HttpServerRequest): Response => {
  const isOllama = url.startsWith("/api/") && !url.startsWith("/api/v0/")
  const error = isOllama ? stopping : { type: "overloaded_error", message: stopping }
  return HttpServerResponse.jsonUnsafe(
    { type: "error", error },
    { status: 503, headers: { "retry-after": "1", connection: "close" } }
  )
}

const toJson = (status: unknown): Response => HttpServerResponse.jsonUnsafe(status, { headers: noStore })

/** Nobody has to wait for a page when the gateway stops. */
const events = ({ status }: Reporter, isOpen: Parts["isOpen"]): Response => {
  const texts = Stream.tick(interval).pipe(
    Stream.takeWhile(isOpen),
    Stream.mapEffect(() => Effect.map(status, (status) => `data: ${JSON.stringify(status)}\n\n`))
  )
  const headers = { ...noStore, "x-accel-buffering": "no" }
  return HttpServerResponse.stream(Stream.encodeText(texts), { contentType: "text/event-stream", headers })
}

const toMetrics = (text: string): Response =>
  HttpServerResponse.text(text, { contentType: "text/plain; version=0.0.4; charset=utf-8", headers: noStore })

const toHealth = (isReady: boolean): Response =>
  HttpServerResponse.jsonUnsafe(
    { status: isReady ? "ok" : "no host is ready" },
    { status: isReady ? 200 : 503, headers: noStore }
  )
