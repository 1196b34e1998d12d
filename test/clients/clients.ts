/** The table of the clients: what each sees in each case, where that differs from the others. */
import { expect } from "@effect/vitest"
import { countLetters } from "../../src/values/text.ts"
import facts from "./facts.json" with { type: "json" }

/** What a client sees, by case. */
interface Sight {
  readonly [name: string]: unknown
}

export interface Client {
  readonly name: string
  /** The class of its errors before the first text, for a model that is not there. */
  readonly missing: Sight
  /** After the first text, when it streams. */
  readonly broken: Sight
  /** When it does not stream: the response has the status 502. */
  readonly brokenWhole: Sight
  /** The cases in which it sees something else. */
  readonly sees?: Sight | undefined
  /** The cases that it does not have, and why. */
  readonly lacks?: { readonly [name: string]: string } | undefined
}

/** A program and the clients that it runs. */
export interface Program {
  readonly file: string
  readonly registry: "npm" | "pypi"
  readonly clients: ReadonlyArray<Client>
}

/** Some clients request base64, which is less precise. */
const vectors = facts.texts.map((text) => countLetters(text).map((number): unknown => expect.closeTo(number, 6)))

/** What a test compares, for the host behind the gateway. */
export const expected = (client: Client, host: string): Sight => {
  const begin = "The sky is "
  const call = { name: facts.tool.name, arguments: { city: "Paris" } }
  const broken = { text: begin, ...client.broken }
  const cases: Sight = {
    list: { models: expect.arrayContaining(["echo", "counter"]) },
    show: { id: "echo" },
    whole: { text: facts.question, finish: "stop", tokens: [10, 5] },
    streamed: { text: facts.question, finish: "stop", isStreamed: true },
    length: { text: begin, finish: "length" },
    prompt: { text: facts.question },
    tools: { calls: [call], text: "It is sunny." },
    toolsStreamed: { calls: [call] },
    thinking: { thinking: "Light is scattered.", text: "Blue light most." },
    schema: { value: { answer: 42 } },
    embeddings: { vectors },
    image: { text: "One dot." },
    missing: { whole: client.missing, streamed: { text: "", ...client.missing } },
    breaks: broken,
    dies: broken,
    ends: broken,
    breaksWhole: client.brokenWhole,
    cancel: { closed: true },
    cancelEarly: { closed: true },
    many: { right: 32 },
    ...client.sees
  }
  const hidden = Object.keys(client.lacks ?? {})
  return Object.fromEntries(
    Object.entries(cases)
      .filter(([name]) => !hidden.includes(name))
      .map(([name, sight]) => [name, typeof sight === "function" ? sight(host) : sight])
  )
}

const noModels = { list: "it has no request for it", show: "it has no request for it" }
const noPrompts = { prompt: "chat only" }
const chatOnly = { ...noModels, ...noPrompts }
const blocks = { cancelEarly: "its calls block until there is a text" }
const waits = { cancelEarly: "it takes no signal before the response" }

/** Ollama knows the size of the context, an OpenAI-compatible server does not. */
const shown = (host: string) =>
  host === "ollama"
    ? { capabilities: ["completion", "tools", "thinking", "vision"], contextLength: 131_072 }
    : { capabilities: expect.arrayContaining(["completion", "tools"]) as unknown }

/** It returns the text so far, and says in another field that it is not whole. */
const endsWithError = { breaksFinal: { finish: "error" } }

const openAiErrors = {
  missing: { error: "NotFoundError", status: 404 },
  broken: { error: "APIError" },
  brokenWhole: { error: "InternalServerError", status: 502 }
}
const responsesLacks = { ...chatOnly, embeddings: "another API of the same client" }
const ollamaErrors = {
  missing: { error: "ResponseError", status: 404 },
  // Its message is ours.
  broken: { error: "Error" },
  brokenWhole: { error: "ResponseError", status: 502 }
}
const ollamaPythonErrors = { ...ollamaErrors, broken: { error: "ResponseError" } }
const aiErrors = {
  missing: { error: "AI_APICallError", status: 404 },
  broken: { error: "AI_StreamProviderError" },
  brokenWhole: { error: "AI_APICallError", status: 502 }
}
const anthropicLacks = { ...noPrompts, embeddings: "its API has none" }
const own = {
  missing: { error: "ModelNotAvailable" },
  broken: { error: "StreamError" },
  brokenWhole: { error: "StreamError" },
  lacks: { toolsStreamed: "it always streams" }
}

