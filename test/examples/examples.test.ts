/** The programs of `examples/`, as a user runs them, beside the fake server. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { createServer } from "node:http"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Readable } from "node:stream"
import { FakeServer } from "../../src/testing/index.ts"
import { folder, messagesOf, run, server, setScript, startServer } from "../support/programs.ts"

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

  it("agent answers `useChat` with a tool, and asks before another one runs", async () => {
    await setScript(({ body }) => {
      const results = messagesOf(body).filter(({ role }) => role === "tool")
      const call = (name: string) => ({ toolCalls: [{ id: name, name, arguments: { number: 7 } }] })
      return [call("find_order"), call("cancel_order")][results.length] ?? { text: String(results.at(-1)?.content) }
    })
    const { child, port } = await startServer("agent")
    try {
      const ask = async (role: string, ...parts: ReadonlyArray<object>) => {
        const body = JSON.stringify({ id: "anna", messages: [{ role, parts }], trigger: "submit-message" })
        const headers = { "content-type": "application/json" }
        const response = await fetch(`http://127.0.0.1:${port}/chat`, { method: "POST", headers, body })
        return await response.text()
      }
      const first = await ask("user", { type: "text", text: "Cancel order 7" })
      expect(first).toContain('"output":{"item":"lamp 7","state":"on its way"}')
      expect(first).toContain('{"type":"tool-approval-request","approvalId":"approval_cancel_order"')
      const approval = { id: "approval_cancel_order", approved: true }
      const second = await ask("assistant", { type: "tool-cancel_order", state: "approval-responded", approval })
      expect(second).toContain('"output":"order 7 is cancelled"')
      expect(second).toContain('"delta":" cancelled"')
      expect(second.endsWith("data: [DONE]\n\n")).toBe(true)
      expect((await fetch(`http://127.0.0.1:${port}/chat`, { method: "POST", body: "{}" })).status).toBe(400)
    } finally {
      child.kill()
    }
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

  it("retrieval puts the nearest of 5,000 documents into the prompt", { timeout: 60_000 }, async () => {
    await setScript(({ body }) => ({
      text: String(Predicate.hasProperty(body, "prompt") && body.prompt).split("\n")[1] ?? ""
    }))
    const files = mkdtempSync(join(tmpdir(), "retrieval-"))
    const facts = [
      "The office is open from 9 to 17 o'clock on weekdays.",
      "The canteen serves lunch from 12 to 14 o'clock."
    ]
    const others = Array.from({ length: 4998 }, (_, i) => `Invoice ${i}: ${"xyz"[i % 3]?.repeat(20)}`)
    writeFileSync(join(files, "documents.txt"), [...others, ...facts].join("\n"))
    try {
      const questions = ["The office is open when, on weekdays?", "When does the canteen serve lunch?"]
      const { code, stderr, stdout } = await run("retrieval", {}, join(files, "documents.txt"), ...questions)
      expect({ code, stdout }).toEqual({ code: 0, stdout: `${facts.join("\n")}\n` })
      expect(stderr.split("\n").length).toBe(7)
    } finally {
      rmSync(files, { recursive: true })
    }
  })

  it(
    "chat-server keeps conversations in files, and stops the model server when the client leaves",
    { timeout: 60_000 },
    async () => {
      await setScript(({ body }) => ({ text: `${messagesOf(body).length} messages` }))
      const files = mkdtempSync(join(tmpdir(), "chats-"))
      const { child, port } = await startServer("chat-server", { CHATS: files })
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
        // Turns of one conversation at the same time run one after the other.
        const both = await Promise.all([read("ben"), read("ben")])
        expect(both.map(([text]) => text).toSorted()).toEqual(["4 messages", "6 messages"])

        await setScript({ pieces: FakeServer.endless("word "), delay: { between: 5 } })
        const controller = new AbortController()
        const response = await ask("cleo", controller.signal)
        await response.body?.getReader().read()
        controller.abort()
        await Effect.runPromise(server.until(({ requests }) => requests.at(-1)?.outcome === "cut-by-client"))

        await setScript({ status: 503, body: { error: "server busy" } })
        const refused = await ask("dora")
        expect([refused.status, await refused.json()]).toEqual([503, { error: "InternalProviderError" }])

        // Another process reads what the first one has kept.
        child.kill()
        await setScript(({ body }) => ({ text: `${messagesOf(body).length} messages` }))
        const next = await startServer("chat-server", { CHATS: files })
        const again = await fetch(`http://127.0.0.1:${next.port}/chat/anna`, { method: "POST", body: "Why?" })
        expect(await again.text()).toContain('"text":"6"')
        next.child.kill()
      } finally {
        child.kill()
        rmSync(files, { recursive: true })
      }
    }
  )

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
