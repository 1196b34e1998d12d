/** The content of messages of Anthropic's API: a text, or blocks. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ContentPart, Message } from "../../CompletionRequest.ts"
import type { ToolCall } from "../../StreamingChunk.ts"
import * as Content from "../content.ts"
import type { Read, Typed } from "../receivedBody.ts"
import * as Body from "../receivedBody.ts"
import { nullish } from "../wireSchema.ts"

type Wire = string | ReadonlyArray<Typed>
type Role = "user" | "assistant" | "system"

/** What the blocks of a message become. */
interface Parts {
  readonly content: Array<ContentPart>
  readonly thinking: Array<string>
  readonly calls: Array<ToolCall>
  readonly results: Array<Message>
}

/**
 * The messages that one message becomes. Results of tools are messages of their own; they come first, since they follow the calls. `calls`
 * has the ids of all calls so far.
 */
export const decode = (role: Role, content: Wire, path: string, calls: Set<string>): Read<ReadonlyArray<Message>> =>
  Result.gen(function* () {
    if (role === "system") return [{ role, content: yield* decodeSystem(content, path) }]
    if (typeof content === "string") return [{ role, content }]
    const parts: Parts = { content: [], thinking: [], calls: [], results: [] }
    for (const [i, block] of content.entries()) yield* decodeBlock(role, block, `${path}[${i}]`, parts, calls)
    for (const { id } of parts.calls) calls.add(id)
    const { results, thinking } = parts
    if (results.length > 0 && parts.content.length === 0) return results
    return [
      ...results,
      { role, ...Content.ofDraft({ thinking, content: Content.ofParts(parts.content), calls: parts.calls }) }
    ]
  })

/**
 * Instructions: the blocks with a blank line between them. Claude Code begins with a block for billing that differs in each request. It is left
 * out, since no server could reuse its cache of the prompt.
 */
export const decodeSystem = (content: Wire, path: string): Read<string> =>
  typeof content === "string"
    ? Result.succeed(content.replace(billing, ""))
    : Result.map(Result.all(content.map((block, i) => readTextOf(block, `${path}[${i}]`))), (texts) =>
        texts
          .map((text) => text.replace(billing, ""))
          .filter((text) => text !== "")
          .join("\n\n")
      )

const billing = /^x-anthropic-billing-header:[^\n]*\n*/

const readText = Body.reader(Schema.Struct({ text: Schema.String }))

const readTextOf = (block: Typed, path: string): Read<string> =>
  block.type === "text" ? Result.map(readText(block, path), ({ text }) => text) : refuse(block, path)

const refuse = ({ type }: Typed, path: string) =>
  Body.invalid(`${path}.type`, `blocks of the type ${Body.quote(type)} are not supported here`)

type DecodeBlock = (block: Typed, path: string, parts: Parts, calls: ReadonlySet<string>) => Read<unknown>

const decodeBlock = (
  role: "user" | "assistant",
  block: Typed,
  path: string,
  parts: Parts,
  calls: ReadonlySet<string>
) => (blocks[role].get(block.type) ?? refuse)(block, path, parts, calls)

const addText: DecodeBlock = (block, path, { content }) =>
  Result.map(readText(block, path), ({ text }) => content.push({ type: "text", text }))

const readSource = Body.reader(Schema.Struct({ source: Body.Typed }))

const readData = Body.reader(Schema.Struct({ data: Schema.NonEmptyString }))

const decodeImage = (block: Typed, path: string): Read<ContentPart> =>
  Result.gen(function* () {
    const { source } = yield* readSource(block, path)
    const place = `${path}.source`
    if (source.type === "url")
      return yield* Body.invalid(`${place}.url`, "images are not loaded from an address; send them as base64")
    if (source.type !== "base64") return yield* Body.invalid(`${place}.type`, 'Expected "base64"')
    const { data } = yield* readData(source, place)
    const image = yield* Body.base64(data, `${place}.data`)
    return { type: "image", image }
  })

const addImage: DecodeBlock = (block, path, { content }) =>
  Result.map(decodeImage(block, path), (part) => content.push(part))

const readDocument = Body.reader(
  Schema.Struct({ source: Body.Typed, title: nullish(Schema.String), context: nullish(Schema.String) })
)

/** A document is a text here. Others, such as PDF, would need a reader. */
const addDocument: DecodeBlock = (block, path, { content }) =>
  Result.gen(function* () {
    const { context, source, title } = yield* readDocument(block, path)
    if (source.type !== "text")
      return yield* Body.invalid(`${path}.source.type`, "only documents of text are supported")
    const { data } = yield* readData(source, `${path}.source`)
    content.push({
      type: "text",
      text: [title, context, data].filter((text) => text != null && text !== "").join("\n")
    })
  })

const readThinking = Body.reader(Schema.Struct({ thinking: Schema.String }))

const addThinking: DecodeBlock = (block, path, { thinking: texts }) =>
  Result.map(readThinking(block, path), ({ thinking }) => texts.push(thinking))

const readCall = Body.reader(
  Schema.Struct({
    id: Schema.NonEmptyString,
    name: Schema.NonEmptyString,
    // Models generate other values as well, and clients send back what they got.
    input: Schema.Unknown
  })
)

const addCall: DecodeBlock = (block, path, { calls }) =>
  Result.map(readCall(block, path), ({ id, input, name }) => calls.push({ id, name, arguments: input }))

const readResult = Body.reader(
  Schema.Struct({
    tool_use_id: Schema.NonEmptyString,
    content: nullish(Schema.Union([Schema.String, Schema.Array(Body.Typed)])),
    is_error: nullish(Schema.Boolean)
  })
)

const addResult: DecodeBlock = (block, path, { results }, calls) =>
  Result.gen(function* () {
    const { content, is_error, tool_use_id } = yield* readResult(block, path)
    if (!calls.has(tool_use_id)) {
      return yield* Body.invalid(`${path}.tool_use_id`, "Expected the id of a tool_use block in an earlier message")
    }
    const parts = Array.isArray(content)
      ? yield* Result.all(content.map((part: Typed, i) => decodeResultPart(part, `${path}.content[${i}]`)))
      : undefined
    results.push({
      role: "tool",
      content: parts === undefined ? (typeof content === "string" ? content : "") : Content.ofParts(parts),
      toolCallId: tool_use_id,
      ...(is_error === true ? { isError: true } : {})
    })
  })

const readReference = Body.reader(Schema.Struct({ tool_name: Schema.String }))

const decodeResultPart = (part: Typed, path: string): Read<ContentPart> => {
  if (part.type === "image") return decodeImage(part, path)
  // The result of a search for tools. All tools are offered in any case.
  if (part.type === "tool_reference") {
    return Result.map(readReference(part, path), ({ tool_name }) => ({ type: "text", text: tool_name }))
  }
  return Result.map(readTextOf(part, path), (text) => ({ type: "text", text }))
}

/** By role: how blocks are read. */
const blocks: Readonly<Record<"user" | "assistant", ReadonlyMap<string, DecodeBlock>>> = {
  user: new Map([
    ["text", addText],
    ["image", addImage],
    ["document", addDocument],
    ["tool_result", addResult]
  ]),
  assistant: new Map([
    ["text", addText],
    ["thinking", addThinking],
    // It is encrypted, so only the one who wrote it can read it.
    ["redacted_thinking", () => Result.succeed(undefined)],
    ["tool_use", addCall]
  ])
}
