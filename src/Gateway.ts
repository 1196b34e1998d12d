/**
 * Any `Provider`, usually a `Pool`, for all tools that speak the protocols of Ollama, OpenAI, Anthropic or LM Studio. It imports
 * `effect/http`, so it has its own import: `effect-local-llm/Gateway`.
 *
 * @category Adapters
 * @since 0.3.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import type * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as UrlParams from "effect/http/UrlParams"
import * as Predicate from "effect/Predicate"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type { Access } from "./gateway/access.ts"
import * as AccessOf from "./gateway/access.ts"
import * as Anthropic from "./gateway/anthropic.ts"
import type * as Running from "./gateway/gateway.ts"
import * as Failures from "./gateway/failures.ts"
import * as Ollama from "./gateway/ollama.ts"
import * as OpenAi from "./gateway/openai.ts"
import * as Routes from "./gateway/routes.ts"
import type { ModelProgress } from "./ModelProgress.ts"
import { Provider } from "./Provider.ts"
import type { ProviderError } from "./ProviderError.ts"
import * as OptionSchema from "./servers/options.ts"

/**
 * What a gateway serves, and to whom. All fields are optional.
 *
 * @category options
 */
export interface Options {
  /** `false` leaves out the routes of a protocol. Default: all of them. */
  readonly protocols?: { readonly [Name in Running.Protocol["name"]]?: boolean | undefined } | undefined
  /**
   * Names that clients may use, and the models that they stand for, such as `{ "gpt-4o-mini": "llama3.2" }`. They are listed as models.
   * A function is called for each request.
   */
  readonly aliases?: Live<Readonly<Record<string, string>>> | undefined
  /** Who may use the gateway, by the key of the request. Default: everybody. */
  readonly access?: Access | undefined
  /** Loads a model onto the disks of the servers, for callers that may do so. Default: nobody may. */
  readonly pull?: ((model: string) => Stream.Stream<ModelProgress, ProviderError>) | undefined
  /**
   * Names in the header `Host`, besides IP addresses and `localhost`: those that clients have for the gateway. Requests with others fail
   * with 403, since a web page whose name resolves to the gateway could send them. `*` at the end stands for any text.
   */
  readonly hosts?: Live<ReadonlyArray<string>> | undefined
  /**
   * Origins of web pages that may use the gateway, such as `https://chat.example.com`. `*` at the end stands for any text, so
   * `vscode-webview://*` is any page in an editor. Requests of other pages fail with 403. Default: only pages of the gateway's own origin.
   */
  readonly origins?: Live<ReadonlyArray<string>> | undefined
  /** The largest body of a request, in bytes; a larger one fails with 413. Default: 32 MiB. */
  readonly maxBodyBytes?: number | undefined
  /** How long a body may take to arrive; a later one fails with 408. Default: 30 seconds. */
  readonly bodyTimeout?: Duration.Input | undefined
  /**
   * How often a streamed response without text sends something that clients ignore, so that nobody takes the connection for idle. If a
   * model is still being loaded by then, the response begins with it, and a later failure has no status. `Infinity` for never; less than 1
   * second counts as 1 second. Default: 45 seconds.
   */
  readonly keepAlive?: Duration.Input | undefined
  /**
   * When this effect ends, requests that still run fail: with 503 before the response begins, and with the last record of a failure after
   * it. The program stops to listen itself. Without it, a program that ends cuts the connections, which some clients take for the end of a
   * completion. Default: never.
   */
  readonly halt?: Effect.Effect<unknown> | undefined
}

/**
 * A value, or a function that returns it.
 *
 * @category options
 */
export type Live<A> = A | (() => A)

export type { Access, Caller } from "./gateway/access.ts"
export { Refusal } from "./gateway/access.ts"

