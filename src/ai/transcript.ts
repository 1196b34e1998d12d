/** A conversation with an agent: the parts and messages of one round, and the calls that a person has decided on since. */
import * as Prompt from "effect/ai/Prompt"
import * as Response from "effect/ai/Response"
import type { Usage } from "../StreamingChunk.ts"
import type { UiPart } from "../protocol/uiPart.ts"
import * as Json from "../values/json.ts"
import * as ToolCalls from "./toolCalls.ts"

/** What has arrived of a round. */
export interface Round {
  readonly calls: Array<ToolCalls.Call>
  /** The calls that the model began, complete or not, by their ids. */
  readonly begun: Map<string, string>
  readonly outcomes: Map<string, ToolCalls.Outcome>
  /** The parts that the history keeps. */
  readonly parts: Array<Response.AnyPart>
  end: { readonly reason: Response.FinishReason; readonly usage: Response.Usage } | undefined
  hasFailed: boolean
  model: string | undefined
}

export const make = (): Round => ({
  calls: [],
  begun: new Map(),
  outcomes: new Map(),
  parts: [],
  end: undefined,
  hasFailed: false,
  model: undefined
})

/** Adds a part of the completion, and returns the one that it is for a user interface, if it is one. */
export const read = (round: Round, part: Response.AnyPart): UiPart | undefined => {
  switch (part.type) {
    case "finish":
      round.end = part
      return undefined
    case "response-metadata":
      round.model = part.modelId ?? round.model
      return undefined
    case "error":
      round.hasFailed = true
      return undefined
    case "tool-call":
      return readCall(round, part)
    default:
      round.parts.push(part)
      return toUiPart(round, part)
  }
}

const readCall = (
  round: Round,
  part: Extract<Response.AnyPart, { readonly type: "tool-call" }>
): UiPart | undefined => {
  const { id, name, params, providerExecuted } = part
  const input = ToolCalls.toObject(params)
  // Servers accept an object only. What the model wrote in its place is wrong, and the result says so.
  round.parts.push({ ...part, params: Json.isObject(input) ? input : {} })
  if (!providerExecuted) round.calls.push({ id, name, arguments: input })
  return begin(round, id, name)
}

const toUiPart = (round: Round, part: Response.AnyPart): UiPart | undefined => {
  switch (part.type) {
    case "text-delta":
      return part.delta === "" ? undefined : { _tag: "Text", text: part.delta }
    case "reasoning-delta":
      return part.delta === "" ? undefined : { _tag: "Thinking", text: part.delta }
    case "tool-params-start":
      return begin(round, part.id, part.name)
    default:
      return undefined
  }
}

const begin = (round: Round, id: string, name: string): UiPart | undefined => {
  if (round.begun.has(id)) return undefined
  round.begun.set(id, name)
  return { _tag: "ToolCalled", id, name }
}

/** Adds a request for an approval. */
export const ask = (round: Round, { id }: ToolCalls.Call, approvalId: string): void => {
  round.parts.push(Response.makePart("tool-approval-request", { approvalId, toolCallId: id }))
}

/** Whether a call waits for an approval. */
export const isWaiting = ({ parts }: Round): boolean => parts.some(({ type }) => type === "tool-approval-request")

/** The calls of which a part has arrived, but not the whole. */
export const findCut = ({ begun, parts }: Round): ReadonlyArray<ToolCalls.Call> => {
  const whole = new Set(parts.flatMap((part) => (part.type === "tool-call" ? [part.id] : [])))
  return [...begun].flatMap(([id, name]) => (whole.has(id) ? [] : [{ id, name }]))
}

const unanswered: ToolCalls.Outcome = { result: "The turn ended before the result of this call.", isFailure: true }

/**
 * The messages of a round. Each call has a result, in the order of the calls: some servers know by the order alone which result belongs to
 * which call.
 */
export const toMessages = ({ calls, outcomes, parts }: Round): ReadonlyArray<Prompt.Message> => {
  const asked = new Set(parts.flatMap((part) => (part.type === "tool-approval-request" ? [part.toolCallId] : [])))
  const settled = calls.filter(({ id }) => !asked.has(id))
  return [...Prompt.fromResponseParts(parts).content, ...toToolMessage(settled, outcomes)]
}

