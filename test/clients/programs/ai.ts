/** npm: `ai` with the providers `@ai-sdk/openai-compatible`, `ai-sdk-ollama` and `@ai-sdk/anthropic`. */
import { createAnthropic } from "@ai-sdk/anthropic"
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { embedMany, generateText, jsonSchema, Output, stepCountIs, streamText, tool } from "ai"
import type { EmbeddingModel, LanguageModel, ModelMessage } from "ai"
import { createOllama } from "ai-sdk-ollama"
import type { Target } from "./run.ts"
import { closed, facts, failureOf, many, read, run, toFailure } from "./run.ts"

interface Provider {
  readonly model: (name: string) => LanguageModel
  readonly thinker: () => LanguageModel
  /** Whether it can be cancelled before the response. Default: yes. */
  readonly waits?: boolean
  readonly embedding?: ((name: string) => EmbeddingModel) | undefined
}

const tools = {
  [facts.tool.name]: tool({
    description: facts.tool.description,
    inputSchema: jsonSchema<{ readonly city: string }>(facts.tool.parameters as never),
    execute: () => Promise.resolve(facts.toolResult)
  })
}

const cases = (target: Target, { embedding, model, thinker, waits = false }: Provider) => {
  const common = { prompt: facts.question, maxRetries: 0 }
  const whole = (name: string) => generateText({ ...common, model: model(name) })
  const stream = (name: string) =>
    read(async function* () {
      for await (const part of streamText({ ...common, model: model(name), onError: () => {} }).fullStream) {
        if (part.type === "text-delta") yield { text: part.text }
        if (part.type === "finish") yield { finish: part.finishReason }
        // It is a part of the stream; the promises of the result reject.
        if (part.type === "error") throw part.error
      }
    })
  return {
    whole: async () => {
      const { finishReason, text, usage } = await whole("echo")
      return { text, finish: finishReason, tokens: [usage.inputTokens, usage.outputTokens] }
    },
    streamed: () => stream("echo"),
    length: () => stream("long"),
    tools: async () => {
      const { steps, text } = await generateText({ ...common, model: model("caller"), tools, stopWhen: stepCountIs(3) })
      const calls = steps.flatMap(({ toolCalls }) => toolCalls)
      return { calls: calls.map(({ input, toolName }) => ({ name: toolName, arguments: input })), text }
    },
    toolsStreamed: async () => {
      const calls = await streamText({ ...common, model: model("caller"), tools }).toolCalls
      return { calls: calls.map(({ input, toolName }) => ({ name: toolName, arguments: input })) }
    },
    thinking: async () => {
      const { reasoningText, text } = await generateText({ ...common, model: thinker() })
      return { thinking: reasoningText, text }
    },
    schema: async () => {
      const output = Output.object({ schema: jsonSchema(facts.schema as never) })
      // Otherwise the provider of Anthropic makes it a tool that has to be called, since it does not know the model.
      const providerOptions = { anthropic: { structuredOutputMode: "outputFormat" } }
      return { value: (await generateText({ ...common, model: model("poet"), output, providerOptions })).output }
    },
    ...(embedding === undefined
      ? {}
      : {
          embeddings: async () => ({
            vectors: (await embedMany({ model: embedding("counter"), values: facts.texts, maxRetries: 0 })).embeddings
          })
        }),
    image: async () => {
      const messages: Array<ModelMessage> = [
        {
          role: "user",
          content: [
            { type: "text", text: facts.question },
            { type: "file", data: Buffer.from(facts.image, "base64"), mediaType: "image/png" }
          ]
        }
      ]
      return { text: (await generateText({ model: model("seer"), messages, maxRetries: 0 })).text }
    },
    missing: async () => ({
      whole: await failureOf(() => whole("missing")),
      streamed: await stream("missing")
    }),
    breaks: () => stream("breaks"),
    dies: () => stream("dies"),
    ends: () => stream("ends"),
    /** What a program sees that waits for the text. */
    breaksFinal: async () => {
      const { finishReason, text } = streamText({ ...common, model: model("breaks"), onError: () => {} })
      try {
        return { text: await text, finish: await finishReason }
      } catch (error) {
        return toFailure(error)
      }
    },
    breaksWhole: () => failureOf(() => whole("breaks")),
    cancel: async () => {
      const abort = new AbortController()
      const { textStream } = streamText({ ...common, model: model("endless"), abortSignal: abort.signal })
      for await (const _ of textStream) abort.abort()
      return closed(target, "endless")
    },
    ...(waits
      ? {}
      : {
          cancelEarly: async () => {
            const abortSignal = AbortSignal.timeout(300)
            const failure = await failureOf(() => generateText({ ...common, model: model("silent"), abortSignal }))
            return { ...failure, ...(await closed(target, "silent")) }
          }
        }),
    many: () => many(async (prompt) => (await generateText({ model: model("echo"), prompt, maxRetries: 0 })).text)
  }
}

await run({
  "@ai-sdk/openai-compatible": (target) => {
    const provider = createOpenAICompatible({
      name: "gateway",
      baseURL: `${target.url}/v1`,
      includeUsage: true,
      supportsStructuredOutputs: true
    })
    return cases(target, {
      model: (name) => provider(name),
      thinker: () => provider("thinker"),
      embedding: (name) => provider.textEmbeddingModel(name)
    })
  },
  "ai-sdk-ollama": (target) => {
    const provider = createOllama({ baseURL: target.url })
    return cases(target, {
      model: (name) => provider(name),
      thinker: () => provider("thinker", { think: true }),
      waits: true,
      embedding: (name) => provider.embedding(name)
    })
  },
  "@ai-sdk/anthropic": (target) => {
    const provider = createAnthropic({ baseURL: `${target.url}/v1`, apiKey: "none" })
    return cases(target, { model: (name) => provider(name), thinker: () => provider("thinker") })
  }
})
