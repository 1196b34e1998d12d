/** The programs of `examples/`, as a user runs them, beside the fake server. */
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import { createServer } from "node:http"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Readable } from "node:stream"
import { fileURLToPath } from "node:url"
import { FakeServer } from "../../src/testing/index.ts"

const folder = new URL("../../examples/", import.meta.url)

const scope = Scope.makeUnsafe()
let server: FakeServer.FakeServer["Service"]
beforeAll(() =>
  Effect.runPromise(Scope.provide(FakeServer.make(), scope)).then((running) => {
    server = running
  })
)
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

const start = (name: string, args: ReadonlyArray<string>, environment: Readonly<Record<string, string>> = {}) => {
  const child = spawn(
    process.execPath,
    ["--conditions=effect-local-llm:source", fileURLToPath(new URL(`${name}.ts`, folder)), ...args],
    {
      env: { ...process.env, OLLAMA_HOST: server.url, MODEL: "m", EMBEDDING_MODEL: "m", NO_COLOR: "1", ...environment }
    }
  )
  const output = { stdout: "", stderr: "" }
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output.stdout += text))
  child.stderr.setEncoding("utf8").on("data", (text: string) => (output.stderr += text))
  return { child, output }
}

const run = (name: string, environment: Readonly<Record<string, string>> = {}, ...args: ReadonlyArray<string>) =>
  new Promise<{ readonly stdout: string; readonly stderr: string; readonly code: number | null }>((resolve) => {
    const { child, output } = start(name, args, environment)
    child.once("close", (code) => resolve({ ...output, code }))
  })

/** Starts a server on a free port, and waits until it listens. */
const startServer = async (name: string) => {
  const { child, output } = start(name, [], { PORT: "0" })
  const port = await new Promise<string>((resolve, reject) => {
    child.once("close", () => reject(new Error(output.stderr)))
    child.stdout.on("data", () => {
      const port = /:(\d+)"?\s*$/.exec(output.stdout.trim())?.[1]
      if (port !== undefined) resolve(port)
    })
  })
  return { child, port }
}

/** The messages of a request. */
const messagesOf = (body: unknown): ReadonlyArray<{ readonly role?: unknown; readonly content?: unknown }> =>
  Predicate.hasProperty(body, "messages") && Array.isArray(body.messages) ? body.messages : []

const setScript = (script: FakeServer.Script) => Effect.runPromise(server.setScript(script))

