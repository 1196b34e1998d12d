/** npm: `openai`, with its two APIs. */
import OpenAI from "openai"
import type { Target } from "./run.ts"
import { closed, facts, failureOf, many, read, run, toFailure, toFinish } from "./run.ts"

type Chat = Omit<OpenAI.ChatCompletionCreateParamsNonStreaming, "messages" | "stream"> & {
  readonly messages?: Array<OpenAI.ChatCompletionMessageParam>
}

const makeClient = ({ url }: Target) => new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 })

const messages: Array<OpenAI.ChatCompletionMessageParam> = [{ role: "user", content: facts.question }]
const tools: Array<OpenAI.ChatCompletionTool> = [{ type: "function", function: { ...facts.tool, strict: true } }]

const chat = (target: Target) => {
  const client = makeClient(target)
  const whole = (request: Chat) => client.chat.completions.create({ messages, ...request })
  const textOf = async (request: Chat) => ({ text: (await whole(request)).choices[0]?.message.content })
  const stream = (model: string) =>
    read(async function* () {
      const request = { model, messages, stream: true, stream_options: { include_usage: true } } as const
      for await (const { choices } of await client.chat.completions.create(request)) {
        yield { text: choices[0]?.delta.content ?? "", finish: choices[0]?.finish_reason ?? undefined }
      }
    })
  return {
    list: async () => ({ models: (await client.models.list()).data.map(({ id }) => id) }),
    show: async () => ({ id: (await client.models.retrieve("echo")).id }),
    whole: async () => {
      const { choices, usage } = await whole({ model: "echo" })
      const [choice] = choices
      return {
        text: choice?.message.content,
        finish: choice?.finish_reason,
        tokens: [usage?.prompt_tokens, usage?.completion_tokens]
      }
    },
    streamed: () => stream("echo"),
    length: () => stream("long"),
    prompt: async () => ({
      text: (await client.completions.create({ model: "echo", prompt: facts.question })).choices[0]?.text
    }),
    tools: async () => {
      const message = (await whole({ model: "caller", tools })).choices[0]?.message
      const call = message?.tool_calls?.[0]
      if (message === undefined || call?.type !== "function") return { calls: [] }
      const result = { role: "tool", tool_call_id: call.id, content: facts.toolResult } as const
      const second = await textOf({ model: "caller", tools, messages: [...messages, message, result] })
      return { calls: [{ ...call.function, arguments: JSON.parse(call.function.arguments) }], ...second }
    },
    toolsStreamed: async () => {
      const final = await client.chat.completions.stream({ model: "caller", messages, tools }).finalMessage()
      const calls = (final.tool_calls ?? []).flatMap((call) => (call.type === "function" ? [call.function] : []))
      return { calls: calls.map((call) => ({ name: call.name, arguments: JSON.parse(call.arguments) })) }
    },
    thinking: async () => {
      const message = (await whole({ model: "thinker", reasoning_effort: "high" })).choices[0]?.message
      // The type of the client does not have it.
      const { reasoning_content: thinking } = message as { readonly reasoning_content?: unknown }
      return { thinking, text: message?.content }
    },
    schema: async () => {
      const { text } = await textOf({
        model: "poet",
        response_format: { type: "json_schema", json_schema: { name: "answer", schema: facts.schema, strict: true } }
      })
      return { value: JSON.parse(text ?? "") }
    },
    // The client requests base64 and decodes it.
    embeddings: async () => ({
      vectors: (await client.embeddings.create({ model: "counter", input: facts.texts })).data.map((d) => d.embedding)
    }),
    image: () =>
      textOf({
        model: "seer",
        messages: [
          {
            role: "user",
            content: [
              { type: "text", text: facts.question },
              { type: "image_url", image_url: { url: `data:image/png;base64,${facts.image}` } }
            ]
          }
        ]
      }),
    missing: async () => ({
      whole: await failureOf(() => whole({ model: "missing" })),
      streamed: await stream("missing")
    }),
    breaks: () => stream("breaks"),
    dies: () => stream("dies"),
    ends: () => stream("ends"),
    breaksWhole: () => failureOf(() => whole({ model: "breaks" })),
    cancel: async () => {
      for await (const _ of await client.chat.completions.create({ model: "endless", messages, stream: true })) break
      return closed(target, "endless")
    },
    cancelEarly: async () => {
      const signal = AbortSignal.timeout(300)
      const failure = await failureOf(() =>
        client.chat.completions.create({ model: "silent", messages, stream: true }, { signal })
      )
      return { ...failure, ...(await closed(target, "silent")) }
    },
    many: () => many(async (content) => (await textOf({ model: "echo", messages: [{ role: "user", content }] })).text)
  }
}

