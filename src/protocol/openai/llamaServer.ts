/** The routes that only llama.cpp's server has. Facts: its `tools/server/README.md`. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ModelInfo } from "../../ModelInfo.ts"
import { StreamError } from "../../ProviderError.ts"
import * as Json from "../../values/json.ts"
import type { Endpoint } from "../endpoint.ts"
import * as JsonEndpoint from "../jsonEndpoint.ts"
import * as WireSchema from "../wireSchema.ts"

/** The answer of llama.cpp's `/health` once the model is loaded. */
const Health = Schema.Struct({ status: Schema.String })

/** The answer of llama.cpp's `/props`. */
const Properties = Schema.Struct({
  default_generation_settings: WireSchema.metadata,
  modalities: WireSchema.metadata,
  is_sleeping: WireSchema.metadata
})

/** `n_ctx` is the context of one request. Whether the model knows tools or thinks is not reported. */
const fromProperties = ({
  default_generation_settings,
  is_sleeping,
  modalities
}: typeof Properties.Type): Partial<ModelInfo> => {
  const vision = Json.get(modalities, "vision")
  return {
    isLoaded: is_sleeping !== true,
    loadedContextLength: Json.toCount(Json.get(default_generation_settings, "n_ctx")),
    ...(typeof vision === "boolean" ? { capabilities: vision ? ["completion", "vision"] : ["completion"] } : {})
  }
}

/** The answer of llama.cpp's `/slots`. */
const Slots = Schema.Array(
  Schema.Struct({ id: Schema.Number, is_processing: Schema.Boolean, n_ctx: WireSchema.metadata })
)

const toSlots = (slots: typeof Slots.Type) =>
  slots.map(({ id, is_processing, n_ctx }) => ({ id, isProcessing: is_processing, contextLength: Json.toCount(n_ctx) }))

/** The answer of llama.cpp's router to a command. */
const Done = Schema.Struct({ success: WireSchema.nullish(Schema.Boolean) })

/** `GET /health`. */
export const health = JsonEndpoint.get("/health", Health, () => undefined)

/** `GET /props`. */
export const properties: Endpoint<void, Partial<ModelInfo>> = JsonEndpoint.get("/props", Properties, fromProperties)

/** `GET /slots`. */
export const slots = JsonEndpoint.get("/slots", Slots, toSlots)

/** A command to llama.cpp's router, which reports whether it was carried out. */
const command = (path: string) =>
  JsonEndpoint.post(
    path,
    JsonEndpoint.decoder(Done, ({ success }) =>
      success === false
        ? Result.fail(new StreamError({ description: "the server did not carry out the command" }))
        : Result.succeed<void>(undefined)
    )
  )

/** `POST /models/load` and `/models/unload` of a server, if it is a router. */
export const load = command("/models/load")
export const unload = command("/models/unload")
