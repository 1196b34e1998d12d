// The size of a page that streams a chat, bundled and minified for browsers. The same on every machine.
import { gzipSync } from "node:zlib"
import { bundle as bundlePage } from "../../scripts/support/bundle.ts"
import { subjectsOf } from "../subjects/catalogue.ts"
import type { Measure, Target } from "./Measure.ts"
import { takeTurns } from "./turns.ts"

const foundation = "effect: Stream, Schema, HttpClient"
const effectAi = "ours, Ollama, effect/ai"

/** Each page asks, and shows each text when it comes. */
const pages: Readonly<Record<string, string>> = {
  [foundation]: `
    import { Effect, Schema, Stream } from "effect"
    import { FetchHttpClient, HttpClient, HttpClientRequest } from "effect/http"
    const Line = Schema.fromJsonString(Schema.Struct({ message: Schema.Struct({ content: Schema.String }) }))
    HttpClientRequest.post("http://127.0.0.1:11434/api/chat").pipe(
      HttpClientRequest.bodyJsonUnsafe({ model: "m", messages: [{ role: "user", content: "Why?" }] }),
      HttpClient.execute,
      Effect.flatMap(({ stream }) =>
        stream.pipe(
          Stream.decodeText,
          Stream.splitLines,
          Stream.mapEffect(Schema.decodeUnknownEffect(Line)),
          Stream.runForEach((line) => Effect.sync(() => document.body.append(line.message.content)))
        )
      ),
      Effect.provide(FetchHttpClient.layer),
      Effect.runPromise
    )`,
  "ours, Ollama": ours("Ollama"),
  "ours, LmStudio": ours("LmStudio"),
  [effectAi]: `
    import { Effect, Layer, Stream } from "effect"
    import { LanguageModel } from "effect/ai"
    import { FetchHttpClient } from "effect/http"
    import { Ollama } from "effect-local-llm"
    import * as EffectAi from "effect-local-llm/EffectAi"
    LanguageModel.streamText({ prompt: "Why?" }).pipe(
      Stream.runForEach((part) => Effect.sync(() => part.type === "text-delta" && document.body.append(part.delta))),
      Effect.provide(EffectAi.layerLanguageModel({ model: "m" }).pipe(Layer.provide(Ollama.layer()))),
      Effect.provide(FetchHttpClient.layer),
      Effect.runPromise
    )`,
  ollama: `
    import ollama from "ollama/browser"
    const answer = await ollama.chat({ model: "m", messages: [{ role: "user", content: "Why?" }], stream: true })
    for await (const { message } of answer) document.body.append(message.content)`,
  openai: `
    import { OpenAI } from "openai"
    const client = new OpenAI({ baseURL: "http://127.0.0.1:1234/v1", apiKey: "none", dangerouslyAllowBrowser: true })
    const messages = [{ role: "user", content: "Why?" }]
    const answer = await client.chat.completions.create({ model: "m", messages, stream: true })
    for await (const { choices } of answer) document.body.append(choices[0]?.delta.content ?? "")`,
  "ai + ai-sdk-ollama": ai(`
    import { createOllama } from "ai-sdk-ollama"
    const model = createOllama({ baseURL: "http://127.0.0.1:11434" })("m")`),
  "ai + @ai-sdk/openai-compatible": ai(`
    import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
    const model = createOpenAICompatible({ name: "lmstudio", baseURL: "http://127.0.0.1:1234/v1" })("m")`)
}

function ours(server: string): string {
  return `
    import { Effect, Stream } from "effect"
    import { FetchHttpClient } from "effect/http"
    import { Provider, ${server} } from "effect-local-llm"
    Provider.Provider.use(({ stream }) =>
      stream({ model: "m", messages: [{ role: "user", content: "Why?" }] }).pipe(
        Stream.runForEach(({ content }) => Effect.sync(() => document.body.append(content)))
      )
    ).pipe(Effect.provide(${server}.layer()), Effect.provide(FetchHttpClient.layer), Effect.runPromise)`
}

function ai(model: string): string {
  return `
    import { streamText } from "ai"
    ${model}
    const { textStream } = streamText({ model, messages: [{ role: "user", content: "Why?" }] })
    for await (const text of textStream) document.body.append(text)`
}

const ourSubjects = ["ours, Ollama", "ours, LmStudio"]

export const bundle: Measure = {
  name: "bundle",
  title: "Size of a page",
  columns: [
    { figure: "minified", title: "minified, KB", digits: 1 },
    { figure: "gzipped", title: "gzipped, KB", digits: 1 },
    { figure: "added", title: "gzipped, above Effect, KB", digits: 1 }
  ],
  targets: [
    ...ourSubjects.map((subject): Target => {
      return { level: "must", subject, figure: "gzipped", what: "KB", atMost: 50, above: foundation }
    }),
    ...ourSubjects.map((subject): Target => {
      return { level: "goal", subject, figure: "gzipped", atMost: 1, times: "openai" }
    }),
    { level: "must", subject: effectAi, figure: "gzipped", atMost: 0.5, times: "ai + ai-sdk-ollama" }
  ],
  run: async (bench) => {
    const effect = await measurePage(foundation)
    return takeTurns(bench, {
      measure: "bundle",
      subjects: Object.keys(pages),
      rounds: 1,
      turn: async ({ subject }) => {
        const size = await measurePage(subject)
        return subject.startsWith("ours") ? { ...size, added: size.gzipped - effect.gzipped } : size
      }
    })
  }
}

async function measurePage(subject: string): Promise<{ readonly minified: number; readonly gzipped: number }> {
  // The other clients are installed in the folder of the benchmark.
  const isPeer = subjectsOf("peer").some((peer) => peer === subject)
  const page = { code: pages[subject] ?? "", ...(isPeer ? { folder: import.meta.dirname } : {}) }
  const { code, nodeModules } = await bundlePage(page, { minify: true })
  if (nodeModules.length > 0) throw new Error(`does not run in a browser: ${nodeModules.join(", ")}`)
  return { minified: Buffer.byteLength(code) / 1000, gzipped: gzipSync(code).length / 1000 }
}
