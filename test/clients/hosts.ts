/** The servers behind the gateway: fake servers whose models have a script each. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Http from "node:http"
import type { FakeServer as Fake } from "../../src/testing/index.ts"
import { FakeServer } from "../../src/testing/index.ts"
import * as Json from "../../src/values/json.ts"
import facts from "./facts.json" with { type: "json" }

/** What no client may see: the texts of a server's failures. */
export const secret = "secret-of-the-host"

const capabilities = ["completion", "tools", "thinking", "vision"]

const lastMessage = (body: unknown): unknown => {
  const messages = Json.get(body, "messages")
  return Array.isArray(messages) ? messages.at(-1) : { content: Json.get(body, "prompt") }
}

/** The text of a message: a string, or the text parts of a list. */
const textOf = (message: unknown): string => {
  const content = Json.get(message, "content")
  if (!Array.isArray(content)) return String(content)
  return content.map((part) => Json.get(part, "text") ?? "").join("")
}

/** The images of a message in base64. */
const imagesOf = (message: unknown): ReadonlyArray<unknown> => {
  const images = Json.get(message, "images")
  if (Array.isArray(images)) return images
  const content = Json.get(message, "content")
  const parts = Array.isArray(content) ? content : []
  return parts.flatMap((part) => {
    const url = Json.get(Json.get(part, "image_url"), "url")
    return typeof url === "string" ? [url.replace("data:image/png;base64,", "")] : []
  })
}

/** The schema of a request: `format` of Ollama, `response_format` of OpenAI. */
const schemaOf = (body: unknown): unknown =>
  Json.get(body, "format") ?? Json.get(Json.get(Json.get(body, "response_format"), "json_schema"), "schema")

type Generate = (body: unknown) => Fake.Answer

const begins = ["The ", "sky ", "is "]

const scripts: { readonly [model: string]: Generate } = {
  /** Repeats the last message. */
  echo: (body) => ({
    text: textOf(lastMessage(body)),
    usage: { promptTokens: 10, completionTokens: 5, totalTokens: 15 }
  }),
  /** Stops at the limit. */
  long: () => ({ pieces: begins, finishReason: "length" }),
  /** Calls a tool, then repeats its result. */
  caller: (body) => {
    if (Json.get(lastMessage(body), "role") === "tool") return { text: `It is ${textOf(lastMessage(body))}.` }
    const tools = Json.get(body, "tools")
    if (!Array.isArray(tools)) return { text: "There is no tool." }
    return { toolCalls: [{ id: "call_1", name: facts.tool.name, arguments: { city: "Paris" } }] }
  },
  /** Calls a tool that does not exist, then repeats the result. */
  inventor: (body) => {
    if (Json.get(lastMessage(body), "role") === "tool") return { text: textOf(lastMessage(body)) }
    return { text: "Let me see.", toolCalls: [{ id: "call_1", name: "fly", arguments: { to: "Paris" } }] }
  },
  thinker: () => ({ thinking: "Light is scattered.", text: "Blue light most." }),
  /** Follows the schema if there is one. */
  poet: (body) => ({
    text: Json.get(schemaOf(body), "required") === undefined ? "There is no schema." : JSON.stringify({ answer: 42 })
  }),
  /** Compares the image with the one that was sent. */
  seer: (body) => {
    const images = imagesOf(lastMessage(body))
    return { text: images.length === 1 && images[0] === facts.image ? "One dot." : `${images.length} images` }
  },
  breaks: () => ({ pieces: [...begins, { error: secret }] }),
  /** The connection is lost. */
  dies: () => ({ pieces: begins, cut: { how: "close" } }),
  /** The body ends without its end marker. */
  ends: () => ({ pieces: begins, cut: { how: "end" } }),
  endless: () => ({ pieces: FakeServer.endless("again "), delay: { between: "20 millis" } }),
  /** Loads for ever. */
  silent: () => FakeServer.silence
}

const models = [...Object.keys(scripts), "counter"]

const toModel = (name: string, index: number) => ({
  name,
  model: name,
  modified_at: "2026-01-02T03:04:05.678Z",
  size: 2_019_393_189,
  digest: index.toString(16).padStart(64, "0"),
  details: { format: "gguf", family: "llama", parameter_size: "3.2B", quantization_level: "Q4_K_M" }
})

const notFound = (path: string, model: string): Fake.Reply => ({
  status: 404,
  body: path.startsWith("/v1")
    ? { error: { message: `${secret}: no ${model}`, code: "model_not_found" } }
    : { error: `model '${model}' not found` }
})

const script: Fake.Script = ({ body, path }) => {
  if (path === "/api/tags") return { status: 200, body: { models: models.map(toModel) } }
  const model = String(Json.get(body, "model") ?? "").replace(/:latest$/, "")
  if (path === "/api/show" && models.includes(model)) {
    const able = model === "counter" ? ["embedding"] : capabilities
    return { status: 200, body: { capabilities: able, details: {}, model_info: { "llama.context_length": 131_072 } } }
  }
  if (model === "" || models.includes(model)) return scripts[model]?.(body) ?? { text: "" }
  return notFound(path, model)
}

export const startHost = FakeServer.make(script, { models })

/** Tells programs when the sockets of a request are closed: `GET /HOST/MODEL`. */
export const startControl = Effect.fnUntraced(function* (hosts: {
  readonly [name: string]: Fake.FakeServer["Service"]
}): Effect.fn.Return<string, never, Scope.Scope> {
  const server = Http.createServer((request, response) => {
    const [, host = "", model = ""] = (request.url ?? "").split("/")
    const waiting = hosts[host]?.until(({ requests }) =>
      requests.some(({ body, outcome }) => Json.get(body, "model") === model && outcome === "cut-by-client")
    )
    const closed = Effect.as(waiting ?? Effect.never, true).pipe(
      Effect.timeoutOrElse({ duration: "20 seconds", orElse: () => Effect.succeed(false) })
    )
    void Effect.runPromise(closed).then((closed) => response.end(JSON.stringify({ closed })))
  })
  yield* Effect.acquireRelease(
    Effect.promise(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))),
    () =>
      Effect.promise(() => {
        server.closeAllConnections()
        return new Promise<unknown>((resolve) => server.close(resolve))
      })
  )
  const address = server.address()
  return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`
})
