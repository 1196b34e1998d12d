/** What a protocol has to be for a gateway to serve it, and what its routes get. */
import type * as Effect from "effect/Effect"
import type * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { ModelProgress } from "../ModelProgress.ts"
import type { CompletionRoute, FailureResponse, WriterContext } from "../protocol/served.ts"
import type { Provider } from "../Provider.ts"
import type { ProviderError, ProviderErrorReason } from "../ProviderError.ts"
import type { JsonObject } from "../values/json.ts"

/** The routes of a protocol. */
export interface Protocol {
  readonly name: "ollama" | "openai" | "anthropic" | "lmstudio"
  /** The kinds of servers that speak it: they get the `tuning` of a request. */
  readonly kinds: ReadonlyArray<string>
  /** The core serves them. */
  readonly completions: ReadonlyArray<CompletionRoute>
  /** Lists, embeddings and what else there is. */
  readonly others: ReadonlyArray<Route>
  /**
   * A failure before the response begins. The core adds `Retry-After`. Without `message`, it has none of the texts of the reason, which
   * may be those of a server: `PublicMessage.make`.
   */
  readonly fail: (reason: ProviderErrorReason, message?: string) => FailureResponse
  /** The body of what the core itself refuses: 400, 401, 403, 404, 405, 408, 413, 500, 503. */
  readonly refuse: (status: number, message: string) => JsonObject
}

/** Any route but those for completions. */
export interface Route {
  readonly method: "GET" | "POST" | "DELETE"
  /** As `HttpRouter` has it, with `:parameters`. After `/*` there is at least one character, which is `params["*"]`. */
  readonly path: `/${string}`
  /** `input`: the request counts for `Caller.admit`, as embeddings do. `pull`: only callers that may pull get through. */
  readonly needs?: "input" | "pull" | undefined
  /**
   * A JSON object is the body of a response with the status 200. A failure is reported with `Protocol.fail`. A bare reason is a fault
   * that `Decode` has found: the client gets its message.
   */
  readonly handle: (
    input: RouteInput
  ) => Effect.Effect<
    HttpServerResponse.HttpServerResponse | JsonObject,
    ProviderError | ProviderErrorReason,
    Scope.Scope
  >
}

/** What the core has read of a request. */
export interface RouteInput {
  /** `{}` without a body. */
  readonly body: JsonObject
  /** Of the path, decoded. */
  readonly params: Readonly<Record<string, string | undefined>>
  readonly gateway: Running
}

/** What handlers use. */
export interface Running {
  /**
   * The provider behind the gateway, as the caller may use it. Names of models are those that clients know: aliases are resolved on the
   * way in and listed as models, and models that the caller may not use are neither listed nor found.
   */
  readonly provider: Provider
  /** Loads a model onto the disks of the servers. Absent if the servers cannot. */
  readonly pull?: ((model: string) => Stream.Stream<ModelProgress, ProviderError>) | undefined
  /** Fails when requests that still run have to end. Absent if they never have to. */
  readonly halted?: Effect.Effect<never, ProviderError> | undefined
  /** For the body of a response: a new id, and the time. */
  readonly contextOf: (model: string) => WriterContext
}
