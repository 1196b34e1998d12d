/**
 * Requests for completions as clients of Anthropic's API send them.
 *
 * Facts: https://platform.claude.com/docs/en/api/messages, and the requests of Claude Code 2.1.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ChatRequest, Message, Tool, ToolChoice } from "../../CompletionRequest.ts"
import { check } from "../../CompletionRequest.ts"
import type { InvalidRequest } from "../../ProviderError.ts"
import type { JsonObject } from "../../values/json.ts"
import type { Read } from "../receivedBody.ts"
import * as Body from "../receivedBody.ts"
import * as WireSchema from "../wireSchema.ts"
import * as Content from "./content.ts"

const { nullish } = WireSchema

const WireMessage = Schema.Struct({
  role: Schema.Literals(["user", "assistant", "system"]),
  content: Schema.Union([Schema.String, Schema.Array(Body.Typed)])
})

const WireToolChoice = Schema.Struct({
  type: Schema.Literals(["auto", "any", "none", "tool"]),
  name: nullish(Schema.NonEmptyString)
})

const WireFormat = Schema.Struct({ type: Schema.Literal("json_schema"), schema: Body.JsonObject })

/** Fields that would change the completion, and that no server here has. */
const refused = ["container", "mcp_servers"] as const

const Wire = Schema.Struct({
  model: Schema.NonEmptyString,
  messages: Schema.Array(WireMessage).check(Schema.isMinLength(1)),
  system: nullish(Schema.Union([Schema.String, Schema.Array(Body.Typed)])),
  max_tokens: nullish(Body.count(1)),
  temperature: nullish(Body.temperature),
  top_p: nullish(Body.topP),
  top_k: nullish(Body.count(0)),
  stop_sequences: nullish(Schema.Array(Schema.NonEmptyString)),
  stream: nullish(Schema.Boolean),
  tools: nullish(Schema.Array(Body.JsonObject)),
  tool_choice: nullish(WireToolChoice),
  thinking: nullish(Schema.Struct({ type: Schema.Literals(["enabled", "disabled", "adaptive", "between_tools"]) })),
  output_config: nullish(Schema.Struct({ format: nullish(WireFormat) })),
  output_format: nullish(WireFormat),
  container: WireSchema.metadata,
  mcp_servers: WireSchema.metadata
})

type Wire = typeof Wire.Type

const readWire = Body.reader(Wire)

/** A request that was read, before it becomes what a route needs. */
export interface Received {
  readonly request: ChatRequest & { readonly model: string }
  readonly isStream: boolean
}

/** Reads the body of a request for a completion, or of one that counts its tokens. */
export const decode = (body: JsonObject): Result.Result<Received, InvalidRequest> =>
  Result.gen(function* () {
    const wire = yield* readWire(body)
    const unsupported = refused.find((field) => !isEmpty(wire[field]))
    if (unsupported !== undefined) return yield* Body.invalid(unsupported, "it is not supported here")
    const tools = yield* Result.all((wire.tools ?? []).map((tool, i) => decodeTool(tool, `tools[${i}]`)))
    const toolChoice = yield* decodeToolChoice(wire, tools)
    const request = {
      model: wire.model,
      messages: yield* decodeMessages(wire),
      ...(tools.length === 0 ? {} : { tools, toolChoice }),
      maxTokens: wire.max_tokens ?? undefined,
      temperature: wire.temperature ?? undefined,
      topP: wire.top_p ?? undefined,
      topK: wire.top_k ?? undefined,
      stop: wire.stop_sequences ?? undefined,
      think: thinkOf(wire),
      format: (wire.output_config?.format ?? wire.output_format)?.schema
    }
    yield* check(request)
    return { request, isStream: wire.stream ?? false }
  })

const isEmpty = (value: unknown): boolean => value == null || (Array.isArray(value) && value.length === 0)

/** `enabled` comes with a budget of tokens, for which servers here have no equivalent. */
const thinkOf = ({ thinking }: Wire): boolean | undefined =>
  thinking?.type === "enabled" ? true : thinking?.type === "disabled" ? false : undefined

const readTool = Body.reader(
  Schema.Struct({
    name: Schema.NonEmptyString,
    description: nullish(Schema.String),
    input_schema: Body.JsonObject
  })
)

/** Other types are tools that Anthropic runs or defines, so the request has no schema of them. */
const decodeTool = (tool: JsonObject, path: string): Read<Tool> => {
  const { type } = tool
  if (type != null && type !== "custom") {
    const name = typeof type === "string" ? ` of the type ${Body.quote(type)}` : ""
    return Body.invalid(`${path}.type`, `tools${name} are not supported, only those with an input_schema`)
  }
  return Result.map(readTool(tool, path), ({ description, input_schema, name }) => ({
    name,
    description: description ?? undefined,
    parameters: input_schema
  }))
}

const decodeToolChoice = ({ tool_choice: choice }: Wire, tools: ReadonlyArray<Tool>): Read<ToolChoice | undefined> => {
  if (choice == null) return Result.succeed(undefined)
  if (choice.type === "auto" || choice.type === "none") return Result.succeed(choice.type)
  if (tools.length === 0) return Body.invalid("tool_choice", "it needs tools")
  if (choice.type === "any") return Result.succeed("required")
  const { name } = choice
  return name != null && tools.some((tool) => tool.name === name)
    ? Result.succeed({ name })
    : Body.invalid("tool_choice.name", "Expected the name of one of the tools")
}

const decodeMessages = ({ messages, system }: Wire): Read<ReadonlyArray<Message>> =>
  Result.gen(function* () {
    const decoded: Array<Message> = []
    const instructions = yield* Content.decodeSystem(system ?? "", "system")
    if (instructions !== "") decoded.push({ role: "system", content: instructions })
    /** The ids of the calls so far. */
    const calls = new Set<string>()
    for (const [i, { content, role }] of messages.entries()) {
      const path = `messages[${i}].content`
      decoded.push(...(yield* Content.decode(role, content, path, calls)))
    }
    return decoded
  })
