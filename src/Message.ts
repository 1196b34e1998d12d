/**
 * The messages of a conversation with their images, and the tools that a model may call. `CompletionRequest` exports them too.
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
 * An image: its bytes, or its base64 text (with or without the `data:` prefix, also as a `URL`), not the address of one. Servers
 * accept PNG and JPEG, Ollama also WebP.
 *
 * @category models
 * @since 0.1.0
 */
export const Image = Schema.Union([ImageText, Schema.Uint8Array, ImageUrl])

/**
 * @category models
 * @since 0.1.0
 */
export type Image = typeof Image.Type

/**
 * A part of a message: a text, or an image at its place among the texts.
 *
 * @category models
 * @since 0.3.0
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

/**
 * @category models
 * @since 0.3.0
 */
export type ContentPart = typeof ContentPart.Type

/**
 * One message of a conversation.
 *
 * **Details**
 *
 * A message with the role `tool` is the result of a tool call. It needs `toolCallId` or `toolName`, and an earlier message of
 * the assistant with that call in `toolCalls`.
 *
 * @category models
 * @since 0.1.0
 */
export const Message = Schema.Struct({
  /** Who wrote it: `system` for instructions, `assistant` for an earlier answer, `tool` for the result of a tool call. */
  role: Schema.Literals(["system", "user", "assistant", "tool"]),
  /** The text, or texts and images in their order. Ollama puts all images before the text. */
  content: Schema.Union([Schema.String, Schema.Array(ContentPart)]),
  /** Images that belong to the text, for models that support them. Servers read them after the text, Ollama before it. */
  images: Schema.optional(Schema.Array(Image)),
  /**
   * The assistant's thinking in an earlier answer. Ollama, llama.cpp's server and `OpenAiCompatible` send it back, which models
   * need that think between their tool calls. LM Studio has no field for it, so there it is left out.
   */
  thinking: Schema.optional(Schema.String),
  /** The tool calls of the assistant in an earlier answer. */
  toolCalls: Schema.optional(Schema.Array(ToolCall)),
  /** With the role `tool`: the call whose result this is. */
  toolCallId: Schema.optional(Schema.String),
  /**
   * With the role `tool`: the tool whose result this is. Without `toolCallId`, it answers the next call of that tool in the
   * latest message that has one.
   */
  toolName: Schema.optional(Schema.String),
  /**
   * With the role `tool`: the tool failed, and `content` says why. It is sent with `Error: ` before it, since servers have no
   * field for a failure. Default: `false`.
   */
  isError: Schema.optional(Schema.Boolean)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface Message extends Schema.Schema.Type<typeof Message> {}

/**
 * A function that the model may request to call.
 *
 * @category models
 * @since 0.1.0
 */
export const Tool = Schema.Struct({
  /** The name by which the model calls it. */
  name: Schema.NonEmptyString,
  /** What it does and when to call it, for the model to read. */
  description: Schema.optional(Schema.String),
  /** Its parameters: a `Schema` or a JSON Schema object. Default: none. */
  parameters: Schema.optional(SchemaOrJsonSchema)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface Tool extends Schema.Schema.Type<typeof Tool> {}

/**
 * Whether the model calls tools: as it decides, never, at least one, or the one with this name.
 *
 * **Details**
 *
 * What a server lacks fails with `Unsupported`. Ollama accepts `"auto"` and `"none"` only. LM Studio and `llama-server` do not
 * accept a name.
 *
 * @category models
 * @since 0.2.0
 */
export const ToolChoice = Schema.Union([
  Schema.Literals(["auto", "none", "required"]),
  Schema.Struct({
    /** The name of one of the tools of the request. */
    name: Schema.NonEmptyString
  })
])

/**
 * @category models
 * @since 0.2.0
 */
export type ToolChoice = typeof ToolChoice.Type
