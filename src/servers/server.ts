/** The provider that a definition becomes. */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Headers from "effect/http/Headers"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Deadlines, Defaults } from "../CompletionRequest.ts"
import * as CompletionRequest from "../CompletionRequest.ts"
import * as Transport from "../http/transport.ts"
import type { Call } from "../protocol/endpoint.ts"
import * as Provider from "../Provider.ts"
import { InvalidRequest, ModelNotAvailable, ProviderError } from "../ProviderError.ts"
import * as BaseUrl from "../values/baseUrl.ts"
import * as Values from "../values/objects.ts"
import * as Capabilities from "./capabilities.ts"
import type { Server, ServerDefinition } from "./definition.ts"
import * as Embeddings from "./embeddings.ts"
import * as Guard from "./guard.ts"
import * as OptionSchema from "./options.ts"
import * as Tokens from "./tokens.ts"

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
  readonly headers?: Headers.Input | Readonly<Record<string, string | Redacted.Redacted<string>>> | undefined
  /** Deadlines of every request that does not set its own. Default: those of `Deadlines.defaults`. */
  readonly deadlines?: Deadlines | undefined
  /** Options of every completion request that does not set its own, such as `model` and `contextLength`. Default: none. */
  readonly defaults?: Defaults | undefined
  /** Whether the current span is sent as `traceparent` and `b3`, for a proxy that traces. Default: `false`. */
  readonly traceHeaders?: boolean | undefined
  /** The longest line that is accepted, in bytes. It bounds the memory that one answer needs. Default: 8 MiB. */
  readonly maxLineBytes?: number | undefined
}

/** Connects a definition to an HTTP client. Fails with `InvalidRequest` if an option is invalid. Sends nothing. */
export const make = Effect.fnUntraced(function* <Operations>(
  definition: ServerDefinition<string, Operations>,
  options: Options = {}
): Effect.fn.Return<Provider.Provider & Operations, ProviderError, HttpClient.HttpClient> {
  yield* OptionSchema.readFor(optionsDefinition, options, definition.name)
  const { name = definition.name } = options
  const { address, hints = {} } = definition
  const baseUrl = yield* BaseUrl.parse(options.baseUrl ?? address.defaultUrl, address).pipe(
    Result.mapError(
      (description) =>
        new ProviderError({ provider: name, reason: new InvalidRequest({ field: "baseUrl", description }) })
    ),
    Effect.fromResult
  )
  const server = new URL(baseUrl).origin
  const guard = yield* Effect.fromResult(Guard.make({ ...options, name, server, lateModelHint: hints.lateModel }))
  const transport = yield* Effect.mapError(
    Transport.make({ ...options, name, baseUrl, missingModelHint: hints.missingModel, originHint: hints.origin }),
    guard.toError
  )
  const calls = makeCalls(guard, transport)
  const listModels = calls.call(definition.endpoints.models, undefined)
  const missing = (model: string) =>
    Effect.fail(guard.toError(new ModelNotAvailable({ model, description: hints.missingModel?.(model) })))
  const models = yield* Capabilities.make({
    reported: definition.reportedCapabilities ?? new Set(),
    describe: Effect.fnUntraced(function* (model) {
      const own = yield* definition.describe({ call: calls.call, listModels }, model)
      const info = own ?? (yield* definition.describeStandIn?.(calls.call) ?? Effect.undefined)
      return info === undefined ? yield* missing(model) : { info, isStandIn: own === undefined }
    })
  })
  const provider = Provider.make({
    ...makeCompletions(definition, { guard, transport, call: calls.call, models }),
    name,
    kind: definition.genAiName ?? definition.kind,
    server,
    listModels,
    model: (name, { maxAge } = {}) =>
      Effect.flatMap(models.find(name, maxAge), ({ info, isStandIn }) =>
        isStandIn ? missing(name) : Effect.succeed(info)
      ),
    isSameModel: definition.isSameModel,
    optionsOf: guard.optionsOf,
    hasUnlistedModels: definition.hasUnlistedModels,
    oneModelAtATime: definition.oneModelAtATime
  })
  const changing: Server["changing"] = {
    one: Effect.ensuring(models.forget),
    stream: (progress) =>
      progress.pipe(
        Stream.tap(({ isFinal }) => (isFinal ? models.forget : Effect.void)),
        Stream.ensuring(models.forget)
      )
  }
  return { ...provider, ...definition.operations({ ...calls, changing, provider, toError: guard.toError }) }
})

interface Parts {
  readonly guard: Guard.Guard
  readonly transport: Transport.Transport
  readonly call: Call
  readonly models: Capabilities.Models
}

const makeCompletions = (
  { countTokens, endpoints }: Pick<ServerDefinition, "countTokens" | "endpoints">,
  { call, guard, models, transport }: Parts
) => {
  const tokens = Tokens.make(countTokens && ((request) => countTokens(call, request)), guard.toError)
  const chat = transport.open(endpoints.chat)
  const completion = transport.open(endpoints.completion)
  return {
    stream: guard.completions((request) =>
      models.requireFor(
        Capabilities.ofRequest(request),
        request.model,
        tokens.learnFrom(request, (request.messages === undefined ? completion : chat)(request, request.model))
      )
    ),
    countTokens: guard.requests(tokens.count),
    embed: guard.embeddings((request) =>
      Effect.andThen(
        Effect.mapError(models.require(["embedding"], request.model), guard.toError),
        Embeddings.embed(request, (batch) => call(endpoints.embed, batch, batch.model, batch.deadlines), guard.toError)
      )
    )
  }
}

const makeCalls = (guard: Guard.Guard, transport: Transport.Transport): Pick<Server, "call" | "stream"> => ({
  call: (endpoint, request, model, deadlines) =>
    Effect.suspend(() => {
      // Everything but the lists is about one model.
      const invalid =
        endpoint.method === "GET" && model === undefined
          ? CompletionRequest.checkOptions({ deadlines })
          : findInvalidCall(model, deadlines)
      return invalid === undefined
        ? guard.one(transport.open(endpoint)(request, model), deadlines)
        : Effect.fail(guard.toError(invalid))
    }),
  stream: (endpoint, request, model, deadlines) =>
    Stream.suspend(() => {
      const invalid = findInvalidCall(model, deadlines)
      return invalid === undefined
        ? guard.stream(transport.open(endpoint)(request, model), deadlines)
        : Stream.fail(guard.toError(invalid))
    })
})

/** What is invalid in a call about a model, if anything. */
const findInvalidCall = (model: unknown, deadlines: Deadlines | undefined): InvalidRequest | undefined =>
  !Predicate.isString(model) || model.trim() === ""
    ? new InvalidRequest({ field: "model", description: "Expected the name of a model" })
    : CompletionRequest.checkOptions({ deadlines })

/** The token's content, the headers and the bound are validated where they are used. */
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
