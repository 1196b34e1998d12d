/** The larger programs of `examples/`: those of several processes, and those that a runtime starts. */
import { afterAll, describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import workers from "../../examples/workers.ts"
import { FakeServer } from "../../src/testing/index.ts"
import { commandOf, messagesOf, run, server, setScript, start, startServer } from "../support/programs.ts"

const files = mkdtempSync(join(tmpdir(), "programs-"))
afterAll(() => rmSync(files, { recursive: true }))

/** What a request asks: its last message, or its prompt. */
const askedBy = (body: unknown): string =>
  String(messagesOf(body).at(-1)?.content ?? (Predicate.hasProperty(body, "prompt") ? body.prompt : ""))

const requests = (): Promise<ReadonlyArray<{ readonly body: unknown; readonly outcome: string }>> =>
  Effect.runPromise(Effect.map(server.state, ({ requests }) => requests))

const waitFor = (condition: (prompts: ReadonlyArray<string>) => boolean) =>
  Effect.runPromise(server.until(({ requests }) => condition(requests.map(({ body }) => askedBy(body)))))

describe("programs", { timeout: 300_000 }, () => {
  it("backend has typed routes, and a client with their types", async () => {
    const summary = JSON.stringify({ title: "Rain", points: ["wet", "empty"] })
    await setScript(({ body }) => ({ text: askedBy(body).startsWith("Summarize") ? summary : "Rayleigh scattering." }))
    const { child, port } = await startServer("backend/server")
    try {
      const url = `http://127.0.0.1:${port}`
      const first = await run("backend/client", { URL: url })
      expect(first).toEqual({ code: 0, stderr: "", stdout: "Rain: wet, empty\nRayleigh scattering.\n" })

      const post = (text: string) => {
        const headers = { "content-type": "application/json" }
        return fetch(`${url}/summaries`, { method: "POST", headers, body: JSON.stringify({ text }) })
      }
      expect((await post("")).status).toBe(400)
      expect(await (await fetch(`${url}/openapi.json`)).json()).toMatchObject({
        paths: { "/chat": {}, "/summaries": {} }
      })

      await setScript({ status: 404, body: { error: "model 'm' not found" } })
      const refused = await post("It rained.")
      const reason = { _tag: "ModelNotAvailable", model: "m" }
      expect([refused.status, await refused.json()]).toMatchObject([502, { _tag: "ProviderError", reason }])
    } finally {
      child.kill()
    }
  })

  it("mcp-agent uses its own tool and those of mcp-server, and reads the failure of one", async () => {
    let failures = 0
    await setScript(({ body }) => {
      const asked = askedBy(body)
      if (asked.startsWith("Summarize")) {
        return failures++ === 0 ? { status: 400, body: { error: "no" } } : { text: "It rained." }
      }
      const rounds = messagesOf(body).filter(({ role }) => role === "tool").length / 2
      const call = (id: string, name: string, args: object) => ({ id, name, arguments: args })
      if (rounds === 2) return { text: "Done: " + JSON.stringify(messagesOf(body).map(({ content }) => content)) }
      return {
        toolCalls: [call(`a${rounds}`, "summarize", { text: "Rain fell." }), call(`b${rounds}`, "now", {})]
      }
    })
    const { code, stderr, stdout } = await run("mcp-agent", {}, "What fell?", ...commandOf("mcp-server"))
    expect(code, stderr + stdout).toBe(0)
    expect(stderr).toContain('summarize {"text":"Rain fell."}\nnow {}\n')
    // The failure of the first call, the result of the second, and the time.
    expect(stdout).toContain('"Error: ')
    expect(stdout).not.toContain("127.0.0.1")
    expect(stdout).toContain("It rained.")
    expect(stdout).toMatch(/\d{4}-\d\d-\d\dT/)
  })

  it("durable-job goes on where it was killed", async () => {
    const summaries = (prompts: ReadonlyArray<string>) => prompts.filter((prompt) => /^Summarize: [PV]/.test(prompt))
    const seen = (await requests()).length
    await setScript(({ body }) =>
      askedBy(body) === "Summarize: Valves"
        ? { pieces: FakeServer.endless("word "), delay: { between: 20 } }
        : { text: "a" }
    )
    const job = ["durable-job/job", ["Pumps", "Valves"], { JOBS: join(files, "jobs.sqlite") }] as const
    const { child } = start(...job)
    await waitFor((prompts) => summaries(prompts.slice(seen)).length === 2)
    child.kill("SIGKILL")
    await setScript(({ body }) => ({ text: askedBy(body).startsWith("Summarize") ? "b" : askedBy(body) }))
    const next = await run(job[0], job[2], ...job[1])
    expect(next).toMatchObject({ code: 0, stdout: "One paragraph about:\na\nb\n" })
    const asked = await requests()
    expect(summaries(asked.slice(seen).map(({ body }) => askedBy(body)))).toEqual([
      "Summarize: Pumps",
      "Summarize: Valves",
      "Summarize: Valves"
    ])
  })

  it("orchestration asks the router, the experts at the same time, and the judge", async () => {
    const models = { ROUTER: "router", EXPERTS: "one,two,gone", JUDGE: "judge" }
    let isHard = true
    await setScript(({ body }) => {
      const model = Predicate.hasProperty(body, "model") ? body.model : ""
      if (model === "gone") return { status: 404, body: { error: "model 'gone' not found" } }
      if (askedBy(body).startsWith("Does it")) return { text: JSON.stringify({ isHard }) }
      return { text: model === "judge" ? askedBy(body) : `I am ${String(model)}.` }
    })
    const hard = await run("orchestration", models, "Why?")
    expect(hard.stdout).toContain("Answer 1:\nI am one.\n\nAnswer 2:\nI am two.")
    expect([hard.code, hard.stderr]).toEqual([0, expect.stringContaining('the model "gone" is not available')])
    isHard = false
    expect(await run("orchestration", models, "Why?")).toMatchObject({ code: 0, stdout: "I am router.", stderr: "" })
  })

  it("own-policy adds its rules and its limit, and logs no prompt and no answer", async () => {
    await setScript({ text: "Scattering." })
    const { code, stdout } = await run("own-policy", {}, "Why, oh why?")
    expect([code, stdout]).toEqual([0, expect.stringMatching(/answered m stop .*\nScattering\.\n$/)])
    expect(stdout).not.toContain("Why, oh why?")
    expect((await requests()).at(-1)?.body).toMatchObject({
      messages: [{ role: "system", content: "Answer in one sentence." }, { role: "user" }],
      options: { num_predict: 200 }
    })
  })

  it("workers answers, refuses, and stops the model server with the client", async () => {
    const env = { MODEL_URL: `${server.url}/v1`, MODEL_TOKEN: "secret", MODEL: "m" }
    const post = (path: string, body: object, signal?: AbortSignal) => {
      const headers = { "content-type": "application/json" }
      const init = { method: "POST", headers, body: JSON.stringify(body), ...(signal && { signal }) }
      return workers.fetch(new Request(`https://edge.example${path}`, init), env)
    }
    await setScript(({ body }) => ({
      text: askedBy(body).startsWith("The sentiment") ? '{"sentiment":"good"}' : "Hi."
    }))
    expect(await (await post("/sentiment", { prompt: "Nice!" })).json()).toEqual({ sentiment: "good" })
    expect(await (await post("/chat", { prompt: "Hello" })).text()).toContain('data: {"content":"Hi.","isFinal":false}')
    expect((await post("/chat", { prompt: "" })).status).toBe(400)

    await setScript({ status: 404, body: { error: { message: "model 'm' not found" } } })
    const missing = await post("/sentiment", { prompt: "Nice!" })
    expect([missing.status, await missing.json()]).toMatchObject([404, { reason: "ModelNotAvailable" }])

    await setScript({ pieces: FakeServer.endless("word "), delay: { between: 5 } })
    const reader = (await post("/chat", { prompt: "Hello" })).body?.getReader()
    await reader?.read()
    await reader?.cancel()
    await Effect.runPromise(server.until(({ requests }) => requests.at(-1)?.outcome === "cut-by-client"))
  })
})
