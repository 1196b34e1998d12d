// Streams answers to a browser: PORT=3000 node examples/sse-server.ts, then open http://localhost:3000
// A failure before the first text has a status of its own. When the browser leaves, the model server stops generating.
import { NodeHttpClient, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { Ollama, Provider } from "effect-local-llm"
import * as StreamResponse from "effect-local-llm/StreamResponse"
import { createServer } from "node:http"

const page = `<!doctype html><meta charset="utf-8"><title>Chat</title>
<form><input name="prompt" value="Why is the sky blue?"> <button>Ask</button> <button type="reset">Stop</button></form>
<pre style="white-space: pre-wrap"></pre>
<script type="module">
  const form = document.querySelector("form"), output = document.querySelector("pre")
  let controller = new AbortController()
  form.onreset = () => controller.abort()
  form.onsubmit = async (event) => {
    event.preventDefault()
    controller = new AbortController()
    output.textContent = ""
    const response = await fetch("/chat", { method: "POST", body: form.prompt.value, signal: controller.signal })
    if (!response.ok) return (output.textContent = (await response.json()).error.message)
    let rest = ""
    for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
      const events = (rest + text).split("\\n\\n")
      rest = events.pop()
      for (const event of events) output.textContent += JSON.parse(event.replace(/^(event: error\\n)?data: /, "")).content ?? ""
    }
  }
</script>`

const routes = HttpRouter.use(
  Effect.fn(function* (router) {
    const { stream } = yield* Provider.Provider
    yield* router.add("GET", "/", Effect.succeed(HttpServerResponse.html(page)))
    yield* router.add(
      "POST",
      "/chat",
      Effect.gen(function* () {
        const content = yield* (yield* HttpServerRequest.HttpServerRequest).text
        const model = yield* Config.String("MODEL").pipe(Config.withDefault("llama3.2"))
        return yield* StreamResponse.sse(stream({ model, messages: [{ role: "user", content }] }))
      })
    )
  })
)

const server = Layer.unwrap(
  Effect.map(Config.Int("PORT").pipe(Config.withDefault(3000)), (port) => NodeHttpServer.layer(createServer, { port }))
)

HttpRouter.serve(routes).pipe(
  Layer.provide([Ollama.layerConfig(), server]),
  Layer.provide(NodeHttpClient.layerUndici),
  Layer.launch,
  NodeRuntime.runMain
)
