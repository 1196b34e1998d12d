/**
 * The UI message stream of the npm package `ai`, which its `useChat` reads: server-sent events, version 1. Verified with `ai` 7.0
 * (`src/ui-message-stream/ui-message-chunks.ts` and `src/ui/process-ui-message-stream.ts` of the package).
 */
import type { ToolApproval, ToolFailed, ToolRunning, UiPart } from "./uiPart.ts"

export const header = { "x-vercel-ai-ui-message-stream": "v1" }

/** A new writer of one response. A part may need several events. A failure has no end after it, so no reader takes it for complete. */
export const makeWriter = (): ((part: UiPart) => string) => {
  const message: Message = { text: "", step: "none", open: undefined, count: 0, calls: new Map() }
  send(message, "start")
  return (part) => {
    add(message, part)
    const { text } = message
    message.text = ""
    return text
  }
}

/** What has been written of a message. */
interface Message {
  /** The events that have not been taken. */
  text: string
  /** Each round is a step. A step is over when something of the model follows an outcome of a tool. */
  step: "none" | "open" | "has-outcome"
  open: { readonly kind: "text" | "reasoning"; readonly id: string } | undefined
  /** How many texts there were. */
  count: number
  /** Whether each call of this message has its arguments. Other calls are of a message before, which this one goes on with. */
  readonly calls: Map<string, boolean>
}

const add = (message: Message, part: UiPart): void => {
  switch (part._tag) {
    case "Text":
      return addText(message, "text", part.text)
    case "Thinking":
      return addText(message, "reasoning", part.text)
    case "ToolCalled":
      close(message)
      beginStep(message)
      message.calls.set(part.id, false)
      return send(message, "tool-input-start", { toolCallId: part.id, toolName: part.name })
    case "ToolRunning":
      return addInput(message, part)
    case "ToolApproval":
      addInput(message, part)
      return send(message, "tool-approval-request", { approvalId: part.approvalId, toolCallId: part.id })
    case "ToolProgress":
      return send(message, "tool-output-available", { toolCallId: part.id, output: part.result, preliminary: true })
    case "ToolResult":
      return addOutcome(message, "tool-output-available", { toolCallId: part.id, output: part.result })
    case "ToolFailed":
      return addFailed(message, part)
    case "End": {
      const { _tag, finishReason, ...metadata } = part
      close(message)
      if (message.step !== "none") send(message, "finish-step")
      // A message that goes on has the metadata of its beginning, unless a field replaces it.
      send(message, "finish", { finishReason, messageMetadata: { stoppedBy: null, ...metadata } })
      message.text += "data: [DONE]\n\n"
      return
    }
    case "Failure":
      return send(message, "error", { errorText: part.message })
  }
}

const send = (message: Message, type: string, fields: object = {}): void => {
  message.text += `data: ${JSON.stringify({ type, ...fields })}\n\n`
}

const close = (message: Message): void => {
  if (message.open !== undefined) send(message, `${message.open.kind}-end`, { id: message.open.id })
  message.open = undefined
}

const beginStep = (message: Message): void => {
  if (message.step === "open") return
  if (message.step === "has-outcome") send(message, "finish-step")
  send(message, "start-step")
  message.step = "open"
}

const addText = (message: Message, kind: "text" | "reasoning", delta: string): void => {
  if (message.open?.kind !== kind) {
    close(message)
    beginStep(message)
    message.open = { kind, id: `${kind}-${message.count++}` }
    send(message, `${kind}-start`, { id: message.open.id })
  }
  send(message, `${kind}-delta`, { id: message.open.id, delta })
}

const addInput = (message: Message, { arguments: input, id, name }: ToolRunning | ToolApproval): void => {
  if (!message.calls.has(id)) return
  close(message)
  message.calls.set(id, true)
  send(message, "tool-input-available", { toolCallId: id, toolName: name, input })
}

const addOutcome = (message: Message, type: string, fields: object): void => {
  close(message)
  send(message, type, fields)
  if (message.step === "open") message.step = "has-outcome"
}

/** A call whose arguments were not sent fails with them. */
const addFailed = (message: Message, { arguments: input, failure, id, name }: ToolFailed): void => {
  const errorText = typeof failure === "string" ? failure : JSON.stringify(failure ?? null)
  const isNew = message.calls.get(id) === false
  const fields = isNew ? { toolName: name, input: input ?? null } : {}
  addOutcome(message, isNew ? "tool-input-error" : "tool-output-error", { toolCallId: id, ...fields, errorText })
}
