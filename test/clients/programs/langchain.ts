/** npm: `@langchain/ollama` and `@langchain/openai`. */
import type { BaseChatModel } from "@langchain/core/language_models/chat_models"
import type { AIMessageChunk, UsageMetadata } from "@langchain/core/messages"
import { HumanMessage, ToolMessage } from "@langchain/core/messages"
import { ChatOllama, OllamaEmbeddings } from "@langchain/ollama"
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai"
import type { Target } from "./run.ts"
import { closed, facts, failureOf, many, read, run, toFinish } from "./run.ts"

interface Provider {
  readonly model: (name: string) => BaseChatModel
  readonly thinker: BaseChatModel
  readonly embeddings: { readonly embedDocuments: (texts: Array<string>) => Promise<Array<Array<number>>> }
}

const tools = [{ type: "function", function: facts.tool }]

const finishOf = ({ response_metadata }: AIMessageChunk): string | undefined => {
  const { done_reason, finish_reason } = response_metadata as {
    readonly done_reason?: string
    readonly finish_reason?: string
  }
  return done_reason ?? finish_reason
}

const tokensOf = (usage: UsageMetadata | undefined) => [usage?.input_tokens, usage?.output_tokens]

const callsOf = ({ tool_calls = [] }: AIMessageChunk) => tool_calls.map(({ args, name }) => ({ name, arguments: args }))

const cases = (target: Target, { embeddings, model, thinker }: Provider) => {
  const whole = (name: string, content = facts.question) => model(name).invoke(content)
  const stream = (name: string) =>
    read(async function* () {
      for await (const chunk of await model(name).stream(facts.question)) {
        yield { text: chunk.text, finish: finishOf(chunk) }
      }
    })
  return {
    whole: async () => {
      const message = await whole("echo")
      return { text: message.text, finish: toFinish(finishOf(message)), tokens: tokensOf(message.usage_metadata) }
    },
    streamed: () => stream("echo"),
    length: () => stream("long"),
    tools: async () => {
      const caller = model("caller").bindTools?.(tools)
      if (caller === undefined) return { calls: [] }
      const question = new HumanMessage(facts.question)
      const first = await caller.invoke([question])
      const result = new ToolMessage({ content: facts.toolResult, tool_call_id: first.tool_calls?.[0]?.id ?? "" })
      return { calls: callsOf(first), text: (await caller.invoke([question, first, result])).text }
    },
    toolsStreamed: async () => {
      let all: AIMessageChunk | undefined
      for await (const chunk of (await model("caller").bindTools?.(tools)?.stream(facts.question)) ?? []) {
        all = all === undefined ? chunk : all.concat(chunk)
      }
      return { calls: all === undefined ? [] : callsOf(all) }
    },
    thinking: async () => {
      const { additional_kwargs, text } = await thinker.invoke(facts.question)
      return { thinking: additional_kwargs["reasoning_content"], text }
    },
    schema: async () => ({
      value: await model("poet")
        .withStructuredOutput(facts.schema, { method: "jsonSchema", name: "answer" })
        .invoke(facts.question)
    }),
    embeddings: async () => ({ vectors: await embeddings.embedDocuments(facts.texts) }),
    image: async () => {
      const url = `data:image/png;base64,${facts.image}`
      const content = [
        { type: "text", text: facts.question },
        { type: "image_url", image_url: { url } }
      ]
      return { text: (await model("seer").invoke([new HumanMessage({ content })])).text }
    },
    missing: async () => ({
      whole: await failureOf(() => whole("missing")),
      streamed: await stream("missing")
    }),
    breaks: () => stream("breaks"),
    dies: () => stream("dies"),
    ends: () => stream("ends"),
    breaksWhole: () => failureOf(() => whole("breaks")),
    cancel: async () => {
      const abort = new AbortController()
      const failure = await failureOf(async () => {
        for await (const _ of await model("endless").stream(facts.question, { signal: abort.signal })) abort.abort()
      })
      return { ...failure, ...(await closed(target, "endless")) }
    },
    many: () => many(async (question) => (await whole("echo", question)).text)
  }
}

await run({
  "@langchain/ollama": (target) => {
    const common = { baseUrl: target.url, maxRetries: 0 }
    return cases(target, {
      model: (model) => new ChatOllama({ ...common, model }) as never,
      thinker: new ChatOllama({ ...common, model: "thinker", think: true }) as never,
      embeddings: new OllamaEmbeddings({ ...common, model: "counter" })
    })
  },
  "@langchain/openai": (target) => {
    const common = { apiKey: "none", maxRetries: 0, configuration: { baseURL: `${target.url}/v1` } }
    return cases(target, {
      model: (model) => new ChatOpenAI({ ...common, model }) as never,
      thinker: new ChatOpenAI({ ...common, model: "thinker" }) as never,
      embeddings: new OpenAIEmbeddings({ ...common, model: "counter" })
    })
  }
})