/** The message with the results of calls, if there are any. */
export const toToolMessage = (
  calls: ReadonlyArray<ToolCalls.Call>,
  outcomes: ReadonlyMap<string, ToolCalls.Outcome>
): ReadonlyArray<Prompt.Message> => {
  if (calls.length === 0) return []
  const content = calls.map(({ id, name }) => {
    const { isFailure, modelOutput, result } = outcomes.get(id) ?? unanswered
    return Prompt.toolResultPart({
      id,
      name,
      result,
      isFailure,
      providerExecuted: false,
      ...(modelOutput && { modelOutput })
    })
  })
  return [Prompt.makeMessage("tool", { content })]
}

/** The tokens of all rounds. A number that one of them did not report is absent. */
export const addUsage = (rounds: ReadonlyArray<Round>): Usage | undefined => {
  const sum = (count: (usage: Response.Usage) => number | undefined): number | undefined =>
    rounds.reduce<number | undefined>((total, { end }) => {
      const next = end === undefined ? undefined : count(end.usage)
      return total === undefined || next === undefined ? undefined : total + next
    }, 0)
  const usage = {
    promptTokens: sum(({ inputTokens }) => inputTokens.total),
    completionTokens: sum(({ outputTokens }) => outputTokens.total),
    totalTokens: sum(({ inputTokens, outputTokens }) =>
      inputTokens.total === undefined || outputTokens.total === undefined
        ? undefined
        : inputTokens.total + outputTokens.total
    ),
    cachedTokens: sum(({ inputTokens }) => inputTokens.cacheRead),
    reasoningTokens: sum(({ outputTokens }) => outputTokens.reasoning)
  }
  const reported = Object.entries(usage).filter(([, count]) => count !== undefined)
  return reported.length === 0 ? undefined : Object.fromEntries(reported)
}

/** A call that waited for an approval, with what the model reads if it was not approved. */
export interface Decision {
  readonly call: ToolCalls.Call
  readonly refusal: string | undefined
}

/** The calls that waited for an approval and have no result. Of several decisions on one call, the first counts. */
export const findDecisions = (messages: ReadonlyArray<Prompt.Message>): ReadonlyArray<Decision> => {
  const calls = new Map<string, ToolCalls.Call>()
  const requests = new Map<string, string>()
  const decisions = new Map<string, Prompt.ToolApprovalResponsePart>()
  const ended = new Set<string>()
  for (const { content, role } of messages) {
    if (role !== "assistant" && role !== "tool") continue
    for (const part of content) {
      if (part.type === "tool-call") calls.set(part.id, toCall(part))
      else if (part.type === "tool-approval-request") requests.set(part.approvalId, part.toolCallId)
      else if (part.type === "tool-result") ended.add(part.id)
      else if (part.type === "tool-approval-response" && !decisions.has(part.approvalId)) {
        decisions.set(part.approvalId, part)
      }
    }
  }
  return [...requests].flatMap(([approvalId, id]) => {
    const call = calls.get(id)
    return call === undefined || ended.has(id) ? [] : [{ call, refusal: toRefusal(decisions.get(approvalId)) }]
  })
}

/** Where the results of these calls belong: after the last message of the model, with the results of its other calls and the decisions. */
export const findPlace = (messages: ReadonlyArray<Prompt.Message>): number => {
  const last = messages.findLastIndex(({ role }) => role === "assistant")
  const next = messages.findIndex(({ role }, i) => i > last && role !== "tool")
  return next === -1 ? messages.length : next
}

const toRefusal = (decision: Prompt.ToolApprovalResponsePart | undefined): string | undefined => {
  if (decision === undefined) return "The call was not approved."
  if (decision.approved) return undefined
  return decision.reason === undefined ? "The call was denied." : `The call was denied: ${decision.reason}`
}

const toCall = ({ id, name, params }: Prompt.ToolCallPart): ToolCalls.Call => ({ id, name, arguments: params })
