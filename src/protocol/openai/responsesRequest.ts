/**
 * Requests of OpenAI's responses.
 *
 * Facts: https://developers.openai.com/api/reference/resources/responses, and the requests of codex.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ChatRequest } from "../../CompletionRequest.ts"
import { check } from "../../CompletionRequest.ts"
import type { JsonObject } from "../../values/json.ts"
import type { Read } from "../receivedBody.ts"
import * as Body from "../receivedBody.ts"
import { metadata, nullish } from "../wireSchema.ts"
import * as Input from "./responsesInput.ts"
import type { Place } from "./responsesTools.ts"
import * as Tools from "./responsesTools.ts"

const WireFormat = Schema.Union([
  Schema.Struct({ type: Schema.Literal("json_schema"), schema: Body.JsonObject }),
  Schema.Struct({ type: Schema.Literals(["text", "json_object"]) })
])

const Wire = Schema.Struct({
  model: Schema.NonEmptyString,
  input: Schema.Union([Schema.NonEmptyString, Schema.NonEmptyArray(Body.JsonObject)]),
  instructions: nullish(Schema.String),
  stream: nullish(Schema.Boolean),
  max_output_tokens: nullish(Body.count(1)),
  temperature: nullish(Body.temperature),
  top_p: nullish(Body.topP),
  tools: nullish(Schema.Array(Body.Typed)),
  tool_choice: nullish(Tools.WireToolChoice),
  text: nullish(Schema.Struct({ format: nullish(WireFormat) })),
  reasoning: nullish(Schema.Struct({ effort: nullish(Schema.NonEmptyString) })),
  truncation: nullish(Schema.Literals(["auto", "disabled"])),
  prompt_cache_key: nullish(Schema.String),
  parallel_tool_calls: nullish(Schema.Boolean),
  metadata
})

type Wire = typeof Wire.Type

const readWire = Body.reader(Wire)

/** What responses say of their request. */
export interface Echo {
  readonly fields: JsonObject
  readonly places: ReadonlyMap<string, Place>
}

/** A request that was read. */
export interface Received {
  readonly request: ChatRequest & { readonly model: string }
  readonly isStream: boolean
  readonly echo: Echo
}

/** Reads the body of a request. */
export const decode = (body: JsonObject): Read<Received> =>
  Result.gen(function* () {
    yield* refuseOthers(body)
    const wire = yield* readWire(body)
    const offered = yield* Tools.decode(wire.tools ?? [])
    const { toolChoice, tools } = yield* Tools.choose(wire.tool_choice, offered)
    const request = {
      model: wire.model,
      messages: yield* Input.decode(wire.input, wire.instructions ?? ""),
      ...(tools.length === 0 ? {} : { tools, toolChoice }),
      maxTokens: wire.max_output_tokens ?? undefined,
      temperature: wire.temperature ?? undefined,
      topP: wire.top_p ?? undefined,
      think: thinkOf(wire),
      format: formatOf(wire),
      overflow: wire.truncation === "auto" ? ("truncate" as const) : undefined
    }
    yield* check(request)
    return {
      request,
      isStream: wire.stream ?? false,
      echo: { fields: echo(wire), places: offered.places }
    }
  })

/** Fields that would change the completion: nothing is stored, and no server here has the others. */
const refused: Readonly<Record<string, string>> = {
  previous_response_id: "no responses are stored; send the whole conversation as input",
  conversation: "no conversations are stored; send the whole conversation as input",
  prompt: "no prompts are stored",
  background: "no responses are stored",
  moderation: "it is not supported here",
  top_logprobs: "it is not supported here"
}

const refuseOthers = (body: JsonObject): Read<void> => {
  const field = Object.keys(refused).find((field) => !isOff(body[field]))
  return field === undefined ? Result.succeed(undefined) : Body.invalid(field, refused[field] ?? "")
}

const isOff = (value: unknown): boolean => value == null || value === false || value === 0 || value === ""

const thinkOf = ({ reasoning }: Wire): string | false | undefined => {
  const effort = reasoning?.effort
  return effort == null ? undefined : effort === "none" ? false : effort
}

const formatOf = ({ text }: Wire): ChatRequest["format"] => {
  const format = text?.format
  if (format == null || format.type === "text") return undefined
  return format.type === "json_schema" ? format.schema : "json"
}

/** The options, as OpenAI repeats them. The prompt, the tools and the schema are not repeated, since they can be large. */
const echo = (wire: Wire): JsonObject => ({
  instructions: null,
  max_output_tokens: wire.max_output_tokens ?? null,
  metadata: wire.metadata ?? {},
  parallel_tool_calls: wire.parallel_tool_calls ?? true,
  previous_response_id: null,
  prompt_cache_key: wire.prompt_cache_key ?? null,
  reasoning: { effort: wire.reasoning?.effort ?? null, summary: null },
  store: false,
  temperature: wire.temperature ?? null,
  text: { format: { type: wire.text?.format?.type ?? "text" } },
  tool_choice: wire.tool_choice ?? "auto",
  tools: [],
  top_p: wire.top_p ?? null,
  truncation: wire.truncation ?? "disabled"
})
