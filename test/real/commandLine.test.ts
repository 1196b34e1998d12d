/** The command line with a real llama.cpp server. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as CommandLine from "../support/commandLine.ts"
import * as Conversation from "../support/conversation.ts"
import { endless, sky, think } from "../support/scriptedModels.ts"
import * as LlamaServer from "./llamaServer.ts"

const ask = (url: string, model: string, ...more: ReadonlyArray<string>): ReadonlyArray<string> => [
  "--provider",
  "lmstudio",
  "--url",
  url,
  "--model",
  model,
  ...more,
  "Why is the sky blue?"
]

const onServer = <A>(
  options: LlamaServer.Options,
  test: (server: LlamaServer.LlamaServer["Service"]) => Effect.Effect<A>
): Effect.Effect<A> => Effect.scoped(Effect.flatMap(LlamaServer.start(options), test))

const isOneLine = /^[^\n]+\n$/

LlamaServer.describeLlamaServer("the command line", () => {
  it.live("prints the answer and a summary", () =>
    onServer({ model: "sky" }, ({ url }) =>
      Effect.gen(function* () {
        const { code, stderr, stdout } = yield* CommandLine.run(ask(url, "sky"))
        expect(stdout).toBe(`${sky.join("")}\n`)
        expect(stderr).toMatch(
          /^sky on LM Studio · 49 tokens after \d+ of the prompt · first after [\d.]+ s · [\d.]+ tokens\/s\n$/
        )
        expect(code).toBe(0)
      })
    )
  )

  it.live("finds the server by its variable and the model in its list", () =>
    onServer({ model: "sky" }, ({ url }) =>
      Effect.gen(function* () {
        const { code, stdout } = yield* CommandLine.run(["Why?"], { env: { LMSTUDIO_BASE_URL: url } })
        expect({ code, stdout }).toEqual({ code: 0, stdout: `${sky.join("")}\n` })
        const models = yield* CommandLine.run(["models"], { env: { LMSTUDIO_BASE_URL: url } })
        expect(models.stdout).toContain("sky")
      })
    )
  )

  it.live("knows the server on its usual port", () =>
    onServer({ model: "sky" }, ({ url }) =>
      Effect.gen(function* () {
        const { code, stderr, stdout } = yield* CommandLine.run(["Why?"], { usualPorts: { 8080: url } })
        expect({ code, stdout }).toEqual({ code: 0, stdout: `${sky.join("")}\n` })
        expect(stderr).toMatch(/^sky on llama-server · [^\n]*\n$/)
      })
    )
  )

  it.live("keeps thinking out of the answer", () =>
    onServer({ model: "think" }, ({ url }) =>
      Effect.gen(function* () {
        const { stderr, stdout } = yield* CommandLine.run(ask(url, "think"))
        expect(stdout).toBe(`${think.content.join("")}\n`)
        expect(stderr).toContain(think.thinking.join(""))
      })
    )
  )

  const endings = [
    { event: "SIGINT", end: (command: CommandLine.Running) => command.kill("SIGINT"), code: 130 },
    { event: "SIGTERM", end: (command: CommandLine.Running) => command.kill("SIGTERM"), code: 143 },
    { event: "a reader that has gone", end: (command: CommandLine.Running) => command.closeStdout, code: 141 }
  ]
  it.live.each(endings)("the server stops generating after $event", ({ code, end }) =>
    onServer({ model: "endless", parameters: { n_ctx: 65_536 } }, ({ untilGenerating, url }) =>
      Effect.scoped(
        Effect.gen(function* () {
          const command = yield* CommandLine.start(ask(url, "endless"))
          yield* command.until(({ stdout }) => stdout.startsWith(endless(200).join("")))
          yield* untilGenerating(1)
          yield* end(command)
          expect(yield* untilGenerating(0)).toBeLessThan(1000)
          expect((yield* command.result).code).toBe(code)
        })
      )
    )
  )

  it.live("prints the text so far and one line when the server is killed", () =>
    onServer({ model: "endless", parameters: { n_ctx: 65_536 } }, ({ kill, url }) =>
      Effect.scoped(
        Effect.gen(function* () {
          const command = yield* CommandLine.start(ask(url, "endless"))
          yield* command.until(({ stdout }) => stdout.startsWith(endless(100).join("")))
          yield* kill
          const { code, stderr, stdout } = yield* command.result
          expect(stdout.startsWith(endless(100).join(""))).toBe(true)
          expect(stderr.trimStart()).toMatch(isOneLine)
          expect(stderr).toContain("the connection failed")
          expect(code).toBe(1)
        })
      )
    )
  )

  it.live("reports a missing key and a missing server in one line", () =>
    onServer({ model: "sky", parameters: { api_keys: ["the key"] } }, ({ kill, url }) =>
      Effect.gen(function* () {
        const refused = yield* CommandLine.run(ask(url, "sky"))
        expect(refused).toMatchObject({ code: 1, stdout: "", stderr: expect.stringMatching(isOneLine) })
        expect(refused.stderr).toContain("LM_API_TOKEN")
        const accepted = yield* CommandLine.run(ask(url, "sky"), { env: { LM_API_TOKEN: "the key" } })
        expect(accepted.code).toBe(0)
        yield* kill
        const gone = yield* CommandLine.run(ask(url, "sky"))
        expect(gone).toMatchObject({ code: 1, stdout: "", stderr: expect.stringMatching(isOneLine) })
        expect(gone.stderr).toContain("ECONNREFUSED")
      })
    )
  )

  describe.skipIf(!CommandLine.hasTerminals)("a conversation", () => {
    const converse = (url: string, model: string, env: Readonly<Record<string, string>> = {}) =>
      Conversation.start(["--provider", "llama-server", "--url", url, "--model", model], env)

    it.live("has two turns, and is saved", () =>
      onServer({ model: "sky" }, ({ url }) =>
        Effect.scoped(
          Effect.gen(function* () {
            const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "local-llm-"))
            const { program, say } = yield* converse(url, "sky", { HOME: folder })
            yield* say("Why is the sky blue?\r", "The sky is blue", "leaving red.", "49 tokens", "tokens/s")
            yield* say("And at dusk?\r", "The sky is blue", "leaving red.", "49 tokens", "tokens/s")
            yield* say("/save ~/chat.json\r", "saved to")
            yield* program.type(Conversation.ctrlD)
            expect((yield* program.result).code).toBe(0)
            expect(JSON.parse(Fs.readFileSync(Path.join(folder, "chat.json"), "utf8"))).toEqual({
              model: "sky",
              messages: [
                { role: "user", content: "Why is the sky blue?" },
                { role: "assistant", content: sky.join("") },
                { role: "user", content: "And at dusk?" },
                { role: "assistant", content: sky.join("") }
              ]
            })
          })
        )
      )
    )

    it.live("shows thinking, dimmed, before the answer", () =>
      onServer({ model: "think" }, ({ url }) =>
        Effect.scoped(
          Effect.gen(function* () {
            const { say } = yield* converse(url, "think")
            const dimmed = think.thinking.map((text) => `\u001B[2m${text}\u001B[22m`)
            yield* say("Why?\r", ...dimmed, think.content.join(""), "tokens/s")
          })
        )
      )
    )

    it.live("Ctrl-C stops an answer, and the server's slot is free for the next", () =>
      onServer({ model: "endless", parameters: { n_ctx: 65_536 } }, ({ untilGenerating, url }) =>
        Effect.scoped(
          Effect.gen(function* () {
            const { program, say } = yield* converse(url, "endless", { LOCAL_LLM_RAW: "true" })
            for (const prompt of ["Why?", "And then?"]) {
              yield* say(`${prompt}\r`, endless(100).join(""))
              yield* untilGenerating(1)
              yield* program.type(Conversation.ctrlC)
              expect(yield* untilGenerating(0)).toBeLessThan(1000)
              yield* say("", "stopped")
            }
            yield* program.type(Conversation.ctrlD)
            expect((yield* program.result).code).toBe(0)
          })
        )
      )
    )

    it.live("shows how much of a long prompt is read, and Ctrl-C stops reading it", () =>
      onServer({ model: "endless", parameters: { n_ctx: 65_536 } }, ({ untilGenerating, url }) =>
        Effect.scoped(
          Effect.gen(function* () {
            const { say } = yield* converse(url, "endless")
            yield* say(Conversation.paste("word\n".repeat(8000)), "word⏎")
            yield* say("\r", "reading the prompt, ", " %")
            yield* say(Conversation.ctrlC, "stopped")
            yield* untilGenerating(0)
          })
        )
      )
    )

    it.live("reports that the conversation does not fit, and what to do", () =>
      onServer({ model: "sky", parameters: { n_ctx: 512 } }, ({ url }) =>
        Effect.scoped(
          Effect.gen(function* () {
            const { say } = yield* converse(url, "sky")
            yield* say(`${"x".repeat(150)}\r`, "leaving red.", "tokens/s")
            yield* say(`${"x".repeat(150)}\r`, "512 fit", "/clear forgets the conversation")
            yield* say("/clear\r", "forgotten")
            yield* say("Why?\r", "leaving red.", "tokens/s")
          })
        )
      )
    )
  })

  it.live("reports in one line that the prompt does not fit", () =>
    onServer({ model: "sky", parameters: { n_ctx: 512 } }, ({ url }) =>
      Effect.gen(function* () {
        const args = ["--provider", "lmstudio", "--url", url, "--model", "sky"]
        const { code, stderr } = yield* CommandLine.run(args, { input: "x".repeat(2000) })
        expect(stderr).toMatch(isOneLine)
        expect(stderr).toContain("(2004 tokens, 512 fit)")
        expect(code).toBe(1)
      })
    )
  )
})
