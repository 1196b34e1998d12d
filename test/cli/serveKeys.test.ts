/** Keys of a gateway: how they are made, what they allow, and how their limits are refused in the form of each protocol. */
import { describe, expect, it } from "@effect/vitest"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/testing/TestClock"
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Accounts from "../../src/cli/serve/accounts.ts"
import type * as Keys from "../../src/cli/serve/keys.ts"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "../support/commandLine.ts"
import * as Gateway from "../support/serve.ts"
import { vi } from "vitest"

// Each of them starts programs, on a machine that may be busy.
vi.setConfig({ testTimeout: 90_000 })

const makeFile = (): string => Path.join(Fs.mkdtempSync(Path.join(Os.tmpdir(), "local-llm-")), "keys.json")

const keys = (...args: ReadonlyArray<string>) => CommandLine.run(["keys", ...args])

const sha256 = (key: string): string => createHash("sha256").update(key).digest("hex")

const bearer = (key: string) => ({ authorization: `Bearer ${key}` })

describe("local-llm keys", () => {
  it.live("add prints a key once, list and the file do not have it, and remove removes it", () =>
    Effect.gen(function* () {
      const file = makeFile()
      const added = yield* keys("add", "ann", "--keys", file, "--model", "m", "--requests-per-minute", "9", "--pull")
      expect(added.code).toBe(0)
      expect(added.stdout).toMatch(/^sk-local-[\w-]{43}\n$/)
      const key = added.stdout.trim()
      expect(added.stderr).not.toContain(key)
      expect(Fs.statSync(file).mode & 0o777).toBe(0o600)
      expect(JSON.parse(Fs.readFileSync(file, "utf8"))).toEqual({
        keys: [{ name: "ann", sha256: sha256(key), models: ["m"], requestsPerMinute: 9, mayPull: true }]
      })
      const again = yield* keys("add", "ann", "--keys", file)
      expect(again).toMatchObject({ code: 1, stdout: "" })
      expect((yield* keys("list", "--keys", file)).stdout).toBe("ann\tm\t\t9 requests a minute\t\t\tpull\t\n")
      expect((yield* keys("list", "--keys", file, "--json")).stdout).not.toContain(sha256(key))
      expect((yield* keys("remove", "ann", "bob", "--keys", file)).stderr).toContain('there is no key "bob"')
      expect((yield* keys("remove", "ann", "--keys", file)).stdout).toBe("removed ann\n")
      expect(JSON.parse(Fs.readFileSync(file, "utf8"))).toEqual({ keys: [] })
    })
  )

  it.live("of several programs at the same time are all kept, and a lock that was left behind is reported", () =>
    Effect.gen(function* () {
      const file = makeFile()
      const names = ["a", "b", "c", "d"]
      const added = yield* Effect.forEach(names, (name) => keys("add", name, "--keys", file), {
        concurrency: "unbounded"
      })
      expect(added.map(({ code }) => code)).toEqual(names.map(() => 0))
      expect((yield* keys("list", "--keys", file, "--json")).stdout.match(/"name":"./g)?.toSorted()).toEqual(
        names.map((name) => `"name":"${name}`)
      )
      expect(Fs.readdirSync(Path.dirname(file))).toEqual(["keys.json"])
      Fs.writeFileSync(`${file}.lock`, "")
      const locked = yield* keys("remove", "a", "--keys", file)
      expect(locked).toMatchObject({
        code: 1,
        stdout: "",
        stderr: `local-llm: another program changes ${file}; if there is none, remove ${file}.lock\n`
      })
    })
  )

  it.live.each<[file: unknown, message: string]>([
    [{}, ": keys: Expected this field"],
    [{ keys: [{ name: "a", sha256: "x" }] }, ": keys[0].sha256: Expected a SHA-256 in 64 digits"],
    [{ keys: [{ name: "a", sha256: sha256("a"), key: "a" }] }, ": keys[0].key: unknown field"],
    [
      { keys: [0, 1].map((i) => ({ name: "a", sha256: sha256(`${i}`) })) },
      ": keys[1].name: Expected another name than that of keys[0]"
    ],
    [{ keys: [{ name: "a", sha256: sha256("a"), requestsAtOnce: 0 }] }, ": keys[0].requestsAtOnce: Expected a whole"]
  ])("%j is a mistake with its place", ([content, message]) =>
    Effect.gen(function* () {
      const file = makeFile()
      Fs.writeFileSync(file, JSON.stringify(content))
      expect((yield* keys("list", "--keys", file)).stderr).toContain(`local-llm: ${file}${message}`)
    })
  )
})

const admitted = (accounts: Accounts.Accounts, key: string) =>
  Effect.flatMap(accounts.authorize(Redacted.make(key)), ({ admit }) => admit)

const makeAccounts = (limits: Partial<Keys.Key>) => {
  const file = makeFile()
  Fs.writeFileSync(file, JSON.stringify({ keys: [{ name: "a", sha256: sha256("a"), ...limits }] }))
  return Effect.provide(Accounts.make(file), NodeFileSystem.layer)
}

describe("limits", () => {
  it.effect("of requests a minute: the next one is possible after its share of the minute", () =>
    Effect.gen(function* () {
      const accounts = yield* makeAccounts({ requestsPerMinute: 2 })
      const admit = Effect.scoped(admitted(accounts, "a"))
      yield* Effect.all([admit, admit])
      expect(yield* Effect.flip(admit)).toMatchObject({
        _tag: "RateLimited",
        retryAfter: { value: { millis: 30_000 } }
      })
      yield* TestClock.adjust("30 seconds")
      yield* admit
      yield* Effect.flip(admit)
    })
  )

  it.effect("of tokens a minute: what a completion took beyond them has to be made up for", () =>
    Effect.gen(function* () {
      const accounts = yield* makeAccounts({ tokensPerMinute: 60 })
      const admit = Effect.scoped(admitted(accounts, "a"))
      yield* admit
      const { onUsage } = yield* accounts.authorize(Redacted.make("a"))
      yield* onUsage({ promptTokens: 100, completionTokens: 20 })
      yield* Effect.flip(admit)
      yield* TestClock.adjust("59 seconds")
      yield* Effect.flip(admit)
      yield* TestClock.adjust("2 seconds")
      yield* admit
    })
  )

  it.effect("of requests at once: one that ends makes room", () =>
    Effect.gen(function* () {
      const accounts = yield* makeAccounts({ requestsAtOnce: 1 })
      const first = yield* Effect.forkChild(Effect.scoped(Effect.andThen(admitted(accounts, "a"), Effect.never)), {
        startImmediately: true
      })
      expect(yield* Effect.flip(Effect.scoped(admitted(accounts, "a")))).toMatchObject({ _tag: "RateLimited" })
      yield* Fiber.interrupt(first)
      yield* Effect.scoped(admitted(accounts, "a"))
    })
  )
})

describe("a gateway with keys", () => {
  const start = Effect.gen(function* () {
    const file = makeFile()
    const owners: ReadonlyArray<Omit<Keys.Key, "sha256">> = [
      { name: "all", maySeeStatus: true },
      { name: "one", models: ["one"], requestsAtOnce: 1 },
      { name: "few", requestsPerMinute: 1 }
    ]
    const write = (names: ReadonlyArray<string>) =>
      Fs.writeFileSync(
        file,
        JSON.stringify({
          keys: owners
            .filter(({ name }) => names.includes(name))
            .map((key) => Object.assign({ sha256: sha256(`sk-${key.name}`) }, key))
        })
      )
    write(["all", "one", "few"])
    const server = yield* FakeServer.make({ text: "Yes" }, { models: ["one:latest", "two:latest"] })
    return {
      gateway: yield* Gateway.serve(["--host", server.url, "--keys", file]),
      write
    }
  })

  it.live("refuses requests without a right, in the form of each protocol", () =>
    Effect.gen(function* () {
      const { gateway, write } = yield* start
      const routes = ["/api/chat", "/v1/chat/completions", "/v1/messages"] as const
      for (const path of routes) {
        const more = path === "/v1/messages" ? { max_tokens: 9 } : {}
        const send = (model: string, headers = {}) =>
          gateway.post(path, Gateway.chat(model, { stream: false, ...more }), headers)
        expect((yield* send("one")).status).toBe(401)
        expect((yield* send("one", bearer(""))).status).toBe(401)
        expect((yield* send("one", bearer("sk-wrong"))).status).toBe(401)
        expect((yield* send("one", bearer("sk-all"))).status).toBe(200)
        expect((yield* send("two", { "x-api-key": "sk-all" })).status).toBe(200)
        expect((yield* send("one", bearer("sk-one"))).status).toBe(200)
        expect([403, 404]).toContain((yield* send("two", bearer("sk-one"))).status)
      }
      const { text } = yield* gateway.get("/v1/models", bearer("sk-one"))
      expect(text).toContain("one")
      expect(text).not.toContain("two")

      yield* gateway.post("/v1/chat/completions", Gateway.chat("one"), bearer("sk-few"))
      const limited = yield* gateway.post("/v1/chat/completions", Gateway.chat("one"), bearer("sk-few"))
      expect(limited.status).toBe(429)
      expect(Number(limited.headers.get("retry-after"))).toBeGreaterThan(30)
      expect(JSON.parse(limited.text)).toHaveProperty("error.message")

      write(["one"])
      yield* Effect.sleep("1100 millis")
      expect((yield* gateway.get("/v1/models", bearer("sk-all"))).status).toBe(401)
      expect((yield* gateway.get("/v1/models", bearer("sk-one"))).status).toBe(200)
    })
  )

  it.live("serves the requests of a batch after all others, whichever came first", () =>
    Effect.gen(function* () {
      const file = makeFile()
      const owners = [
        { name: "ann", sha256: sha256("sk-ann") },
        { name: "scripts", sha256: sha256("sk-scripts"), priority: "batch" }
      ]
      Fs.writeFileSync(file, JSON.stringify({ keys: owners }))
      const server = yield* FakeServer.make({ text: "Yes", delay: { first: "100 millis" } }, { models: ["m:latest"] })
      const gateway = yield* Gateway.serve(["--host", server.url, "--keys", file, "--permits", "1"])
      const ask = (name: string, i: number) =>
        gateway.post(
          "/api/chat",
          { ...Gateway.chat("m"), messages: [{ role: "user", content: `${name} ${i}` }] },
          bearer(`sk-${name}`)
        )
      const isChat = ({ path }: FakeServer.ReceivedRequest) => path === "/api/chat"
      const first = yield* Effect.forkChild(ask("scripts", 0))
      yield* server.until(({ requests }) => requests.some(isChat))
      const batch = yield* Effect.forkChild(Effect.forEach([1, 2, 3], (i) => ask("scripts", i), { concurrency: 3 }))
      yield* Effect.sleep("40 millis")
      const others = yield* Effect.forkChild(Effect.forEach([1, 2, 3], (i) => ask("ann", i), { concurrency: 3 }))
      yield* Fiber.join(first)
      yield* Fiber.join(batch)
      yield* Fiber.join(others)
      const { requests } = yield* server.state
      const order = requests.filter(isChat).map(({ body }) => /(ann|scripts) \d/.exec(JSON.stringify(body))?.[1])
      expect(order).toHaveLength(7)
      // Whatever the machine is busy with: once those of ann wait, none of the batch is first.
      const begun = order.indexOf("ann")
      expect(order.slice(begun, begun + 3)).toEqual(["ann", "ann", "ann"])
    })
  )

  it.live("warns of a file that others can change", () =>
    Effect.gen(function* () {
      const file = makeFile()
      yield* keys("add", "ann", "--keys", file)
      const { url } = yield* FakeServer.make()
      const warning = `${file} can be changed by other users of this machine; chmod 600 takes that from them`
      const closed = yield* Gateway.serve(["--host", url, "--keys", file])
      expect((yield* closed.output).stderr).not.toContain(warning)
      Fs.chmodSync(file, 0o666)
      const open = yield* Gateway.serve(["--host", url, "--keys", file])
      expect((yield* open.output).stderr).toContain(warning)
    })
  )

  it.live("shows its status to those alone who may see it", () =>
    Effect.gen(function* () {
      const { gateway } = yield* start
      for (const path of ["/status", "/metrics"]) {
        expect((yield* gateway.get(path)).status).toBe(401)
        expect((yield* gateway.get(path, bearer("sk-one"))).status).toBe(403)
        expect((yield* gateway.get(path, bearer("sk-all"))).status).toBe(200)
      }
      expect((yield* gateway.get("/health")).status).toBe(200)
      const top = ["top", "--url", gateway.url]
      expect((yield* CommandLine.run(top)).stderr).toContain("it needs a key; set LOCAL_LLM_KEY")
      expect((yield* CommandLine.run(top, { env: { LOCAL_LLM_KEY: "sk-one" } })).stderr).toContain(
        "may not see the status"
      )
      const shown = yield* CommandLine.run(top, { env: { LOCAL_LLM_KEY: "sk-all" } })
      expect(shown.stdout).toMatch(/^up 0 min · 0 answered · 0 waiting[^\n]*\n\nHOST +KIND +STATE/)
      expect(shown.stdout).toMatch(/Ollama +ready +0 of 4/)
    })
  )
})

describe("the status page", () => {
  it.live("is for browsers, is open to no other page, and has nothing from elsewhere", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ text: "Yes" }, { models: ["one:latest"] })
      const gateway = yield* Gateway.serve(["--host", server.url])
      expect((yield* gateway.get("/")).text).toBe("Ollama is running")
      const page = yield* gateway.get("/", { accept: "text/html,application/xhtml+xml" })
      expect(page.headers.get("content-security-policy")).toMatch(/^default-src 'none'; script-src 'sha256-[^']+'; /)
      expect(page.text).toMatch(/^<!doctype html>/)
      expect(page.text).not.toMatch(/https?:|innerHTML|src=/)
      const elsewhere = { origin: "https://evil.example" }
      expect((yield* gateway.get("/status", elsewhere)).status).toBe(403)
      expect((yield* gateway.get("/metrics", elsewhere)).status).toBe(403)
      yield* gateway.post("/api/chat", Gateway.chat("one"))
      const { text } = yield* gateway.get("/metrics")
      expect(text).toContain(`local_llm_gateway_host_ready{host="${server.url}"} 1`)
      expect(text).toMatch(/gen_ai_client_token_usage_sum\{[^}]*gen_ai_token_type="output"\} \d/)

      yield* server.setScript({ status: 500, body: { error: "a secret" } })
      yield* gateway.post("/api/chat", Gateway.chat("one"))
      const status = yield* gateway.get("/status")
      expect(JSON.parse(status.text).failures).toMatchObject([{ host: server.url, model: "one" }])
      expect(status.text).not.toContain("secret")
    })
  )
})
