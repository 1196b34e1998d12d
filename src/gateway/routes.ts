/** The routes of the protocols on a router: which route a request is for, what is checked before it runs, and how it fails. */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Duration from "effect/Duration"
import * as HttpRouter from "effect/http/HttpRouter"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { Caller as PoolCaller } from "../policies/pool/waitingList.ts"
import type { Provider } from "../Provider.ts"
import * as Access from "./access.ts"
import * as Body from "./body.ts"
import * as Browser from "./browser.ts"
import * as Completions from "./completions.ts"
import type { Failure } from "./failures.ts"
import * as Failures from "./failures.ts"
import type { Protocol, Route, RouteInput, Running } from "./gateway.ts"
import * as View from "./view.ts"

/** A gateway, with the defaults of its options. */
export interface Gateway extends Pick<Running, "contextOf" | "halted" | "pull"> {
  readonly protocols: ReadonlyArray<Protocol>
  readonly provider: Provider
  readonly aliases: () => View.Aliases
  readonly access: Access.Access
  readonly names: Browser.Names
  readonly limits: Body.Limits
  readonly keepAlive: Duration.Duration
}

/** A route of a protocol, for one method. */
interface Entry extends Pick<Route, "method" | "path" | "needs"> {
  readonly protocol: Protocol
  readonly respond: (
    input: RouteInput,
    exchange: Completions.Exchange
  ) => Effect.Effect<HttpServerResponse.HttpServerResponse, Failure, Scope.Scope>
}

/** All routes. A path has one handler, for all methods and protocols. `HttpRouter` gives `/a/*` to `/a` as well, so these are one. */
export const make = (gateway: Gateway) => {
  const groups = Object.entries(Arr.groupBy(gateway.protocols.flatMap(toEntries), baseOf))
  return groups.map(([, entries]) => {
    const path = entries.find(hasRest)?.path ?? entries[0].path
    return HttpRouter.route("*", path, handle(gateway, entries))
  })
}

const hasRest = ({ path }: Entry): boolean => path.endsWith("/*")

const baseOf = ({ path }: Entry): string => path.replace(/\/\*$/, "")

const toEntries = (protocol: Protocol): ReadonlyArray<Entry> => [
  ...protocol.completions.map((route): Entry => ({
    protocol,
    method: "POST",
    path: route.path,
    respond: ({ body }, exchange) => Completions.respond(route, body, exchange)
  })),
  ...protocol.others.map(({ handle, method, needs, path }): Entry => ({
    protocol,
    method,
    path,
    needs,
    respond: (input, { caller }) =>
      Effect.gen(function* () {
        if (needs === "input") yield* caller.admit
        const response = yield* handle(input)
        return HttpServerResponse.isHttpServerResponse(response) ? response : yield* Completions.toJson(response)
      })
  }))
]

/** For the paths below those of the protocols that no protocol has: a failure in the form of the protocol that is meant. */
export const unknown = (gateway: Gateway, path: "/api/*" | "/v1/*" | "*") =>
  HttpRouter.route(
    "*",
    path,
    Effect.gen(function* () {
      const request = yield* HttpServerRequest
      const protocol = findMeant(gateway.protocols, request)
      return protocol === undefined
        ? HttpServerResponse.empty({ status: 404 })
        : yield* guard(protocol, gateway, request, noRoute)
    })
  )

const findMeant = (protocols: ReadonlyArray<Protocol>, { headers, url }: HttpServerRequest): Protocol | undefined => {
  const isAnthropic = url.startsWith("/v1/messages") || headers["anthropic-version"] !== undefined
  const name = isAnthropic
    ? "anthropic"
    : url.startsWith("/api/v0/")
      ? "lmstudio"
      : url.startsWith("/api/")
        ? "ollama"
        : "openai"
  return protocols.find((protocol) => protocol.name === name) ?? protocols[0]
}

/** What a path does. Requests of Anthropic's clients say so, for paths that OpenAI has too. */
const handle = (gateway: Gateway, entries: Arr.NonEmptyReadonlyArray<Entry>) =>
  Effect.gen(function* () {
    const request = yield* HttpServerRequest
    const { params } = yield* HttpRouter.RouteContext
    const isAnthropic = request.headers["anthropic-version"] !== undefined
    const method = request.method === "HEAD" ? "GET" : request.method
    const ofPath = entries.filter((entry) => hasRest(entry) === Boolean(params["*"]))
    const isPreferred = ({ protocol }: Entry) => (protocol.name === "anthropic") === isAnthropic
    const matching = ofPath.filter((entry) => entry.method === method)
    const entry = matching.find(isPreferred) ?? matching[0]
    const { protocol } = entry ?? ofPath.find(isPreferred) ?? entries[0]
    const response = entry === undefined ? refuseMethod(ofPath) : serve(gateway, entry, request, params)
    return yield* guard(protocol, gateway, request, response)
  })

/** Checks where a request comes from, and responds to failures in the form of the protocol. */
const guard = <R>(
  protocol: Protocol,
  { names }: Gateway,
  request: HttpServerRequest,
  respond: Effect.Effect<HttpServerResponse.HttpServerResponse, Failure, R>
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R> => {
  const headers = Browser.check(request, names)
  if (Result.isFailure(headers)) return Effect.succeed(Failures.toResponse(protocol, headers.failure))
  const isPreflight = request.method === "OPTIONS" && request.headers["origin"] !== undefined
  return (isPreflight ? Effect.succeed(Browser.preflight(request)) : respond).pipe(
    Effect.catch((failure) => Effect.succeed(Failures.toResponse(protocol, failure))),
    Effect.catchCause((cause) => (Cause.hasDies(cause) ? Failures.onDefect(protocol, cause) : Effect.failCause(cause))),
    Effect.map((response) => HttpServerResponse.setHeaders(response, headers.success))
  )
}

const noRoute = Effect.fail(new Access.Refusal({ status: 404, message: "The gateway does not have this route" }))

const refuseMethod = (entries: ReadonlyArray<Entry>) => {
  if (entries.length === 0) return noRoute
  const methods = new Set(entries.flatMap(({ method }) => (method === "GET" ? ["GET", "HEAD"] : [method])))
  const allow = [...methods].join(", ")
  return Effect.fail(new Access.Refusal({ status: 405, message: `The method has to be ${allow}`, headers: { allow } }))
}

const serve = (
  gateway: Gateway,
  { needs, protocol, respond }: Entry,
  request: HttpServerRequest,
  params: RouteInput["params"]
) =>
  Effect.gen(function* () {
    const caller = yield* gateway.access.authorize(Access.keyOf(request.headers))
    if (needs === "pull" && !(caller.mayPull && gateway.pull !== undefined)) return yield* pullRefused
    const body = request.method === "GET" || request.method === "HEAD" ? {} : yield* Body.read(request, gateway.limits)
    const running = { ...gateway, provider: View.make(gateway.provider, gateway.aliases(), caller) }
    const exchange = { protocol, gateway: running, caller, keepAlive: gateway.keepAlive, http: request }
    const response = respond({ body, params, gateway: running }, exchange)
    const answered = Effect.provideService(response, PoolCaller, caller.caller)
    return yield* gateway.halted === undefined ? answered : Effect.raceFirst(answered, gateway.halted)
  })

const pullRefused = Effect.fail(new Access.Refusal({ status: 403, message: "Models are not pulled for this key" }))
