/**
 * What `useChat` of the npm package `ai` sends to a server. `StreamResponse.parts` sends the answer. It has its own
 * import: `effect-local-llm/UiMessages`.
 *
 * @category Adapters
 * @since 0.3.0
 */
import * as Prompt from "effect/ai/Prompt"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"

/** A text or a file that cannot be read is no part of another type: it would be left out of the question. */
const OtherType = Schema.String.check(Schema.makeFilter((type) => type !== "text" && type !== "file"))

/** Parts and fields that are not read here are allowed. */
const Message = Schema.Struct({
  role: Schema.String,
  parts: Schema.Array(
    Schema.Union([
      Schema.Struct({ type: Schema.Literal("text"), text: Schema.String }),
      Schema.Struct({ type: Schema.Literal("file"), mediaType: Schema.String, url: Schema.URLFromString }),
      Schema.Struct({
        type: OtherType,
        approval: Schema.optional(
          Schema.Struct({
            id: Schema.String,
            approved: Schema.optional(Schema.Boolean),
            reason: Schema.optional(Schema.String)
          })
        )
      })
    ])
  )
})

type Part = (typeof Message.Type)["parts"][number]

const toPrompt = ({ parts, role }: typeof Message.Type): Prompt.Prompt => {
  const content = role === "user" ? parts.flatMap(toUserPart) : []
  const decisions = role === "assistant" ? parts.flatMap(toDecision) : []
  return Prompt.fromMessages([
    ...(content.length === 0 ? [] : [Prompt.makeMessage("user", { content })]),
    ...(decisions.length === 0 ? [] : [Prompt.makeMessage("tool", { content: decisions })])
  ])
}

const toUserPart = (part: Part): ReadonlyArray<Prompt.UserMessagePart> => {
  if ("text" in part) return [Prompt.textPart({ text: part.text })]
  return "url" in part ? [Prompt.filePart({ mediaType: part.mediaType, data: part.url })] : []
}

const toDecision = (part: Part): ReadonlyArray<Prompt.ToolApprovalResponsePart> => {
  if (!("approval" in part) || part.approval?.approved === undefined) return []
  const { approved, id, reason } = part.approval
  return [Prompt.toolApprovalResponsePart({ approvalId: id, approved, reason })]
}

const lastMessage = Schema.decodeUnknownEffect(Message)

/**
 * The body of a request: which conversation, and what is new in it. The page sends the whole conversation each time, and
 * only its last message is read. The server keeps the history, for example in a `Chat` for each `id`, so no page can
 * invent answers, results of tools or calls that were approved.
 *
 * **Details**
 *
 * `prompt` has the texts and files of the user, or the decisions on calls that wait for approval. `Agent.stream` takes
 * it with the `chat`. Any other body fails to decode.
 *
 * **Example** (a route)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { HttpServerRequest } from "effect/http"
 * import * as UiMessages from "effect-local-llm/UiMessages"
 *
 * export const read = Effect.map(HttpServerRequest.schemaBodyJson(UiMessages.Turn), ({ id, prompt }) => [id, prompt])
 * ```
 *
 * @category models
 */
export const Turn = Schema.Struct({
  /** The id of the conversation, which the page chooses: text from outside. */
  id: Schema.String,
  /** All messages of the page. Only the last one is read. */
  messages: Schema.NonEmptyArray(Schema.Unknown)
}).pipe(
  Schema.decodeTo(
    Schema.Struct({
      /** The id of the conversation, which the page chooses: text from outside. */
      id: Schema.String,
      /** What is new. Empty if the last message has nothing to answer. */
      prompt: Schema.toType(Prompt.Prompt)
    }),
    {
      decode: SchemaGetter.transformEffect(({ id, messages }) =>
        Effect.mapBoth(lastMessage(messages.at(-1)), {
          onSuccess: (message) => ({ id, prompt: toPrompt(message) }),
          onFailure: ({ issue }) => issue
        })
      ),
      encode: SchemaGetter.forbiddenEncoding
    }
  )
)
export interface Turn extends Schema.Schema.Type<typeof Turn> {}
