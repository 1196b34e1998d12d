/**
 * Lists of models, embeddings and the progress of a download as Ollama sends them: the other direction of `models.ts`, `endpoints.ts` and
 * `transfers.ts`. Facts: Ollama's `api/types.go`. Fields that clients require are there, also if nothing is known of them.
 */
import * as DateTime from "effect/DateTime"
import * as Hash from "effect/Hash"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Embedding } from "../../Embedding.ts"
import * as EmbeddingRequests from "../../Embedding.ts"
import type { ModelInfo } from "../../ModelInfo.ts"
import type { ModelProgress } from "../../ModelProgress.ts"
import type { JsonObject } from "../../values/json.ts"
import * as Body from "../receivedBody.ts"
import type * as Served from "../served.ts"
import { nullish } from "../wireSchema.ts"
import * as KeepAlive from "./keepAlive.ts"
import * as Request from "./servedRequest.ts"

/**
 * The version whose behaviour the encoders have. It is the newest one whose sources the facts were read from. Copilot requires 0.6.4,
 * and clients send tool calls with ids from 0.12.10 on.
 */
export const version = "0.33.0"

/** `GET /api/tags`. */
export const encodeList = (models: ReadonlyArray<ModelInfo>): JsonObject => ({ models: models.map(encodeModel) })

const encodeModel = (info: ModelInfo) => ({
  name: info.id,
  model: info.id,
  modified_at: unknownTime,
  size: info.sizeBytes ?? 0,
  digest: toDigest(info.id),
  details: encodeDetails(info),
  ...(info.capabilities === undefined ? {} : { capabilities: info.capabilities })
})

/** Some clients parse it, and cannot take the year 1 that Ollama sends for no time. */
const unknownTime = "1970-01-01T00:00:00Z"

/** Clients distinguish models by it, and `ollama list` shows its beginning. It is made from the name, since the files are not known. */
const toDigest = (name: string): string =>
  Array.from({ length: 8 }, (_, i) => (Hash.string(`${i} ${name}`) >>> 0).toString(16).padStart(8, "0")).join("")

const encodeDetails = ({ contextLength, family = "", parameterSize = "", quantization = "" }: ModelInfo) => ({
  parent_model: "",
  format: "",
  family,
  families: family === "" ? [] : [family],
  parameter_size: parameterSize,
  quantization_level: quantization,
  ...(contextLength === undefined ? {} : { context_length: contextLength })
})

/** `GET /api/ps`: those of the models that are in memory. */
export const encodeRunning = (models: ReadonlyArray<ModelInfo>): JsonObject => ({
  models: models
    .filter(({ isLoaded }) => isLoaded === true)
    .map((info) => ({
      name: info.id,
      model: info.id,
      size: info.memoryBytes ?? 0,
      digest: toDigest(info.id),
      details: encodeDetails(info),
      expires_at: info.expiresAt === undefined ? never : DateTime.formatIso(info.expiresAt),
      size_vram: info.memoryBytes ?? 0,
      context_length: info.loadedContextLength ?? 0
    }))
})

/** A model that stays in memory, as far as is known. */
const never = "2318-01-01T00:00:00Z"

/**
 * `POST /api/show`. Copilot requires the architecture, under which it finds the context length. Continue offers to fill in the middle if
 * the template has a place for the suffix. The template itself is not known.
 */
export const encodeShown = (info: ModelInfo): JsonObject => {
  const { capabilities = ["completion"], contextLength = info.loadedContextLength, family = "unknown" } = info
  return {
    license: "",
    modelfile: `FROM ${info.id}\n`,
    parameters: "",
    template: capabilities.includes("insert") ? "{{ .Prompt }}{{ .Suffix }}" : "{{ .Prompt }}",
    details: encodeDetails(info),
    model_info: {
      "general.architecture": family,
      "general.basename": info.id,
      ...(contextLength === undefined ? {} : { [`${family}.context_length`]: contextLength })
    },
    capabilities,
    modified_at: unknownTime
  }
}

