/** A server as a value, and the provider that it becomes. */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Deadlines, Defaults, CompletionRequest as Request } from "../CompletionRequest.ts"
import * as CompletionRequest from "../CompletionRequest.ts"
import type { Embedding } from "../Embedding.ts"
import type { ModelInfo } from "../ModelInfo.ts"
import type { ModelProgress } from "../ModelProgress.ts"
import * as Provider from "../Provider.ts"
import type { ProviderErrorReason } from "../ProviderError.ts"
import { InvalidRequest, ModelNotAvailable, ProviderError } from "../ProviderError.ts"
import type { StreamingChunk } from "../StreamingChunk.ts"
import * as BaseUrl from "../values/baseUrl.ts"
import * as Values from "../values/objects.ts"
import * as Capabilities from "./capabilities.ts"
import * as Embeddings from "./embeddings.ts"
import * as Guard from "./guard.ts"
import * as OptionSchema from "./options.ts"
import type { Place } from "./addresses.ts"
import * as Transport from "../http/transport.ts"
import type { Call, Endpoint } from "../protocol/endpoint.ts"

/** The options that all servers share. All fields are optional. */
export interface Options {
  /** The name in errors, for programs with several servers of one kind. Default: the kind of server, such as `Ollama`. */
  readonly name?: string | undefined
  /**
   * Address of the server, such as `http://gpu-2:1234` or `https://models.example/ollama`. A missing scheme means `http`. An
   * invalid address fails the layer with `InvalidRequest`.
   */
  readonly baseUrl?: string | undefined
  /**
   * Sent as `Authorization: Bearer`. Surrounding whitespace is removed. A token with a line end, another control character or
   * characters beyond ASCII fails the layer with `InvalidRequest`. Default: none.
   */
  readonly token?: Redacted.Redacted<string> | undefined
  /**
   * Further headers, for a proxy in front of the server, such as `{ authorization: Redacted.make("Basic …") }`. They are validated as
   * the token is, and no error has a value. `token` takes precedence over `authorization`. Default: none.
   */
  readonly headers?: Transport.HeadersInput | undefined
  /** Deadlines of every request that does not set its own. Default: those of `Deadlines.defaults`. */
  readonly deadlines?: Deadlines | undefined
  /** Options of every completion request that does not set its own, such as `model` and `contextLength`. Default: none. */
  readonly defaults?: Defaults | undefined
  /** Whether the current span is sent as `traceparent` and `b3`, for a proxy that traces. Default: `false`. */
  readonly traceHeaders?: boolean | undefined
  /** The longest line that is accepted, in bytes. It bounds the memory that one answer needs. Default: 8 MiB. */
  readonly maxLineBytes?: number | undefined
}

export interface ServerDefinition extends Place {
  /** As `gen_ai.provider.name` has it. The conventions have no value for these servers. */
  readonly kind: string
  /** The default name of its providers, such as `Ollama`. */
  readonly name: string
  /** What to do if the server does not have a model. */
  readonly missingModelHint?: (model: string) => string
  /** What to do about an empty 403, if the server answers with one where it does not accept the Host or Origin header. */
  readonly originHint?: string
  /** What to do if there is no first chunk of a model in time. */
  readonly lateModelHint?: (model: string) => string
  readonly chat: Endpoint<Request, StreamingChunk>
  readonly completion: Endpoint<Request, StreamingChunk>
  readonly embed: Endpoint<Embeddings.BatchRequest, Embedding>
  readonly models: Endpoint<void, ReadonlyArray<ModelInfo>>
  /** What the server reports about one model; `undefined` if it does not have it. */
  readonly describe: (
    server: { readonly call: Call; readonly listModels: Provider.Provider["listModels"] },
    model: string
  ) => Effect.Effect<ModelInfo | undefined, ProviderError>
  /** The capabilities that `describe` reports reliably. Requests that need one of them are checked before they are sent. */
  readonly reportedCapabilities?: ReadonlySet<Capabilities.Capability>
  /** Whether two names mean the same model. Default: whether they are equal. */
  readonly isSameModel?: (a: string, b: string) => boolean
  /** Whether the server may answer for models that it does not list. Default: `false`. */
  readonly hasUnlistedModels?: boolean
  /** Whether loading a second model may end the answers of the first. Default: `false`. */
  readonly oneModelAtATime?: boolean
}

/** A provider, and the way to call further endpoints of its server. */
export interface Server {
  readonly provider: Provider.Provider
  readonly call: Call
  /** What changes the models of the server: afterwards, nothing that was known about them counts. */
  readonly changing: {
    readonly one: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>
    readonly stream: <E>(progress: Stream.Stream<ModelProgress, E>) => Stream.Stream<ModelProgress, E>
  }
  /** The error of this server with a reason. */
  readonly toError: (reason: ProviderErrorReason) => ProviderError
  /** The items of an endpoint that answers with several. */
  readonly stream: <Request, Out>(
    endpoint: Endpoint<Request, Out>,
    request: Request,
    model: string,
    deadlines?: Deadlines
  ) => Stream.Stream<Out, ProviderError>
}

