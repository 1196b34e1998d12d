/** The body of a request that a client sent. A failure names the field as the client wrote it, and does not quote its value. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaJITCompiler from "effect/schema/SchemaJITCompiler"
import * as Struct from "effect/Struct"
import type { Defaults } from "../CompletionRequest.ts"
import { InvalidRequest } from "../ProviderError.ts"
import * as Json from "../values/json.ts"
import * as Values from "../values/objects.ts"
import { nullish } from "./wireSchema.ts"

export type Read<A> = Result.Result<A, InvalidRequest>

/** A request that is refused because of a field. */
export const invalid = (field: string | undefined, description: string): Result.Result<never, InvalidRequest> =>
  Result.fail(new InvalidRequest({ field, description }))

/** Reads a value that is at a path of the body; at none: the body itself. Fields that the schema does not have are left as they are. */
export const reader = <S extends Schema.ConstraintDecoder<unknown>>(
  schema: S
): ((value: unknown, path?: string) => Read<S["Type"]>) => {
  // A conversation has many messages, and a check that is compiled is several times faster.
  SchemaJITCompiler.enable(schema.ast)
  const is = Schema.is(schema)
  const decode = Schema.decodeUnknownResult(schema)
  return (value, path) =>
    is(value)
      ? Result.succeed(value)
      : Result.mapError(decode(value), (error) => {
          const { description, field } = toFault(error)
          return new InvalidRequest({ field: join(path, field), description: description?.replace(/ \| null$/, "") })
        })
}

const toFault = Values.makeToFault({})

const join = (path: string | undefined, field: string | undefined): string | undefined => {
  if (path === undefined || field === undefined) return path ?? field
  return field.startsWith("[") ? path + field : `${path}.${field}`
}

/** A schema of any object, which is not copied. */
export const JsonObject = Schema.declare((value): value is Json.JsonObject => Json.isObject(value), {
  expected: "object"
})

/** A value with a `type`, which decides how it is read. */
export interface Typed extends Json.JsonObject {
  readonly type: string
}

/** A schema of such values. */
export const Typed = Schema.declare(
  (value): value is Typed => Json.isObject(value) && typeof value["type"] === "string",
  { expected: "an object with a type" }
)

/** A name that a client chose, if it can be quoted in a message. */
export const quote = (name: string): string => (/^[\w.-]{1,64}$/.test(name) ? `"${name}"` : "this one")

/** The base64 text of an image, without white space, which some clients break it with. */
export const base64 = (text: string, path: string): Read<string> => {
  const base64 = text.replace(/\s+/g, "")
  return base64 === "" || /[^\w+/=-]/.test(base64) ? invalid(path, "Expected base64 text") : Result.succeed(base64)
}

/** The sampling options of Ollama and of OpenAI's protocol. Their ranges are checked with the request. */
export const samplingFields = {
  ...Struct.Record(["temperature", "top_p", "top_k", "typical_p", "min_p", "seed"], nullish(Schema.Finite)),
  ...Struct.Record(["repeat_penalty", "presence_penalty", "frequency_penalty"], nullish(Schema.Finite)),
  stop: nullish(Schema.Union([Schema.Array(Schema.String), Schema.String]))
}

/** The same options of a request. */
export const decodeSampling = (fields: Schema.Struct.Type<typeof samplingFields>) => {
  const { stop } = fields
  return {
    temperature: fields.temperature ?? undefined,
    topP: fields.top_p ?? undefined,
    topK: fields.top_k ?? undefined,
    typicalP: fields.typical_p ?? undefined,
    minP: fields.min_p ?? undefined,
    seed: fields.seed ?? undefined,
    stop: typeof stop === "string" ? (stop === "" ? undefined : [stop]) : (stop ?? undefined),
    repeatPenalty: fields.repeat_penalty ?? undefined,
    presencePenalty: fields.presence_penalty ?? undefined,
    frequencyPenalty: fields.frequency_penalty ?? undefined
  } satisfies Defaults
}

/** Options that mean the same in all protocols. */
export const temperature = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 2 }))
export const topP = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))
export const count = (minimum: number) => Schema.Int.check(Schema.isGreaterThanOrEqualTo(minimum))