const npm: ReadonlyArray<Program> = [
  {
    file: "ollama.ts",
    registry: "npm",
    clients: [{ name: "ollama", ...ollamaErrors, sees: { show: shown }, lacks: waits }]
  },
  {
    file: "openai.ts",
    registry: "npm",
    clients: [
      { name: "openai", ...openAiErrors },
      {
        name: "openai (Responses)",
        ...openAiErrors,
        sees: { breaksFinal: { error: "APIError" } },
        lacks: { ...responsesLacks, cancelEarly: "as the other API" }
      }
    ]
  },
  {
    file: "ai.ts",
    registry: "npm",
    clients: [
      { name: "@ai-sdk/openai-compatible", ...aiErrors, sees: endsWithError, lacks: chatOnly },
      {
        name: "ai-sdk-ollama",
        missing: { error: "OllamaError" },
        // Text that nobody has read when the error comes is lost in its stream.
        broken: { error: "Error", text: expect.stringMatching(/^The /) as unknown },
        brokenWhole: { error: "OllamaError" },
        sees: { breaksFinal: { error: "Error" } },
        lacks: { ...chatOnly, ...waits }
      },
      { name: "@ai-sdk/anthropic", ...aiErrors, sees: endsWithError, lacks: { ...chatOnly, ...anthropicLacks } }
    ]
  },
  {
    file: "langchain.ts",
    registry: "npm",
    clients: [
      {
        name: "@langchain/ollama",
        ...ollamaErrors,
        // It always streams.
        brokenWhole: { error: "Error" },
        lacks: { ...chatOnly, ...waits }
      },
      { name: "@langchain/openai", ...openAiErrors, lacks: { ...chatOnly, ...waits } }
    ]
  },
  {
    file: "anthropic.ts",
    registry: "npm",
    clients: [
      {
        name: "@anthropic-ai/sdk",
        ...openAiErrors,
        sees: { count: { isNumber: true }, breaksFinal: { error: "APIError" } },
        lacks: anthropicLacks
      }
    ]
  },
  {
    file: "own.ts",
    registry: "npm",
    clients: [
      { name: "effect-local-llm (Ollama)", ...own },
      { name: "effect-local-llm (OpenAiCompatible)", ...own },
      // LM Studio's list says what each model is for. Models of which nothing is known are listed for chat.
      {
        name: "effect-local-llm (LmStudio)",
        ...own,
        sees: { embeddings: (host: string) => (host === "ollama" ? { vectors } : { error: "Unsupported" }) }
      },
      { name: "effect-local-llm (LlamaServer)", ...own }
    ]
  }
]

/** It takes the failure as one of these, whatever it was. */
const liteLlmErrors = {
  missing: { error: "NotFoundError", status: 404 },
  broken: { error: "MidStreamFallbackError" },
  brokenWhole: { error: "BadGatewayError", status: 502 }
}

const pypi: ReadonlyArray<Program> = [
  {
    file: "ollama_client.py",
    registry: "pypi",
    clients: [{ name: "ollama (Python)", ...ollamaPythonErrors, sees: { show: shown }, lacks: blocks }]
  },
  {
    file: "openai_client.py",
    registry: "pypi",
    clients: [
      { name: "openai (Python)", ...openAiErrors, lacks: blocks },
      { name: "openai (Python, Responses)", ...openAiErrors, lacks: { ...responsesLacks, ...blocks } }
    ]
  },
  {
    file: "anthropic_client.py",
    registry: "pypi",
    clients: [
      {
        name: "anthropic (Python)",
        ...openAiErrors,
        broken: { error: "APIStatusError" },
        sees: { count: { isNumber: true }, breaksFinal: { error: "APIStatusError" } },
        lacks: { ...anthropicLacks, ...blocks }
      }
    ]
  },
  {
    file: "langchain_client.py",
    registry: "pypi",
    clients: [
      {
        name: "langchain-ollama",
        ...ollamaPythonErrors,
        // It always streams.
        brokenWhole: { error: "ResponseError" },
        lacks: { ...chatOnly, ...blocks }
      }
    ]
  },
  {
    file: "llm_client.py",
    registry: "pypi",
    clients: [
      {
        name: "llm",
        ...ollamaPythonErrors,
        sees: {
          whole: { text: facts.question, tokens: [10, 5] },
          streamed: { text: facts.question, isStreamed: true },
          // It looks the name up in its own list.
          missing: { whole: { error: "UnknownModelError" }, streamed: { error: "UnknownModelError" } }
        },
        lacks: {
          show: "it has no request for it",
          ...noPrompts,
          length: "it does not report why a text ends",
          ...blocks
        }
      }
    ]
  },
  {
    file: "litellm_client.py",
    registry: "pypi",
    clients: [
      { name: "litellm (openai)", ...liteLlmErrors, lacks: { ...chatOnly, ...blocks } },
      {
        name: "litellm (ollama_chat)",
        ...liteLlmErrors,
        broken: { error: "BadRequestError" },
        lacks: { ...chatOnly, ...blocks }
      },
      {
        name: "litellm (anthropic)",
        ...liteLlmErrors,
        lacks: {
          ...chatOnly,
          ...anthropicLacks,
          ...blocks,
          schema: "it makes it a tool that has to be called, since it does not know the model"
        }
      }
    ]
  }
]

/** All programs of a registry. */
export const programs = { npm, pypi }