/** Connects a definition to an HTTP client. Fails with `InvalidRequest` if an option is invalid. Sends nothing. */
export const make = Effect.fnUntraced(function* (
  definition: ServerDefinition,
  options: Options
): Effect.fn.Return<Server, ProviderError, HttpClient.HttpClient> {
  yield* OptionSchema.readFor(optionsDefinition, options, definition.name)
  const { name = definition.name } = options
  const baseUrl = yield* BaseUrl.parse(options.baseUrl ?? definition.defaultUrl, definition).pipe(
    Result.mapError(
      (description) =>
        new ProviderError({ provider: name, reason: new InvalidRequest({ field: "baseUrl", description }) })
    ),
    Effect.fromResult
  )
  const server = new URL(baseUrl).origin
  const guard = yield* Effect.fromResult(
    Guard.make({ ...options, name, server, lateModelHint: definition.lateModelHint })
  )
  const transport = yield* Effect.mapError(
    Transport.make({
      ...options,
      baseUrl,
      missingModelHint: definition.missingModelHint,
      originHint: definition.originHint
    }),
    guard.toError
  )

  const chat = transport.open(definition.chat)
  const completion = transport.open(definition.completion)
  const call: Call = (endpoint, request, model, deadlines) =>
    Effect.suspend(() => {
      // Everything but the lists is about one model.
      const invalid =
        endpoint.method === "GET" && model === undefined
          ? CompletionRequest.checkOptions({ deadlines })
          : findInvalidCall(model, deadlines)
      return invalid === undefined
        ? guard.one(transport.open(endpoint)(request, model), deadlines)
        : Effect.fail(guard.toError(invalid))
    })
  const listModels = call(definition.models, undefined)
  const models = yield* Capabilities.make({
    reported: definition.reportedCapabilities ?? new Set(),
    describe: (model) =>
      Effect.flatMap(definition.describe({ call, listModels }, model), (info) =>
        info === undefined ? Effect.fail(missingModel(model)) : Effect.succeed(info)
      )
  })
  const missingModel = (model: string) =>
    guard.toError(new ModelNotAvailable({ model, description: definition.missingModelHint?.(model) }))

  return {
    call,
    changing: {
      one: Effect.ensuring(models.forget),
      stream: (progress) =>
        progress.pipe(
          Stream.tap(({ isFinal }) => (isFinal ? models.forget : Effect.void)),
          Stream.ensuring(models.forget)
        )
    },
    toError: guard.toError,
    stream: (endpoint, request, model, deadlines) =>
      Stream.suspend(() => {
        const invalid = findInvalidCall(model, deadlines)
        return invalid === undefined
          ? guard.stream(transport.open(endpoint)(request, model), deadlines)
          : Stream.fail(guard.toError(invalid))
      }),
    provider: Provider.make({
      name,
      kind: definition.kind,
      server,
      stream: guard.completions((request) =>
        models.requireFor(
          Capabilities.ofRequest(request),
          request.model,
          (request.messages === undefined ? completion : chat)(request, request.model)
        )
      ),
      embed: guard.embeddings((request) =>
        Effect.andThen(
          Effect.mapError(models.require(["embedding"], request.model), guard.toError),
          Embeddings.embed(
            request,
            (batch) => call(definition.embed, batch, batch.model, batch.deadlines),
            guard.toError
          )
        )
      ),
      listModels,
      model: (name, { maxAge } = {}) => models.find(name, maxAge),
      isSameModel: definition.isSameModel,
      hasUnlistedModels: definition.hasUnlistedModels,
      oneModelAtATime: definition.oneModelAtATime
    })
  }
})

/** What is invalid in a call about a model, if anything. */
const findInvalidCall = (model: unknown, deadlines: Deadlines | undefined): InvalidRequest | undefined =>
  !Predicate.isString(model) || model.trim() === ""
    ? new InvalidRequest({ field: "model", description: "Expected the name of a model" })
    : CompletionRequest.checkOptions({ deadlines })

/** The token's content, the headers and the bound are validated where they are used. A `Map` would be read as no headers. */
const isHeaders = (u: unknown): u is NonNullable<Options["headers"]> =>
  Values.isRecord(u) || (Array.isArray(u) && u.every((entry) => Array.isArray(entry) && entry.length === 2))

export const optionFields: OptionSchema.Fields<Options> = {
  name: OptionSchema.text,
  baseUrl: OptionSchema.text,
  token: Schema.optional(OptionSchema.is(Redacted.isRedacted, "a Redacted text: Redacted.make(…)")),
  headers: Schema.optional(OptionSchema.is(isHeaders, "an object of texts")),
  deadlines: OptionSchema.deadlines,
  defaults: OptionSchema.defaults,
  traceHeaders: OptionSchema.boolean,
  maxLineBytes: OptionSchema.count(1)
}

const optionsDefinition = OptionSchema.define<Options>(optionFields)

/** Provides a server's own service, and `Provider`. */
export const layer = <Self extends Provider.Provider, E, R>(
  service: Context.Service<Self, Self>,
  make: Effect.Effect<Self, E, R>
): Layer.Layer<Provider.Provider | Self, E, R> =>
  Layer.effectContext(
    Effect.map(make, (self) => Context.make(Provider.Provider, self).pipe(Context.add(service, self)))
  )

/** Options from the configuration: the usual environment variables, and those given instead of them. */
export const config = (
  { environment, name }: ServerDefinition,
  wrapped: Config.Wrap<Options>
): Effect.Effect<Options, Config.ConfigError | ProviderError> =>
  Effect.flatMap(OptionSchema.readWrapped(wrapped, name), (wrapped) => {
    if (Config.isConfig(wrapped)) return Config.unwrap<Options>(wrapped)
    const { baseUrl, parse = (value: string) => value, token } = { parse: undefined, ...environment }
    return Config.unwrap<Options>({
      baseUrl: optional(Config.map(Config.NonEmptyString(baseUrl), parse)),
      token: optional(Config.Redacted(token)),
      ...wrapped
    })
  })

const optional = <A>(config: Config.Config<A>): Config.Config<A | undefined> =>
  Config.map(Config.option(config), Option.getOrUndefined)
