/** npm: `@anthropic-ai/sdk`. */
import Anthropic from "@anthropic-ai/sdk"
import { closed, facts, failureOf, many, read, run, toFinish } from "./run.ts"

type Request = Omit<Anthropic.MessageCreateParamsNonStreaming, "messages" | "max_tokens" | "stream"> & {
  readonly messages?: Array<Anthropic.MessageParam>
}

const { parameters, ...tool } = facts.tool
const tools: Array<Anthropic.Tool> = [{ ...tool, input_schema: { ...parameters, type: "object" } }]
const messages: Array<Anthropic.MessageParam> = [{ role: "user", content: facts.question }]

const textOf = ({ content }: Anthropic.Message): string =>
  content.flatMap((block) => (block.type === "text" ? [block.text] : [])).join("")

const callsOf = ({ content }: Anthropic.Message) =>
  content.flatMap((block) => (block.type === "tool_use" ? [{ name: block.name, arguments: block.input }] : []))

await run({
  "@anthropic-ai/sdk": (target) => {
    const client = new Anthropic({ baseURL: target.url, apiKey: "none", maxRetries: 0 })
    const common = { max_tokens: 4096, messages }
    const whole = (request: Request) => client.messages.create({ ...common, ...request })
    const stream = (model: string) =>
      read(async function* () {
        for await (const event of await client.messages.create({ ...common, model, stream: true })) {
          if (event.type === "content_block_delta" && event.delta.type === "text_delta")
            yield { text: event.delta.text }
          if (event.type === "message_delta") yield { finish: event.delta.stop_reason ?? undefined }
        }
      })
    return {
      list: async () => ({ models: (await client.models.list()).data.map(({ id }) => id) }),
      show: async () => ({ id: (await client.models.retrieve("echo")).id }),
      whole: async () => {
        const message = await whole({ model: "echo" })
        const { stop_reason, usage } = message
        return {
          text: textOf(message),
          finish: toFinish(stop_reason),
          tokens: [usage.input_tokens, usage.output_tokens]
        }
      },
      streamed: () => stream("echo"),
      length: () => stream("long"),
      tools: async () => {
        const first = await whole({ model: "caller", tools })
        const id = first.content.flatMap((block) => (block.type === "tool_use" ? [block.id] : []))[0] ?? ""
        const second = await whole({
          model: "caller",
          tools,
          messages: [
            ...messages,
            { role: "assistant", content: first.content },
            { role: "user", content: [{ type: "tool_result", tool_use_id: id, content: facts.toolResult }] }
          ]
        })
        return { calls: callsOf(first), text: textOf(second) }
      },
      toolsStreamed: async () => ({
        calls: callsOf(await client.messages.stream({ ...common, model: "caller", tools }).finalMessage())
      }),
      thinking: async () => {
        const message = await whole({ model: "thinker", thinking: { type: "enabled", budget_tokens: 1024 } })
        const thinking = message.content.flatMap((block) => (block.type === "thinking" ? [block.thinking] : []))
        return { thinking: thinking.join(""), text: textOf(message) }
      },
      schema: async () => {
        const format = { type: "json_schema", schema: facts.schema } as const
        return { value: JSON.parse(textOf(await whole({ model: "poet", output_config: { format } }))) }
      },
      image: async () => {
        const source = { type: "base64", media_type: "image/png", data: facts.image } as const
        const content: Array<Anthropic.ContentBlockParam> = [
          { type: "image", source },
          { type: "text", text: facts.question }
        ]
        return { text: textOf(await whole({ model: "seer", messages: [{ role: "user", content }] })) }
      },
      count: async () => ({
        isNumber: (await client.messages.countTokens({ model: "echo", messages })).input_tokens > 0
      }),
      missing: async () => ({
        whole: await failureOf(() => whole({ model: "missing" })),
        streamed: await stream("missing")
      }),
      breaks: () => stream("breaks"),
      dies: () => stream("dies"),
      ends: () => stream("ends"),
      breaksFinal: () => failureOf(() => client.messages.stream({ ...common, model: "breaks" }).finalMessage()),
      breaksWhole: () => failureOf(() => whole({ model: "breaks" })),
      cancel: async () => {
        for await (const event of await client.messages.create({ ...common, model: "endless", stream: true })) {
          if (event.type === "content_block_delta") break
        }
        return closed(target, "endless")
      },
      cancelEarly: async () => {
        const signal = AbortSignal.timeout(300)
        const failure = await failureOf(() =>
          client.messages.create({ ...common, model: "silent", stream: true }, { signal })
        )
        return { ...failure, ...(await closed(target, "silent")) }
      },
      many: () => many(async (content) => textOf(await whole({ model: "echo", messages: [{ role: "user", content }] })))
    }
  }
})