type Response = Omit<OpenAI.Responses.ResponseCreateParamsNonStreaming, "stream">

const responseTools: Array<OpenAI.Responses.FunctionTool> = [{ type: "function", ...facts.tool, strict: true }]

const callsOf = (output: ReadonlyArray<OpenAI.Responses.ResponseOutputItem>) =>
  output.flatMap((item) =>
    item.type === "function_call" ? [{ name: item.name, arguments: JSON.parse(item.arguments) }] : []
  )

const responses = (target: Target) => {
  const client = makeClient(target)
  const whole = (request: Response) => client.responses.create({ input: facts.question, store: false, ...request })
  /** What a program sees that iterates: failures are events. */
  const stream = (model: string) =>
    read(async function* () {
      for await (const event of await client.responses.create({ model, input: facts.question, stream: true })) {
        if (event.type === "response.output_text.delta") yield { text: event.delta }
        if (event.type === "response.completed" || event.type === "response.failed")
          yield { finish: event.response.status }
        if (event.type === "response.incomplete") {
          const { reason } = event.response.incomplete_details ?? {}
          yield { finish: reason === "max_output_tokens" ? "length" : reason }
        }
      }
    })
  return {
    whole: async () => {
      const { output_text, status, usage } = await whole({ model: "echo" })
      return { text: output_text, finish: toFinish(status), tokens: [usage?.input_tokens, usage?.output_tokens] }
    },
    streamed: () => stream("echo"),
    length: () => stream("long"),
    tools: async () => {
      const first = await whole({ model: "caller", tools: responseTools })
      const calls = first.output.filter((item) => item.type === "function_call")
      const second = await whole({
        model: "caller",
        tools: responseTools,
        input: [
          { role: "user", content: facts.question },
          ...calls,
          ...calls.map(({ call_id }) => ({ type: "function_call_output", call_id, output: facts.toolResult }) as const)
        ]
      })
      return { calls: callsOf(first.output), text: second.output_text }
    },
    toolsStreamed: async () => {
      const request = { model: "caller", input: facts.question, tools: responseTools }
      return { calls: callsOf((await client.responses.stream(request).finalResponse()).output) }
    },
    thinking: async () => {
      const { output, output_text } = await whole({ model: "thinker", reasoning: { effort: "high" } })
      const texts = output
        .filter((item) => item.type === "reasoning")
        .flatMap(({ content = [], summary }) => content.concat(summary as never))
      return { thinking: texts.map(({ text }) => text).join(""), text: output_text }
    },
    schema: async () => {
      const format = { type: "json_schema", name: "answer", schema: facts.schema, strict: true } as const
      return { value: JSON.parse((await whole({ model: "poet", text: { format } })).output_text) }
    },
    image: async () => {
      const content: OpenAI.Responses.ResponseInputMessageContentList = [
        { type: "input_text", text: facts.question },
        { type: "input_image", detail: "auto", image_url: `data:image/png;base64,${facts.image}` }
      ]
      return { text: (await whole({ model: "seer", input: [{ role: "user", content }] })).output_text }
    },
    missing: async () => ({
      whole: await failureOf(() => whole({ model: "missing" })),
      streamed: await stream("missing")
    }),
    breaks: () => stream("breaks"),
    dies: () => stream("dies"),
    ends: () => stream("ends"),
    /** What a program sees that waits for the end of a stream. */
    breaksFinal: async () => {
      try {
        const { output_text, status } = await client.responses
          .stream({ model: "breaks", input: facts.question })
          .finalResponse()
        return { text: output_text, finish: status }
      } catch (error) {
        return toFailure(error)
      }
    },
    breaksWhole: () => failureOf(() => whole({ model: "breaks" })),
    cancel: async () => {
      for await (const event of await client.responses.create({ model: "endless", input: "again", stream: true })) {
        if (event.type === "response.output_text.delta") break
      }
      return closed(target, "endless")
    },
    many: () => many(async (input) => (await whole({ model: "echo", input })).output_text)
  }
}

await run({ openai: chat, "openai (Responses)": responses })
