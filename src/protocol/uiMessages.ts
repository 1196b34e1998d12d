/**
 * The UI message stream of the npm package `ai`, which its `useChat` reads: server-sent events, version 1. Verified with `ai` 7.0
 * (`src/ui-message-stream/ui-message-chunks.ts` and `src/ui/process-ui-message-stream.ts` of the package).
 */
import type { ToolFailed, UiPart } from "./uiPart.ts"

export const header = { "x-vercel-ai-ui-message-stream": "v1" }

type Event = { readonly type: string; readonly [field: string]: unknown }

const write = (event: Event): string => `data: ${JSON.stringify(event)}\n\n`

/** The event of a failure. No end follows it, so no reader takes the message for complete. */
export const failure = (message: string): string => write({ type: "error", errorText: message })

/** A new writer of one response. A part may need several events. */
export const makeWriter = (): ((part: UiPart) => string) => {
  let text = ""
  let hasBegun = false
  /** Each round is a step. A step is over when something of the model follows an outcome of a tool. */
  let step: "none" | "open" | "has-outcome" = "none"
  let open: { readonly kind: "text" | "reasoning"; readonly id: string } | undefined
  let count = 0
  /** The calls of this message. The others are of a message before, which this one goes on with. */
  const called = new Map<string, "called" | "has-input">()

  const send = (type: string, fields: object = {}): void => {
    text += write({ type, ...fields })
  }
  const close = (): void => {
    if (open !== undefined) send(`${open.kind}-end`, { id: open.id })
    open = undefined
  }
  const beginStep = (): void => {
    if (step === "open") return
    if (step === "has-outcome") send("finish-step")
    send("start-step")
    step = "open"
  }
  const writeText = (kind: "text" | "reasoning", delta: string): void => {
    if (open?.kind !== kind) {
      close()
      beginStep()
      open = { kind, id: `${kind}-${count++}` }
      send(`${kind}-start`, { id: open.id })
    }
    send(`${kind}-delta`, { id: open.id, delta })
  }
  const writeOutcome = (type: string, toolCallId: string, fields: object): void => {
    close()
    send(type, { toolCallId, ...fields })
    if (step === "open") step = "has-outcome"
  }
  const writeFailure = ({ arguments: input, failure, id, name }: ToolFailed): void => {
    const errorText = toErrorText(failure)
    if (called.get(id) === "called")
      writeOutcome("tool-input-error", id, { toolName: name, input: input ?? null, errorText })
    else writeOutcome("tool-output-error", id, { errorText })
  }
  const writeInput = (toolCallId: string, toolName: string, input: unknown): void => {
    close()
    if (!called.has(toolCallId)) return
    called.set(toolCallId, "has-input")
    send("tool-input-available", { toolCallId, toolName, input })
  }

  const add = (part: UiPart): void => {
    switch (part._tag) {
      case "Text":
        return writeText("text", part.text)
      case "Thinking":
        return writeText("reasoning", part.text)
      case "ToolCalled":
        close()
        beginStep()
        called.set(part.id, "called")
        return send("tool-input-start", { toolCallId: part.id, toolName: part.name })
      case "ToolRunning":
        return writeInput(part.id, part.name, part.arguments)
      case "ToolApproval":
        writeInput(part.id, part.name, part.arguments)
        return send("tool-approval-request", { approvalId: part.approvalId, toolCallId: part.id })
      case "ToolProgress":
        return send("tool-output-available", { toolCallId: part.id, output: part.result, preliminary: true })
      case "ToolResult":
        return writeOutcome("tool-output-available", part.id, { output: part.result })
      case "ToolFailed":
        return writeFailure(part)
      case "End": {
        close()
        if (step !== "none") send("finish-step")
        const { _tag, finishReason, ...metadata } = part
        // A message that goes on has the metadata of its beginning, unless a field replaces it.
        send("finish", { finishReason, messageMetadata: { stoppedBy: null, ...metadata } })
        text += "data: [DONE]\n\n"
        return
      }
      case "Failure":
        text += failure(part.message)
    }
  }

  return (part) => {
    text = ""
    if (!hasBegun) send("start")
    hasBegun = true
    add(part)
    return text
  }
}

const toErrorText = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value ?? null))
