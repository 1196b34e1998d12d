/** npm: the `Chat` of `ai`, which is behind `useChat` of every framework, against routes with `StreamResponse.parts`. */
import {
  AbstractChat,
  DefaultChatTransport,
  lastAssistantMessageIsCompleteWithApprovalResponses,
  readUIMessageStream
} from "ai"
import type { ChatInit, ChatState, ChatStatus, UIMessage } from "ai"
import type { Target } from "./run.ts"
import { closed, facts, run } from "./run.ts"

/** As the state of a framework, without one. */
class State implements ChatState<UIMessage> {
  status: ChatStatus = "ready"
  error: Error | undefined = undefined
  messages: Array<UIMessage> = []
  pushMessage = (message: UIMessage) => void this.messages.push(message)
  popMessage = () => void this.messages.pop()
  replaceMessage = (index: number, message: UIMessage) => void (this.messages[index] = message)
  snapshot = <T>(thing: T): T => structuredClone(thing)
}

class Chat extends AbstractChat<UIMessage> {
  constructor(init: ChatInit<UIMessage>) {
    super({ ...init, state: new State() })
  }
}

/** What a page would show. */
const view = ({ error, messages, status }: Chat) => ({
  status,
  ...(error === undefined ? {} : { error: { name: error.name, message: error.message } }),
  parts: messages.at(-1)?.role === "assistant" ? messages.at(-1)?.parts : [],
  metadata: messages.at(-1)?.metadata
})

const cases = (target: Target) => {
  const open = (path: string, init: ChatInit<UIMessage> = {}) =>
    new Chat({ ...init, transport: new DefaultChatTransport({ api: `${target.url}/${path}` }) })
  const ask = async (path: string) => {
    let finished: object | undefined
    const chat = open(path, {
      onFinish: ({ finishReason, isAbort, isDisconnect, isError }) => {
        finished = { finishReason, isAbort, isDisconnect, isError }
      }
    })
    await chat.sendMessage({ text: facts.question })
    return { ...view(chat), finished }
  }
  return {
    text: () => ask("echo"),
    thinking: () => ask("thinker"),
    tool: () => ask("caller"),
    invented: () => ask("inventor"),
    length: () => ask("long"),
    missing: () => ask("missing"),
    breaks: () => ask("breaks"),
    dies: () => ask("dies"),
    ends: () => ask("ends"),
    /** The server with the route is lost. */
    lost: () => ask("lost"),
    plain: () => ask("plain/thinker"),
    plainMissing: () => ask("plain/missing"),
    plainBreaks: () => ask("plain/breaks"),
    approved: async () => {
      const chat = open("guarded", { sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses })
      await chat.sendMessage({ text: facts.question })
      const first = view(chat)
      const part = chat.lastMessage?.parts.find((part) => "approval" in part && part.approval !== undefined)
      const id = part !== undefined && "approval" in part ? (part.approval?.id ?? "") : ""
      await chat.addToolApprovalResponse({ id, approved: true })
      while (chat.status !== "ready" && chat.status !== "error") await new Promise((resolve) => setTimeout(resolve, 5))
      return { first, second: view(chat), messages: chat.messages.length }
    },
    cancel: async () => {
      const chat = open("endless")
      const sent = chat.sendMessage({ text: facts.question })
      while (view(chat).parts?.some((part) => part.type === "text") !== true) {
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      await chat.stop()
      await sent
      return { ...(await closed(target, "endless")), status: chat.status }
    },
    /** The stream of chunks itself, validated by the schema of the package. */
    chunks: async () => {
      const transport = new DefaultChatTransport({ api: `${target.url}/caller` })
      const messages: Array<UIMessage> = [{ id: "1", role: "user", parts: [{ type: "text", text: facts.question }] }]
      const stream = await transport.sendMessages({
        chatId: "chunks",
        messages,
        trigger: "submit-message",
        messageId: undefined,
        abortSignal: undefined
      })
      const [a, b] = stream.tee()
      const types: Array<string> = []
      for await (const { type } of a) types.push(type)
      let last: UIMessage | undefined
      for await (const message of readUIMessageStream({ stream: b, terminateOnError: true })) last = message
      return { types, text: last?.parts.findLast((part) => part.type === "text")?.text }
    }
  }
}

await run({ useChat: cases })
