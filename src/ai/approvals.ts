/** The calls of a conversation that a person has decided on since. */
import type * as Prompt from "effect/ai/Prompt"
import type * as ToolCalls from "./toolCalls.ts"

/** A call that waited for an approval, with what the model reads if it was not approved. */
export interface Decision {
  readonly call: ToolCalls.Call
  readonly refusal: string | undefined
}

/** The calls that waited for an approval and have no result. Of several decisions on one call, the first counts. */
export const find = (messages: ReadonlyArray<Prompt.Message>): ReadonlyArray<Decision> => {
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
