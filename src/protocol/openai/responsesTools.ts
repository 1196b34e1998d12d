/** The tools of OpenAI's responses. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Tool, ToolChoice } from "../../CompletionRequest.ts"
import type { Read, Typed } from "../receivedBody.ts"
import * as Body from "../receivedBody.ts"
import { nullish } from "../wireSchema.ts"

/** The name of a function, and the group that it belongs to. */
export interface Place {
  readonly name: string
  readonly namespace?: string | undefined
}

/** The tools that are offered, and where those of groups belong. */
export interface Offered {
  readonly tools: ReadonlyArray<Tool>
  /** By the name that the model reads. */
  readonly places: ReadonlyMap<string, Place>
}

/** The name that the model reads. Groups, as which codex sends the tools of MCP servers, may have functions of the same name. */
export const qualify = (name: string, namespace: string | null | undefined): string => {
  if (namespace == null || namespace === "") return name
  return namespace.endsWith("_") ? namespace + name : `${namespace}__${name}`
}

const readFunction = Body.reader(
  Schema.Struct({
    name: Schema.NonEmptyString,
    description: nullish(Schema.String),
    parameters: nullish(Body.JsonObject)
  })
)

const readGroup = Body.reader(Schema.Struct({ name: Schema.NonEmptyString, tools: Schema.Array(Body.Typed) }))

/**
 * Tools that OpenAI runs, or that are not called with JSON. Codex declares them to every server, so they are left out: a model that does not
 * know a tool does not call it. Others are refused, since a client that sends them relies on them.
 */
const ignored: ReadonlySet<string> = new Set(["web_search", "image_generation", "tool_search", "custom"])

/** The functions among the tools. */
export const decode = (tools: ReadonlyArray<Typed>): Read<Offered> =>
  Result.gen(function* () {
    const offered: Array<Tool> = []
    const places = new Map<string, Place>()
    const add = (tool: Typed, path: string, namespace?: string) =>
      Result.map(readFunction(tool, path), ({ description, name: own, parameters }) => {
        const name = qualify(own, namespace)
        if (namespace !== undefined) places.set(name, { name: own, namespace })
        offered.push({ name, description: description ?? undefined, parameters: parameters ?? undefined })
      })
    for (const [i, tool] of tools.entries()) {
      const path = `tools[${i}]`
      if (tool.type === "function") yield* add(tool, path)
      else if (tool.type === "namespace") {
        const group = yield* readGroup(tool, path)
        for (const [j, inner] of group.tools.entries()) {
          if (inner.type === "function") yield* add(inner, `${path}.tools[${j}]`, group.name)
        }
      } else if (!ignored.has(tool.type)) {
        const message = `tools of the type ${Body.quote(tool.type)} are not supported, only functions`
        return yield* Body.invalid(`${path}.type`, message)
      }
    }
    return { tools: offered, places }
  })

const Named = Schema.Struct({ name: Schema.String, namespace: nullish(Schema.String) })
const readNamed = Body.reader(Named)

const readAllowed = Body.reader(
  Schema.Struct({ mode: Schema.Literals(["auto", "required"]), tools: Schema.Array(Body.Typed) })
)

interface Chosen {
  readonly tools: ReadonlyArray<Tool>
  readonly toolChoice: ToolChoice | undefined
}

/** A schema of the forms of `tool_choice`. */
export const WireToolChoice = Schema.Union([Schema.Literals(["auto", "none", "required"]), Body.Typed])

/** Which of the tools are offered, and whether the model calls one. */
export const choose = (choice: typeof WireToolChoice.Type | null | undefined, { tools }: Offered): Read<Chosen> =>
  Result.gen(function* () {
    const path = "tool_choice"
    if (choice == null) return { tools, toolChoice: undefined }
    if (typeof choice === "string") {
      if (tools.length === 0 && choice === "required") return yield* Body.invalid(path, "it needs tools")
      return { tools, toolChoice: tools.length === 0 ? undefined : choice }
    }
    if (choice.type === "function") {
      const { name, namespace } = yield* readNamed(choice, path)
      const toolChoice = { name: qualify(name, namespace) }
      if (!tools.some((tool) => tool.name === toolChoice.name)) return yield* unknownTool(`${path}.name`)
      return { tools, toolChoice }
    }
    if (choice.type !== "allowed_tools") {
      return yield* Body.invalid(
        `${path}.type`,
        `a choice of the type ${Body.quote(choice.type)} is not supported here`
      )
    }
    const { mode, tools: allowed } = yield* readAllowed(choice, path)
    const names = new Set<string>()
    for (const [i, tool] of allowed.entries()) {
      if (ignored.has(tool.type)) continue
      const { name, namespace } = yield* readNamed(tool, `${path}.tools[${i}]`)
      names.add(qualify(name, namespace))
    }
    const chosen = tools.filter(({ name }) => names.has(name))
    if (chosen.length < names.size || (chosen.length === 0 && mode === "required"))
      return yield* unknownTool(`${path}.tools`)
    return { tools: chosen, toolChoice: chosen.length === 0 ? undefined : mode }
  })

const unknownTool = (field: string) => Body.invalid(field, "Expected the name of one of the tools")
