// A page that streams an answer straight from a model server, and stops it: npx vite examples/browser
// Leaving the page stops the model server too. The guide docs/browser-client.md says what the server has to allow.
import { Effect, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import { LlamaServer, LmStudio, Ollama } from "effect-local-llm"

const servers = { Ollama: Ollama.make, LmStudio: LmStudio.make, LlamaServer: LlamaServer.make }
const isServer = (name: string): name is keyof typeof servers => Object.hasOwn(servers, name)

const find = <E extends Element>(selector: string, type: new () => E): E => {
  const found = document.querySelector(selector)
  if (found instanceof type) return found
  throw new Error(`the page has no ${selector}`)
}
const form = find("form", HTMLFormElement)
const inputs = find("fieldset", HTMLFieldSetElement)
const stop = find("#stop", HTMLButtonElement)
const status = find("#status", HTMLElement)
const thinking = find("#thinking", HTMLElement)
const answer = find("#answer", HTMLElement)

const ask = Effect.fn(
  function* (fields: FormData) {
    const field = (name: string) => String(fields.get(name))
    const server = field("server")
    const { stream } = yield* (isServer(server) ? servers[server] : Ollama.make)({ baseUrl: field("url") || undefined })
    yield* stream({ model: field("model"), messages: [{ role: "user", content: field("prompt") }] }).pipe(
      Stream.runForEach((chunk) =>
        Effect.sync(() => {
          thinking.append(chunk.thinking ?? "")
          answer.append(chunk.content)
          status.textContent = chunk.isFinal ? `Done (${chunk.finishReason}).` : "Answering …"
        })
      )
    )
  },
  Effect.catchTag("ProviderError", ({ message }) => Effect.sync(() => (status.textContent = message))),
  Effect.onInterrupt(() => Effect.sync(() => (status.textContent = "Stopped."))),
  Effect.provide(FetchHttpClient.layer)
)

let interrupt = (): void => {}
stop.addEventListener("click", () => interrupt())

form.addEventListener("submit", (event) => {
  event.preventDefault()
  if (inputs.disabled) return
  const fields = new FormData(form)
  inputs.disabled = true
  stop.disabled = false
  status.textContent = "Asking …"
  for (const text of [thinking, answer]) text.replaceChildren()
  interrupt = Effect.runCallback(ask(fields), {
    onExit: () => {
      inputs.disabled = false
      stop.disabled = true
    }
  })
})
