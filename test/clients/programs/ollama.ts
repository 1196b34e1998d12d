/** npm: `ollama`. */
import { Ollama } from "ollama"
import type { ChatRequest, ChatResponse, Message } from "ollama"
import { closed, facts, failureOf, many, read, run } from "./run.ts"

const tool = { type: "function", function: facts.tool }

const toPart = (response: ChatResponse) => ({
  text: response.message.content,
  ...(response.done ? { finish: response.done_reason } : {})
})

await run({
  ollama: (target) => {
    const client = new Ollama({ host: target.url })
    const messages = [{ role: "user", content: facts.question }]
    const whole = (request: ChatRequest) => client.chat({ messages, ...request, stream: false })
    const stream = (request: ChatRequest) =>
      read(async function* () {
        for await (const response of await client.chat({ messages, ...request, stream: true })) yield toPart(response)
      })
    return {
      list: async () => ({ models: (await client.list()).models.map(({ name }) => name) }),
      show: async () => {
        const { capabilities, model_info } = await client.show({ model: "echo" })
        return {
          capabilities,
          contextLength: Object.entries(model_info).find(([key]) => key.endsWith("context_length"))?.[1]
        }
      },
      whole: async () => {
        const { done_reason, eval_count, message, prompt_eval_count } = await whole({ model: "echo" })
        return { text: message.content, finish: done_reason, tokens: [prompt_eval_count, eval_count] }
      },
      streamed: () => stream({ model: "echo" }),
      length: () => stream({ model: "long" }),
      prompt: async () => {
        const { response } = await client.generate({ model: "echo", prompt: facts.question })
        return { text: response }
      },
      tools: async () => {
        const first = await whole({ model: "caller", tools: [tool] as never })
        const calls = (first.message.tool_calls ?? []).map(({ function: call }) => call)
        const result: Message = { role: "tool", content: facts.toolResult, tool_name: calls[0]?.name ?? "" }
        const second = await whole({
          model: "caller",
          tools: [tool] as never,
          messages: [...messages, first.message, result]
        })
        return { calls, text: second.message.content }
      },
      toolsStreamed: async () => {
        const calls = []
        for await (const { message } of await client.chat({
          model: "caller",
          messages,
          tools: [tool] as never,
          stream: true
        })) {
          calls.push(...(message.tool_calls ?? []).map(({ function: call }) => call))
        }
        return { calls }
      },
      thinking: async () => {
        const { message } = await whole({ model: "thinker", think: true })
        return { thinking: message.thinking, text: message.content }
      },
      schema: async () => ({
        value: JSON.parse((await whole({ model: "poet", format: facts.schema })).message.content)
      }),
      embeddings: async () => ({ vectors: (await client.embed({ model: "counter", input: facts.texts })).embeddings }),
      image: async () => {
        const { message } = await whole({
          model: "seer",
          messages: [{ role: "user", content: facts.question, images: [facts.image] }]
        })
        return { text: message.content }
      },
      missing: async () => ({
        whole: await failureOf(() => whole({ model: "missing" })),
        streamed: await stream({ model: "missing" })
      }),
      breaks: () => stream({ model: "breaks" }),
      dies: () => stream({ model: "dies" }),
      ends: () => stream({ model: "ends" }),
      breaksWhole: () => failureOf(() => whole({ model: "breaks" })),
      cancel: async () => {
        for await (const _ of await client.chat({ model: "endless", messages, stream: true })) break
        client.abort()
        return closed(target, "endless")
      },
      many: () =>
        many(async (content) => (await whole({ model: "echo", messages: [{ role: "user", content }] })).message.content)
    }
  }
})