/**
 * Adds the routes of the protocols to the router. Fails with `InvalidRequest` if an option is invalid.
 *
 * **Details**
 *
 * | protocol | routes |
 * |---|---|
 * | Ollama | `/`, `/api/version`, `/api/tags`, `/api/show`, `/api/ps`, `/api/chat`, `/api/generate`, `/api/embed`, `/api/embeddings`, `/api/pull` |
 * | OpenAI | `/v1/models`, `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`, `/v1/responses` |
 * | Anthropic | `/v1/messages`, `/v1/messages/count_tokens` |
 * | LM Studio | `/api/v0/models` |
 *
 * Other paths below `/api` and `/v1` are failures in the form of the protocol.
 *
 * A failure before the first text has the status and the body of the protocol, with `Retry-After` if there is a time. One after it is the
 * last record, no end marker follows it, and the connection is closed. When the client leaves, the completion is interrupted at once,
 * also while it waits in a queue or a model is loaded. Messages of failures have no text of a server. Nothing of a request or a completion
 * is logged, and none of it is in a span or a metric.
 *
 * Requests run as the caller that `access` names, so a `Pool` serves callers fairly. Requests of one conversation go to the host that has
 * their prompt in its cache, because a pool knows which host has read which beginning. Keys of a conversation, such as `prompt_cache_key` and
 * the header `x-session-id`, are ignored: where the beginning of a prompt has changed, the host of the conversation reads all of it again.
 *
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<never, ProviderError, HttpRouter.HttpRouter | Provider> =>
  HttpRouter.use((router) =>
    Effect.flatMap(make(options), (gateway) =>
      router.addAll([...Routes.make(gateway), Routes.unknown(gateway, "/api/*"), Routes.unknown(gateway, "/v1/*")])
    )
  )

/**
 * A server with the routes of `layer` and no others.
 *
 * **Example** (one address for two machines)
 *
 * ```ts
 * import { NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
 * import { Layer } from "effect"
 * import { Ollama, Pool } from "effect-local-llm"
 * import * as Gateway from "effect-local-llm/Gateway"
 * import { createServer } from "node:http"
 *
 * const hosts = ["http://gpu-1:11434", "http://gpu-2:11434"].map((baseUrl) => ({ provider: Ollama.make({ baseUrl }) }))
 *
 * const live = Gateway.serve({ aliases: { "gpt-4o-mini": "llama3.2" } }).pipe(
 *   Layer.provide(Pool.layer({ hosts })),
 *   Layer.provide(NodeHttpClient.layerUndici),
 *   Layer.provide(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 11434 }))
 * )
 * ```
 *
 * @category layers
 */
export const serve = (options: Options = {}): Layer.Layer<never, ProviderError, HttpServer.HttpServer | Provider> =>
  HttpRouter.serve(
    HttpRouter.use((router) =>
      Effect.flatMap(make(options), (gateway) => router.addAll([...Routes.make(gateway), Routes.unknown(gateway, "*")]))
    ),
    { disableLogger: true, disableListenLog: true }
    // The spans of the HTTP server have the query strings. Clients may write anything into them.
  ).pipe(Layer.provide(Layer.succeed(UrlParams.CurrentRedactedNames)([/[^]*/])))

const live = <A>(value: Schema.ConstraintDecoder<A>) =>
  Schema.optional(Schema.Union([value, OptionSchema.is(Predicate.isFunction, "a function")]))

const isAccess = (u: unknown): u is Access => Predicate.hasProperty(u, "authorize") && Predicate.isFunction(u.authorize)

const isEffect = (u: unknown): u is Effect.Effect<unknown> => Effect.isEffect(u)

const protocolFields = {
  ollama: OptionSchema.boolean,
  openai: OptionSchema.boolean,
  anthropic: OptionSchema.boolean,
  lmstudio: OptionSchema.boolean
}

const definition = OptionSchema.define<Options>({
  protocols: Schema.optional(Schema.Struct(protocolFields)),
  aliases: live(Schema.Record(Schema.String, Schema.String)),
  access: Schema.optional(OptionSchema.is(isAccess, "an object with authorize")),
  pull: OptionSchema.fn,
  hosts: live(Schema.Array(Schema.String)),
  origins: live(Schema.Array(Schema.String)),
  maxBodyBytes: OptionSchema.count(1),
  bodyTimeout: OptionSchema.duration,
  halt: Schema.optional(OptionSchema.is(isEffect, "an Effect")),
  keepAlive: OptionSchema.duration
})

const known = [Ollama.protocol, OpenAi.protocol, Anthropic.protocol, OpenAi.lmStudio]

/** The parts of a gateway, from its options and the provider. */
const make = Effect.fnUntraced(function* (options: Options) {
  const {
    access = AccessOf.everybody,
    aliases = {},
    bodyTimeout = "30 seconds",
    halt,
    hosts = [],
    keepAlive = "45 seconds",
    maxBodyBytes = 32 * 1024 * 1024,
    origins = [],
    protocols = {},
    pull
  } = yield* OptionSchema.readFor(definition, options, "Gateway")
  const gateway: Routes.Gateway = {
    protocols: known.filter(({ name }) => protocols[name] !== false),
    provider: yield* Provider,
    aliases: toFunction(aliases),
    access,
    pull,
    halted: halt && Effect.andThen(halt, Effect.fail(Failures.halted)),
    names: { hosts: toFunction(hosts), origins: toFunction(origins) },
    limits: { maxBytes: maxBodyBytes, timeout: Duration.fromInputUnsafe(bodyTimeout) },
    keepAlive: Duration.fromInputUnsafe(keepAlive),
    contextOf: yield* makeContextOf
  }
  return gateway
})

const toFunction = <A extends object>(value: Live<A>): (() => A) => (Predicate.isFunction(value) ? value : () => value)

/** Ids have a random part for each gateway and a number for each response. */
const makeContextOf = Effect.map(
  Effect.all([Random.nextInt, Clock.Clock]),
  ([random, clock]): Running.Running["contextOf"] => {
    const prefix = Math.abs(random).toString(36)
    let count = 0
    return (model) => ({
      model,
      id: `${prefix}${(count++).toString(36).padStart(6, "0")}`,
      createdAt: clock.currentTimeMillisUnsafe()
    })
  }
)
