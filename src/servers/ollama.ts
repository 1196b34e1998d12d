/** Ollama, through its own protocol. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import type { Deadlines } from "../CompletionRequest.ts"
import { Defaults } from "../CompletionRequest.ts"
import type { ModelProgress } from "../ModelProgress.ts"
import * as Endpoints from "../protocol/ollama/endpoints.ts"
import * as Models from "../protocol/ollama/models.ts"
import * as Transfers from "../protocol/ollama/transfers.ts"
import * as Monotonic from "../values/monotonic.ts"
import type { DiscoverableServer, Server } from "./definition.ts"
import * as Kinds from "./kinds.ts"
import * as OptionSchema from "./options.ts"

export interface TransferOptions {
  /** Whether the registry may be reached without TLS. Default: `false`. */
  readonly insecure?: boolean | undefined
  /** Default: 5 minutes to the first report, and 5 minutes without any progress (`idle`). */
  readonly deadlines?: Deadlines | undefined
}

export interface CreateOptions extends Pick<TransferOptions, "deadlines"> {
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
}

const makeTransfers = ({ changing, provider, stream }: Server) => {
  // A large layer is verified without any report.
  const transfer = (endpoint: typeof Transfers.pull, body: { readonly model: string }, deadlines?: Deadlines) =>
    changing.stream(addSpeed(stream(endpoint, body, body.model, { idle: "5 minutes", ...deadlines })))
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

interface Speed {
  readonly digest: string | undefined
  readonly bytes: number
  /** When these bytes were reported, in milliseconds. */
  readonly at: number
  readonly bytesPerSecond: number | undefined
}

/** Adds `bytesPerSecond`. What was transferred before the first report of a layer is not counted. */
export const addSpeed = <E>(reports: Stream.Stream<ModelProgress, E>): Stream.Stream<ModelProgress, E> =>
  Stream.mapAccumEffect(
    reports,
    (): Speed => ({ digest: undefined, bytes: 0, at: 0, bytesPerSecond: undefined }),
    (before, report) =>
      Effect.map(Monotonic.now, (now) => {
        const speed = advance(before, report, now)
        const { bytesPerSecond } = speed
        return [speed, [bytesPerSecond === undefined || report.isFinal ? report : { ...report, bytesPerSecond }]]
      })
  )

/** The time constant of the average, in milliseconds: what is much older has no weight. */
const decayMillis = 3000

const advance = (before: Speed, { layer }: ModelProgress, now: number): Speed => {
  if (layer === undefined) return before
  const { completedBytes: bytes, digest } = layer
  const elapsed = now - before.at
  if (digest !== before.digest || bytes < before.bytes) return { ...before, digest, bytes, at: now }
  // Several reports in one moment are measured together.
  if (elapsed < 1) return before
  const current = ((bytes - before.bytes) / elapsed) * 1000
  const { bytesPerSecond = current } = before
  const weight = 1 - Math.exp(-elapsed / decayMillis)
  return { digest, bytes, at: now, bytesPerSecond: bytesPerSecond + (current - bytesPerSecond) * weight }
}

const loadOptions = OptionSchema.define<Models.LoadOptions>({
  keepAlive: Defaults.fields.keepAlive,
  contextLength: Defaults.fields.contextLength
})

const makeCommands = ({ call, changing, toError }: Server) => {
  const load = Effect.fnUntraced(function* (model: string, options: Models.LoadOptions = {}) {
    yield* Effect.mapError(Effect.fromResult(OptionSchema.read(loadOptions, options)), toError)
    const request = { ...options, model }
    // Models that only embed cannot generate.
    const loaded = Effect.catchReason(call(Models.load, request, model), "ProviderError", "Unsupported", () =>
      call(Models.loadForEmbeddings, request, model)
    )
    yield* changing.one(loaded)
  })
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
  ...Kinds.identify("ollama"),
  address: {
    defaultUrl: "http://127.0.0.1:11434",
    port: "11434",
    root: "/api",
    otherRoot: { path: "/v1", advice: "Remove `/v1`: Ollama's own routes are used. For its `/v1` use OpenAiCompatible" }
  },
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
