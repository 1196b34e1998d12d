/** The parts of an answer for a user interface. `UiPart` exports them. */
import * as Schema from "effect/Schema"
import { FinishReason, Usage } from "../StreamingChunk.ts"

/**
 * The next part of the text.
 *
 * @category models
 */
export const Text = Schema.TaggedStruct("Text", {
  /** Never `""`. */
  text: Schema.String
})
export interface Text extends Schema.Schema.Type<typeof Text> {}

/**
 * The next part of the model's thinking.
 *
 * @category models
 */
export const Thinking = Schema.TaggedStruct("Thinking", {
  /** Never `""`. */
  text: Schema.String
})
export interface Thinking extends Schema.Schema.Type<typeof Thinking> {}

/** What all parts of a call have. */
const call = {
  /** Identifies the call. */
  id: Schema.String,
  /** The name of the tool. The model may invent one. */
  name: Schema.String
} as const

/**
 * The model calls a tool. Its arguments may still be arriving. Exactly one of `ToolResult`, `ToolFailed` and
 * `ToolApproval` follows for each call of an agent, unless the answer fails before.
 *
 * @category models
 */
export const ToolCalled = Schema.TaggedStruct("ToolCalled", call)
export interface ToolCalled extends Schema.Schema.Type<typeof ToolCalled> {}

/**
 * The arguments of a call are complete and valid, and the tool runs. Of a plain completion: its arguments are complete,
 * and the program that requested it decides what runs.
 *
 * @category models
 */
export const ToolRunning = Schema.TaggedStruct("ToolRunning", {
  ...call,
  /** The arguments, as the model wrote them: a JSON value. */
  arguments: Schema.Unknown
})
export interface ToolRunning extends Schema.Schema.Type<typeof ToolRunning> {}

/**
 * A tool that still runs reports a preliminary result. The latest one replaces those before.
 *
 * @category models
 */
export const ToolProgress = Schema.TaggedStruct("ToolProgress", {
  ...call,
  /** A JSON value, as the schema of the tool encodes it. */
  result: Schema.Unknown
})
export interface ToolProgress extends Schema.Schema.Type<typeof ToolProgress> {}

/**
 * A tool has succeeded.
 *
 * @category models
 */
export const ToolResult = Schema.TaggedStruct("ToolResult", {
  ...call,
  /** A JSON value, as the schema of the tool encodes it. */
  result: Schema.Unknown
})
export interface ToolResult extends Schema.Schema.Type<typeof ToolResult> {}

/**
 * A call has failed, and the model reads why: the tool failed, does not exist, or its arguments are invalid; the call was
 * denied; or it did not run because the answer was cut.
 *
 * @category models
 */
export const ToolFailed = Schema.TaggedStruct("ToolFailed", {
  ...call,
  /** The arguments, as the model wrote them; absent if they are not complete. */
  arguments: Schema.optional(Schema.Unknown),
  /** What the model reads: a text, or a JSON value as the failure schema of the tool encodes it. */
  failure: Schema.Unknown
})
export interface ToolFailed extends Schema.Schema.Type<typeof ToolFailed> {}

/**
 * A call waits for the approval of a person. The answer ends, and the next turn brings the decision.
 *
 * @category models
 */
export const ToolApproval = Schema.TaggedStruct("ToolApproval", {
  ...call,
  /** The arguments that need approval: a JSON value. */
  arguments: Schema.Unknown,
  /** Identifies the request. The part `tool-approval-response` of a prompt of `effect/ai` has it. */
  approvalId: Schema.String
})
export interface ToolApproval extends Schema.Schema.Type<typeof ToolApproval> {}

/**
 * The answer is complete. No part follows.
 *
 * @category models
 */
export const End = Schema.TaggedStruct("End", {
  /** Why the model stopped. `length`: the text is truncated. */
  finishReason: FinishReason,
  /** The tokens that the server counted, of all rounds together; absent if it reported none. */
  usage: Schema.optional(Usage),
  /** The model that wrote the last round, if the server reported it. */
  model: Schema.optional(Schema.String),
  /** How many completions it took. */
  rounds: Schema.Finite,
  /**
   * What ended the rounds of an agent, if it was not the model: a limit of the agent, `stopWhen`, or a call that waits
   * for approval.
   */
  stoppedBy: Schema.optional(Schema.Literals(["maxRounds", "maxRepeats", "stopWhen", "approval"]))
})
export interface End extends Schema.Schema.Type<typeof End> {}

/**
 * The answer has failed. No part follows, and the text before is not complete. It has no text of a server, no prompt
 * and no address.
 *
 * @category models
 */
export const Failure = Schema.TaggedStruct("Failure", {
  /** The tag of the reason, such as `StreamTruncated`, or of the error. */
  reason: Schema.String,
  /** What a person may read. */
  message: Schema.String,
  /** Whether the same request may succeed later. */
  isRetryable: Schema.Boolean,
  /** In how many milliseconds to try again, if the server reports it. */
  retryAfterMillis: Schema.optional(Schema.Finite)
})
export interface Failure extends Schema.Schema.Type<typeof Failure> {}

/**
 * One part of an answer. The last one, and no other, is an `End` or a `Failure`: without one, the answer was cut on its
 * way.
 *
 * @category models
 */
export const UiPart = Schema.Union([
  Text,
  Thinking,
  ToolCalled,
  ToolRunning,
  ToolProgress,
  ToolResult,
  ToolFailed,
  ToolApproval,
  End,
  Failure
])
export type UiPart =
  | Text
  | Thinking
  | ToolCalled
  | ToolRunning
  | ToolProgress
  | ToolResult
  | ToolFailed
  | ToolApproval
  | End
  | Failure

/**
 * The codec between a part and its JSON text, for a page or another process.
 *
 * @category models
 */
export const FromJsonString = Schema.fromJsonString(UiPart)