const Named = Schema.Struct({ model: nullish(Schema.String), name: nullish(Schema.String) })

const readNamed = Body.reader(Named)

/** The model that a request is about: `model`, or `name` as older clients call it, some of them beside an empty `model`. */
export const decodeName: Served.Decode<string> = (body) =>
  Result.flatMap(readNamed(body), ({ model, name }) => Request.requireModel(model || name))

const Pull = Schema.Struct({ ...Named.fields, stream: nullish(Schema.Boolean), insecure: nullish(Schema.Boolean) })

const readPull = Body.reader(Pull)

/** `POST /api/pull`. */
export const decodePull: Served.Decode<{ readonly model: string; readonly isStream: boolean }> = (body) =>
  Result.gen(function* () {
    const { insecure, model, name, stream } = yield* readPull(body)
    if (insecure === true) return yield* Body.invalid("insecure", "the gateway does not allow it")
    return { model: yield* Request.requireModel(model || name), isStream: stream ?? true }
  })

/** A line of a download. Counts are absent while they are 0, as Ollama leaves them out. */
export const encodeProgress = ({ layer, status }: Pick<ModelProgress, "layer" | "status">): string =>
  `${JSON.stringify({
    status,
    digest: layer?.digest,
    total: layer?.totalBytes || undefined,
    completed: layer?.completedBytes || undefined
  })}\n`

const embedding = {
  model: nullish(Schema.String),
  keep_alive: KeepAlive.Wire,
  options: nullish(Request.Options)
}

const Embed = Schema.Struct({
  ...embedding,
  input: nullish(Schema.Union([Schema.String, Schema.Array(Schema.String)])),
  truncate: nullish(Schema.Boolean),
  dimensions: nullish(Schema.Finite)
})

const readEmbed = Body.reader(Embed)

/**
 * `POST /api/embed`. Unless `truncate` is false, servers of Ollama drop what does not fit, as their clients expect. Others fail then: it is
 * not `overflow`, which they would not support, since some clients always send Ollama's default (llm-ollama does).
 */
export const decodeEmbed: Served.Decode<Served.ReceivedEmbedding> = (body) =>
  Result.gen(function* () {
    const embed = yield* readEmbed(body)
    const { dimensions, input, truncate } = embed
    // Ollama takes 0 as no dimensions.
    const fields = { input: input || [], dimensions: dimensions || undefined }
    return yield* receiveEmbedding(embed, fields, truncate === false ? {} : { truncate: true }, encodeEmbedding)
  })

const encodeEmbedding: Served.ReceivedEmbedding["encode"] = ({ promptTokens, vectors }, { model }) => ({
  model,
  embeddings: vectors,
  prompt_eval_count: promptTokens
})

const Embeddings = Schema.Struct({ ...embedding, prompt: nullish(Schema.String) })

const readEmbeddings = Body.reader(Embeddings)

/** `POST /api/embeddings`, the form before 0.2.6: one text. */
export const decodeEmbeddings: Served.Decode<Served.ReceivedEmbedding> = (body) =>
  Result.gen(function* () {
    const embeddings = yield* readEmbeddings(body)
    return yield* receiveEmbedding(
      embeddings,
      { input: embeddings.prompt || [] },
      { truncate: true },
      ({ vectors }: Embedding) => ({
        embedding: vectors[0] ?? []
      })
    )
  })

type Embedded = Omit<EmbeddingRequests.EmbeddingRequest, "model">

const receiveEmbedding = (
  body: Schema.Struct.Type<typeof embedding>,
  fields: Embedded,
  extra: JsonObject,
  encode: Served.ReceivedEmbedding["encode"]
): Body.Read<Served.ReceivedEmbedding> =>
  Result.gen(function* () {
    const model = yield* Request.requireModel(body.model)
    const tuning = yield* Request.decodeTuning(body, extra)
    const request = { model, ...fields }
    yield* EmbeddingRequests.check({ ...request, ...tuning })
    return { request, tuning, encode }
  })