describe("examples", () => {
  it("tool-loop calls the tool, and again after a failure", async () => {
    await setScript(({ body }) => {
      const results = messagesOf(body).filter(({ role }) => role === "tool").length
      const call = (city: string) => ({ toolCalls: [{ id: "c", name: "get_weather", arguments: { city } }] })
      return [call("Rome"), call("Paris")][results] ?? { text: "It is 21 degrees in Paris." }
    })
    const { code, stderr, stdout } = await run("tool-loop", {}, "Weather in Paris?")
    expect({ code, stderr, stdout }).toEqual({
      code: 0,
      stderr: "",
      stdout: 'get_weather: "Rome is unknown"\nget_weather: {"celsius":21,"sky":"clear"}\nIt is 21 degrees in Paris.\n'
    })
  })

  it("typed-output prints the fields, and asks again if a bound is missed", async () => {
    const recipe = { title: "Pancakes", minutes: 0, ingredients: [{ name: "flour", grams: 200 }] }
    let count = 0
    await setScript(({ path }) => {
      if (path === "/api/chat") count++
      return { text: JSON.stringify({ ...recipe, minutes: count === 1 ? 0 : 25 }) }
    })
    const { code, stdout } = await run("typed-output")
    expect({ code, stdout }).toEqual({ code: 0, stdout: "Pancakes, 25 minutes\n200 g flour\n" })
    expect(count).toBe(2)
  })

  it("retrieval puts the nearest documents into the prompt", async () => {
    await setScript(({ body }) => ({ text: String(messagesOf(body)[0]?.content).split("\n")[1] ?? "" }))
    const { code, stderr, stdout } = await run("retrieval", {}, "The office is open when, on weekdays?")
    expect({ code, stdout }).toEqual({ code: 0, stdout: "The office is open from 9 to 17 o'clock on weekdays.\n" })
    expect(stderr.split("\n").length).toBe(3)
  })

  it("chat-server streams the turns of a conversation, and stops the model server when the client leaves", async () => {
    await setScript(({ body }) => ({ text: `${messagesOf(body).length} messages` }))
    const { child, port } = await startServer("chat-server")
    try {
      const ask = (name: string, signal?: AbortSignal) =>
        fetch(`http://127.0.0.1:${port}/chat/${name}`, { method: "POST", body: "Why?", ...(signal && { signal }) })
      // The system message, and then two for each turn before.
      const read = async (name: string) => {
        const lines = (await (await ask(name)).text()).trim().split("\n")
        const parts = lines.map((line): { readonly text?: string; readonly end?: string } => JSON.parse(line))
        return [parts.map(({ text = "" }) => text).join(""), parts.at(-1)?.end]
      }
      expect(await read("anna")).toEqual(["2 messages", "stop"])
      expect(await read("anna")).toEqual(["4 messages", "stop"])
      expect(await read("ben")).toEqual(["2 messages", "stop"])

      await setScript({ pieces: FakeServer.endless("word "), delay: { between: 5 } })
      const controller = new AbortController()
      const response = await ask("cleo", controller.signal)
      await response.body?.getReader().read()
      controller.abort()
      await Effect.runPromise(server.until(({ requests }) => requests.at(-1)?.outcome === "cut-by-client"))

      await setScript({ status: 503, body: { error: "server busy" } })
      const refused = await ask("dora")
      expect([refused.status, await refused.json()]).toEqual([503, { error: "InternalProviderError" }])
    } finally {
      child.kill()
    }
  })

  it("sse-server sends events, and the status of a failure before the first text", async () => {
    const { child, port } = await startServer("sse-server")
    try {
      const ask = () => fetch(`http://127.0.0.1:${port}/chat`, { method: "POST", body: "Why?" })
      await setScript({ text: "Because." })
      const events = (await (await ask()).text()).split("\n\n")
      expect(events[0]).toBe('data: {"content":"Because.","isFinal":false}')
      await setScript({ status: 404, body: { error: "model 'm' not found" } })
      const response = await ask()
      expect([response.status, await response.json()]).toMatchObject([404, { error: { reason: "ModelNotAvailable" } }])
      expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toContain("<form>")
    } finally {
      child.kill()
    }
  })

  it("its page reads an answer, and knows whether it is complete", async () => {
    const page = readFileSync(new URL("sse-server.html", folder), "utf8")
    const code = /  (async function\* ask[^]*?\n  \})\n/.exec(page)?.[1]
    const read = async (status: number, ...parts: ReadonlyArray<string>) => {
      const body = Readable.toWeb(Readable.from(parts.map((part) => Buffer.from(part))))
      const fetch = () => Promise.resolve(new Response(body as ReadableStream, { status }))
      const chunks: Array<string> = []
      try {
        for await (const { content } of new Function("fetch", `return ${code}`)(fetch)("Why?")) chunks.push(content)
        return [...chunks, "complete"]
      } catch (error) {
        return [...chunks, error instanceof Error ? error.message : error]
      }
    }
    const text = 'data: {"content":"Sun","isFinal":false}\n\n'
    const end = 'data: {"content":"","isFinal":true}\n\n'
    // Not a line end for JSON, but for some expressions.
    const separator = 'data: {"content":"\u2028","isFinal":false}\n\n'
    const failure = '{"reason":"StreamTruncated","message":"it broke","isRetryable":true}'
    expect(await read(200, ": keep-alive\n", "\n", text.slice(0, 9), text.slice(9) + end)).toEqual([
      "Sun",
      "",
      "complete"
    ])
    expect(await read(200, text, `event: error\ndata: ${failure}\n\n`)).toEqual(["Sun", "it broke"])
    expect(await read(200, text)).toEqual(["Sun", "the answer is not complete"])
    expect(await read(404, `{"error":${failure}}`)).toEqual(["it broke"])
    expect(await read(502, "<html>Bad gateway</html>")).toEqual(["status 502"])
    expect(await read(200, separator + end)).toEqual(["\u2028", "", "complete"])
  })

  it("its page shows the last answer alone, and keeps the prompt when it is stopped", async () => {
    const page = readFileSync(new URL("sse-server.html", folder), "utf8")
    const code = /<script type="module">([^]*)<\/script>/.exec(page)?.[1] ?? ""
    const event = { isPrevented: false, preventDefault: () => (event.isPrevented = true) }
    const form: { prompt: { value: string }; onsubmit?: (e: unknown) => unknown; onreset?: (e: unknown) => unknown } = {
      prompt: { value: "Why?" }
    }
    const output = { textContent: "", append: (text: string) => (output.textContent += text) }
    const document = { querySelector: (name: string) => (name === "form" ? form : output) }
    // An answer that does not end until it is aborted.
    const fetch = (_: string, { signal }: { readonly signal: AbortSignal }) => {
      const body = new ReadableStream({
        start(controller) {
          controller.enqueue(Buffer.from('data: {"content":"Sun","isFinal":false}\n\n'))
          signal.addEventListener("abort", () => controller.error(signal.reason))
        }
      })
      return Promise.resolve(new Response(body))
    }
    new Function("document", "fetch", code)(document, fetch)
    const first = form.onsubmit?.(event)
    await expect.poll(() => output.textContent).toBe("Sun")
    const second = form.onsubmit?.(event)
    await first
    await expect.poll(() => output.textContent).toBe("Sun")
    event.isPrevented = false
    form.onreset?.(event)
    await second
    expect([output.textContent, event.isPrevented]).toEqual(["Sun", true])
  })

  it("batch answers what is missing", async () => {
    const files = mkdtempSync(join(tmpdir(), "batch-"))
    const [requests, results] = [join(files, "requests.jsonl"), join(files, "results.jsonl")]
    const write = (count: number) => {
      const body = { model: "m", messages: [{ role: "user", content: "Why?" }] }
      const all = Array.from({ length: count }, (_, i) => JSON.stringify({ custom_id: `${i}`, body }))
      writeFileSync(requests, all.join("\n"))
    }
    await setScript({ text: "Because" })
    for (const count of [3, 5]) {
      write(count)
      const { code, stderr } = await run("batch", { OLLAMA_HOSTS: server.url }, requests, results)
      expect([code, stderr.trim().split("\n").at(-1)]).toEqual([0, `${count} of ${count}, 0 failed`])
    }
    const lines = readFileSync(results, "utf8").trim().split("\n")
    expect(lines.map((line) => JSON.parse(line).custom_id).toSorted()).toEqual(["0", "1", "2", "3", "4"])
    rmSync(files, { recursive: true })
  })

  it.each(["auto", "ollama", "pool", "mock"])("choose-server answers from %s", async (name) => {
    await setScript({ text: "Because of scattering." })
    const { code, stdout } = await run("choose-server", { MODEL_SERVER: name, OLLAMA_HOSTS: server.url })
    const answer = name === "mock" ? "Because of Rayleigh scattering.\n" : "Because of scattering.\n"
    expect({ code, stdout }).toEqual({ code: 0, stdout: answer })
  })

  it("telemetry exports a span and the metrics", async () => {
    await setScript({ text: "Because of scattering." })
    const received: Array<{ readonly url: string | undefined; readonly body: string }> = []
    const collector = createServer((request, response) => {
      let body = ""
      request.setEncoding("utf8").on("data", (text: string) => (body += text))
      request.on("end", () => {
        received.push({ url: request.url, body })
        response.setHeader("content-type", "application/json").end("{}")
      })
    })
    await new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve))
    try {
      const address = collector.address()
      const port = Predicate.isObject(address) ? address.port : 0
      const { code, stdout } = await run("telemetry", { OTLP_URL: `http://127.0.0.1:${port}` })
      expect({ code, stdout }).toEqual({ code: 0, stdout: "Because of scattering.\n" })
    } finally {
      collector.close()
    }
    const bodies = (url: string) =>
      received
        .filter((each) => each.url === url)
        .map(({ body }) => body)
        .join("")
    expect(bodies("/v1/traces")).toContain('"name":"chat m"')
    expect(bodies("/v1/traces")).toContain('"key":"gen_ai.usage.output_tokens"')
    expect(bodies("/v1/metrics")).toContain('"name":"gen_ai.client.operation.duration"')
    expect(bodies("/v1/metrics")).toContain('"explicitBounds":[0.01,0.02,0.04')
    expect(received.map(({ body }) => body).join("")).not.toContain("scattering")
  })

  it("each is a page long", () => {
    for (const file of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
      if (!file.endsWith(".ts")) continue
      expect(readFileSync(new URL(file, folder), "utf8").split("\n").length, file).toBeLessThan(86)
    }
  })
})
