/** LM Studio, through its OpenAI-compatible protocol and its own routes for models. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { Defaults } from "../CompletionRequest.ts"
import type { ModelProgress } from "../ModelProgress.ts"
import * as Endpoints from "../protocol/openai/endpoints.ts"
import * as Routes from "../protocol/openai/lmStudio.ts"
import type { ProviderError } from "../ProviderError.ts"
import { StreamTruncated, Timeout, Unsupported } from "../ProviderError.ts"
import type { DiscoverableServer, Server } from "./definition.ts"
import * as Kinds from "./kinds.ts"
import * as OptionSchema from "./options.ts"

export interface LoadOptions {
  /** The context to load it with, in tokens. Default: the model's setting in LM Studio. */
  readonly contextLength?: number | undefined
}

export interface DownloadOptions {
  /** Which quantization, such as `Q4_K_M`, if `model` is an address of Hugging Face. Default: LM Studio's choice. */
  readonly quantization?: string | undefined
}

const loadOptions = OptionSchema.define<LoadOptions>({ contextLength: Defaults.fields.contextLength })

const thinkingLevels: ReadonlySet<unknown> = new Set([true, false, "none", "low", "medium", "high"])

const unknownLevel = () =>
  new Unsupported({ feature: "this level of think", description: '"low", "medium" and "high" are the levels here' })

/** Facts: LM Studio's documentation, versions 0.3 to 0.4. Messages have no field for thinking. */
export const dialect: Endpoints.Dialect = {
  jsonFormat: "json_schema",
  keepAlive: (seconds) => ({ ttl: seconds }),
  think: (think) => (thinkingLevels.has(think) ? Endpoints.reasoningEffort(think) : Result.fail(unknownLevel())),
  namedToolChoice: false,
  hasFinishReason: true
}

const stallLimit = Duration.minutes(5)

const makeOperations = ({ call, changing, toError }: Server) => ({
  load: Effect.fnUntraced(function* (model: string, options: LoadOptions = {}) {
    const valid = Effect.fromResult(OptionSchema.read(loadOptions, options))
    const { contextLength } = yield* Effect.mapError(valid, toError)
    const entries = yield* call(Routes.modelsV1, undefined)
    const entry = entries.find(({ info }) => info.id === model)
    const loaded = entry?.instances.find(
      (instance) => contextLength === undefined || instance.contextLength === contextLength
    )
    if (loaded !== undefined) return loaded.id
    return yield* changing.one(call(Routes.load, { model, context_length: contextLength }, model))
  }),
  unload: Effect.fnUntraced(function* (modelOrInstance: string) {
    const entries = yield* call(Routes.modelsV1, undefined)
    const entry = entries.find(({ info }) => info.id === modelOrInstance)
    const ids = entry === undefined ? [modelOrInstance] : entry.instances.map(({ id }) => id)
    const unload = (instance_id: string) => call(Routes.unload, { instance_id }, modelOrInstance)
    yield* changing.one(Effect.forEach(ids, unload, { discard: true }))
  }),
  download: (model: string, { quantization }: DownloadOptions = {}): Stream.Stream<ModelProgress, ProviderError> =>
    Effect.map(call(Routes.download, { model, quantization }, model), ({ jobId, progress }) => {
      const first = Stream.succeed(progress)
      if (progress.isFinal) return first
      if (jobId === undefined) return Stream.concat(first, Stream.fail(toError(new StreamTruncated())))
      const stalled = Stream.fail(toError(new Timeout({ kind: "idle", limit: stallLimit })))
      const status = Effect.delay(call(Routes.downloadStatus(jobId), undefined, model), "1 second")
      const rest = Stream.fromEffectRepeat(status).pipe(
        Stream.map(({ progress }) => progress),
        Stream.changesWith((a, b) => a.status === b.status && a.completedBytes === b.completedBytes),
        Stream.takeUntil(({ isFinal }) => isFinal),
        Stream.timeoutOrElse({ duration: stallLimit, orElse: () => stalled })
      )
      return Stream.concat(first, rest)
    }).pipe(Stream.unwrap, changing.stream)
})

export const lmStudio: DiscoverableServer<"lmstudio", ReturnType<typeof makeOperations>> = {
  ...Kinds.identify("lmstudio"),
  address: { defaultUrl: "http://127.0.0.1:1234", port: "1234", root: "/v1" },
  identity: {
    path: "/lmstudio-greeting",
    matches: ({ body }) => Predicate.hasProperty(body, "lmstudio") && body.lmstudio === true
  },
  endpoints: Endpoints.make(dialect),
  describe: ({ call, listModels }, model) =>
    call(Routes.modelsV1, undefined).pipe(
      Effect.catchReason("ProviderError", "Unsupported", () => call(Routes.modelsV0, undefined)),
      Effect.map(
        (entries) =>
          entries.find(({ info, instances }) => info.id === model || instances.some(({ id }) => id === model))?.info
      ),
      Effect.catchReason("ProviderError", "Unsupported", () =>
        Effect.map(listModels, (models) => models.find(({ id }) => id === model))
      )
    ),
  hints: { missingModel: (model) => `run \`lms get ${model}\`` },
  reportedCapabilities: new Set(["vision", "embedding"]),
  oneModelAtATime: true,
  management: { options: new Set(["contextLength"]), downloadGoesOn: true },
  operations: makeOperations
}
