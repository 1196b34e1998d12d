/**
 * The messages of a conversation with their images, and the tools that a model may call. `CompletionRequest` exports
 * them too.
 *
 * @category Core
 * @since 0.3.0
 */
import * as Schema from "effect/Schema"
import { ToolCall } from "./StreamingChunk.ts"
import { SchemaOrJsonSchema } from "./values/objects.ts"

/** An address of another kind would be sent as if it was base64. */
const findImageFault = (text: string): string | undefined =>
  /^(?!data:)[a-z][a-z0-9+.-]{0,20}:|^data:(?![^,]{0,200};base64,)/i.test(text)
    ? "Expected bytes or base64 text; servers do not load images"
    : undefined

const ImageText = Schema.NonEmptyString.check(Schema.makeFilter(findImageFault))

const ImageUrl = Schema.URL.check(Schema.makeFilter(({ href }) => findImageFault(href)))

/**
 * An image: its bytes, or its base64 text (with or without the `data:` prefix, also as a `URL`), not the address of
 * one. Servers accept PNG and JPEG, Ollama also WebP.
 *
 * @category models
 * @since 0.1.0
 */
export const Image = Schema.Union([ImageText, Schema.Uint8Array, ImageUrl])
export type Image = typeof Image.Type

/**
 * A part of a message: a text, or an image at its place among the texts.
 *
 * @category models
 */
export const ContentPart = Schema.Union([
  Schema.Struct({
    /** A text. */
    type: Schema.Literal("text"),
    /** The text itself. */
    text: Schema.String
  }),
  Schema.Struct({
    /** An image. */
    type: Schema.Literal("image"),
    /** Its bytes or its base64 text. */
    image: Image
  })
])
export type ContentPart = typeof ContentPart.Type

/**
 * One message of a conversation. The result of a tool call has the role `tool`, `toolCallId` or `toolName`, and an
 * earlier message of the assistant with that call in `toolCalls`.
 *
 * @category models
 * @since 0.1.0
 */
export class Message extends Schema.Opaque<Message>()(
  Schema.Struct({
    /** The author: `system` for instructions, `assistant` for an earlier completion, `tool` for the result of a call. */
    role: Schema.Literals(["system", "user", "assistant", "tool"]),
    /** The text, or texts and images in their order. Ollama puts all images before the text. */
    content: Schema.Union([Schema.String, Schema.Array(ContentPart)]),
    /** Images that belong to the text. Servers read them after the text, Ollama before it. */
    images: Schema.optional(Schema.Array(Image)),
    /** The assistant's thinking, which some models need between their tool calls. Not sent to LM Studio. */
    thinking: Schema.optional(Schema.String),
    /** The tool calls of the assistant. */
    toolCalls: Schema.optional(Schema.Array(ToolCall)),
    /** With the role `tool`: the call whose result this is. */
    toolCallId: Schema.optional(Schema.String),
    /**
     * With the role `tool`: the tool whose result this is. Without `toolCallId`, the call is the next one of that tool in
     * the latest message that has one.
     */
    toolName: Schema.optional(Schema.String),
    /** With the role `tool`: the tool failed, and `content` says why, which is sent after `Error: `. Default: `false`. */
    isError: Schema.optional(Schema.Boolean)
  })
) {}
/**
 * A function that the model may request to call.
 *
 * @category models
 * @since 0.1.0
 */
export class Tool extends Schema.Opaque<Tool>()(
  Schema.Struct({
    /** The name by which the model calls it. */
    name: Schema.NonEmptyString,
    /** What it does and when to call it, for the model to read. */
    description: Schema.optional(Schema.String),
    /** Its parameters: a `Schema` or a JSON Schema object. Default: none. */
    parameters: Schema.optional(SchemaOrJsonSchema)
  })
) {}
