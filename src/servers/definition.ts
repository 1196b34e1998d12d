/** A server as a value: everything in which servers differ. */
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { CompletionRequest, Deadlines, ValidRequest } from "../CompletionRequest.ts"
import type { Embedding } from "../Embedding.ts"
import type * as Probe from "../http/probe.ts"
import type { ModelInfo } from "../ModelInfo.ts"
import type { ModelProgress } from "../ModelProgress.ts"
import type { Call, Endpoint } from "../protocol/endpoint.ts"
import type * as Provider from "../Provider.ts"
import type { ProviderError, ProviderErrorReason } from "../ProviderError.ts"
import type { StreamingChunk } from "../StreamingChunk.ts"
import type * as BaseUrl from "../values/baseUrl.ts"
import type * as Capabilities from "./capabilities.ts"
import type { BatchRequest } from "./embeddings.ts"

export interface ServerDefinition<Kind extends string = string, Operations = object> {
  /** The name for programs, such as `ollama`. */
  readonly kind: Kind
  /** The default name of its providers, such as `Ollama`. */
  readonly name: string
  /** As `Provider.kind` and `gen_ai.provider.name` have it. The conventions have no value for these servers. Default: `kind`. */
  readonly genAiName?: string
  readonly address: ServerAddress
  /** The variables with which a user names another address, and a token. */
  readonly environment: {
    readonly baseUrl: string
    readonly token: string
    /** Turns the variable's value into a base URL. Default: it is one. */
    readonly parse?: (value: string) => string
  }
  readonly endpoints: {
    readonly chat: Endpoint<CompletionRequest, StreamingChunk>
    readonly completion: Endpoint<CompletionRequest, StreamingChunk>
    readonly embed: Endpoint<BatchRequest, Embedding>
    readonly models: Endpoint<void, ReadonlyArray<ModelInfo>>
  }
  /** What the server reports about one model; `undefined` if it does not have it. */
  readonly describe: (
    server: { readonly call: Call; readonly listModels: Provider.Provider["listModels"] },
    model: string
  ) => Effect.Effect<ModelInfo | undefined, ProviderError>
  /**
   * How many tokens the texts of a prompt have, as the server counts them; `undefined` if it cannot count this one. Fails with
   * `Unsupported` if it counts none. Default: it counts none.
   */
  readonly countTokens?: (call: Call, request: ValidRequest) => Effect.Effect<number | undefined, ProviderError>
  /** The model that completes requests for models that the server does not have, if one does. Default: none. */
  readonly describeStandIn?: (call: Call) => Effect.Effect<ModelInfo | undefined, ProviderError>
  readonly hints?: Hints
  /** The capabilities that `describe` reports reliably. Requests that need one of them are checked before they are sent. */
  readonly reportedCapabilities?: ReadonlySet<Capabilities.Capability>
  /** Whether two names mean the same model. Default: whether they are equal. */
  readonly isSameModel?: (a: string, b: string) => boolean
  /** Whether the server may answer for models that it does not list. Default: `false`. */
  readonly hasUnlistedModels?: boolean
  /** Whether loading a second model may end the completions of the first. Default: `false`. */
  readonly oneModelAtATime?: boolean
  readonly management: {
    /** The options of `load` and `pull` that have an effect. */
    readonly options: ReadonlySet<string>
    /** Whether a download goes on when its consumer stops. Default: `false`. */
    readonly downloadGoesOn?: boolean
  }
  /** What its providers can do besides, or in another way than all providers. */
  readonly operations: (server: Server) => Operations
}

/** A server that can be found, since it responds to a probe as no other does. */
export interface DiscoverableServer<Kind extends string, Operations> extends ServerDefinition<Kind, Operations> {
  readonly identity: Probe.Identity
}

interface ServerAddress extends BaseUrl.Defaults {
  readonly defaultUrl: string
  /** Whether many other programs listen on its port, so that an unknown one is not taken for it. Default: `false`. */
  readonly isPortShared?: boolean
}

/** What to do about a failure. */
interface Hints {
  /** The server does not have a model. */
  readonly missingModel?: (model: string) => string
  /** The server answers with an empty 403, since it does not accept the Host or Origin header. */
  readonly origin?: string
  /** There is no first chunk of a model in time. */
  readonly lateModel?: (model: string) => string
}

/** A provider, and the way to call further endpoints of its server. */
export interface Server {
  readonly provider: Provider.Provider
  readonly call: Call
  /** Runs what changes the models of the server: afterwards, nothing counts that was known about them. */
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
