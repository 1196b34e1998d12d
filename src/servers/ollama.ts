/** Ollama, through its own protocol. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { Deadlines } from "../CompletionRequest.ts"
import { Defaults } from "../CompletionRequest.ts"
import type { ModelProgress } from "../ModelProgress.ts"
import * as Endpoints from "../protocol/ollama/endpoints.ts"
import * as Models from "../protocol/ollama/models.ts"
import * as Transfers from "../protocol/ollama/transfers.ts"
import type { ProviderError } from "../ProviderError.ts"
import * as BaseUrl from "../values/baseUrl.ts"
import type { DiscoverableServer, Server } from "./definition.ts"
import * as OptionSchema from "./options.ts"
import * as TransferSpeed from "./transferSpeed.ts"

export interface TransferOptions {
  /** Whether the registry may be reached without TLS. Default: `false`. */
  readonly insecure?: boolean | undefined
  /** Default: 5 minutes to the first report, and 5 minutes without any progress (`idle`). */
  readonly deadlines?: Deadlines | undefined
}

export interface CreateOptions {
  /** The name of the new model. */
  readonly model: string
  /** The model that it is made from. */
  readonly from: string
  /** Its system message. Default: that of `from`. */
  readonly system?: string | undefined
  /** Its prompt template. Default: that of `from`. */
  readonly template?: string | undefined
  /** Its default options, by Ollama's names, such as `{ num_ctx: 8192 }`. */
  readonly parameters?: Readonly<Record<string, unknown>> | undefined
  /** The format to quantize it to, such as `q4_K_M`. */
  readonly quantize?: string | undefined
  /** Default: 5 minutes to the first report, and 5 minutes without any progress (`idle`). */
  readonly deadlines?: Deadlines | undefined
}

const loadOptions = OptionSchema.define<Models.LoadOptions>({
  keepAlive: Defaults.fields.keepAlive,
  contextLength: Defaults.fields.contextLength
})

/** A large layer is verified without any report. */
const transferDeadlines: Deadlines = { idle: "5 minutes" }

const makeTransfers = ({ changing, provider, stream }: Server) => {
  const transfer = (
    endpoint: typeof Transfers.pull,
    body: { readonly model: string },
    deadlines?: Deadlines
  ): Stream.Stream<ModelProgress, ProviderError> =>
    changing.stream(TransferSpeed.add(stream(endpoint, body, body.model, { ...transferDeadlines, ...deadlines })))
  const transferModel =
    (endpoint: typeof Transfers.pull) =>
    (model: string, { deadlines, insecure }: TransferOptions = {}) =>
      transfer(endpoint, { model, ...(insecure === undefined ? {} : { insecure }) }, deadlines)
  const pull = transferModel(Transfers.pull)
  return {
    pull,
    ensure: (model: string, options?: TransferOptions) =>
      Stream.unwrap(
        Effect.map(provider.supportsModel(model), (isThere) =>
          isThere ? Stream.succeed(present) : pull(model, options)
        )
      ),
    push: transferModel(Transfers.push),
    create: ({ deadlines, ...body }: CreateOptions) => transfer(Transfers.create, body, deadlines)
  }
}

const present: ModelProgress = { status: "success", isFinal: true, completedBytes: 0, totalBytes: 0 }

const makeCommands = ({ call, changing, toError }: Server) => {
  const load = (model: string, options: Models.LoadOptions = {}): Effect.Effect<void, ProviderError> => {
    const valid = OptionSchema.read(loadOptions, options)
    if (Result.isFailure(valid)) return Effect.fail(toError(valid.failure))
    const request = { ...options, model }
    // Models that only embed cannot generate.
    const loaded = Effect.catchReason(call(Models.load, request, model), "ProviderError", "Unsupported", () =>
      call(Models.loadForEmbeddings, request, model)
    )
    return changing.one(loaded)
  }
  return {
    deleteModel: (model: string) => changing.one(call(Models.deleteModel, { model }, model)),
    copyModel: (source: string, destination: string) =>
      changing.one(call(Models.copy, { source, destination }, source)),
    load,
    unload: (model: string) => load(model, { keepAlive: 0 })
  }
}

const makeOperations = (server: Server) => ({
  version: server.call(Models.version, undefined),
  running: server.call(Models.running, undefined),
  show: (model: string) =>
    Effect.map(server.call(Models.show, { model }, model), ({ definition, info }) => ({ ...info, ...definition })),
  ...makeTransfers(server),
  ...makeCommands(server)
})

export const ollama: DiscoverableServer<"ollama", ReturnType<typeof makeOperations>> = {
  kind: "ollama",
  name: "Ollama",
  address: {
    defaultUrl: "http://127.0.0.1:11434",
    port: "11434",
    root: "/api",
    otherRoot: { path: "/v1", advice: "Remove `/v1`: Ollama's own routes are used. For its `/v1` use OpenAiCompatible" }
  },
  environment: { baseUrl: "OLLAMA_HOST", token: "OLLAMA_API_KEY", parse: BaseUrl.fromOllamaHost },
  identity: {
    path: "/api/version",
    matches: ({ body }) => Predicate.hasProperty(body, "version") && Predicate.isString(body.version)
  },
  endpoints: { chat: Endpoints.chat, completion: Endpoints.generate, embed: Endpoints.embed, models: Models.tags },
  describe: ({ call }, model) => Models.describe(call, model),
  hints: {
    missingModel: (model) => `run \`ollama pull ${model}\``,
    // Its checks answer 403 without a body (`server/routes.go`: `allowedHostsMiddleware`, and the CORS middleware of gin).
    origin:
      "Ollama does not accept the Host or Origin header; set OLLAMA_ORIGINS for the origin of a page, and let a tunnel or proxy send the host of Ollama, such as `--host-header=localhost:11434`",
    lateModel: (model) =>
      `if the server answers other requests and the model is not being loaded, it hangs; \`ollama stop ${model}\` unloads it`
  },
  reportedCapabilities: new Set(["vision", "tools", "thinking"]),
  isSameModel: Models.isSame,
  management: { options: new Set(["contextLength", "keepAlive", "insecure"]) },
  operations: makeOperations
}
