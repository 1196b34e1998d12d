/** A conversation on a pseudo-terminal: turns, commands, what is kept, and how it ends. */
import { describe, expect, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "../support/commandLine.ts"
import {
  chats,
  ctrlC,
  ctrlD,
  enter,
  messagesOf,
  onlyChats,
  start,
  startWithFake,
  tab
} from "../support/conversation.ts"

const makeFolder = (): string => Fs.mkdtempSync(Path.join(Os.tmpdir(), "local-llm-"))

const isChatCut = ({ requests }: FakeServer.State): boolean =>
  requests.some(({ outcome, path }) => path === "/api/chat" && outcome === "cut-by-client")

const endless: FakeServer.Answer = { pieces: FakeServer.endless("word "), delay: { between: 2 } }

// Several programs start in some of them.
vi.setConfig({ testTimeout: 60_000 })

describe.skipIf(!CommandLine.hasTerminals)("a conversation", () => {
  it.live("has turns, commands and an end", () =>
    Effect.gen(function* () {
      const { say, server, program } = yield* startWithFake(
        ({ body }) => ({ text: `answer to ${messagesOf(body).length}` }),
        { args: ["-s", "Be brief.", "--seed", "7"] }
      )
      yield* say("Why?\r", "answer to 2", "tokens")
      yield* say("And then?\r", "answer to 4", "tokens")
      yield* say("/model\r", "* m:latest", "  n:latest")
      yield* say("/model x\r", 'there is no model "x"')
      yield* say("/model n\r", "n answers from now on")
      yield* say("/system\r", "no system message")
      yield* say("/clear\r", "forgotten")
      yield* say("/nonsense\r", "there is no command /nonsense")
      yield* say("/save\r", "give the name of a file")
      yield* say("/help\r", "/model NAME", "as Ctrl-D does", "Ctrl-C")
      yield* say("New?\r", "answer to 1", "tokens")
      yield* program.type("/bye\r")
      expect((yield* program.result).code).toBe(0)
      const { requests } = yield* server.state
      expect(chats({ ...(yield* server.state) }).map(({ length }) => length)).toEqual([2, 4, 1])
      const bodies = requests.filter(({ path }) => path === "/api/chat").map(({ body }) => body)
      expect(bodies[0]).toMatchObject({ model: "m:latest", options: { seed: 7 } })
      expect(bodies[2]).toMatchObject({ model: "n" })
    })
  )

  it.live("is saved and continued by another program", () =>
    Effect.gen(function* () {
      const home = makeFolder()
      const first = yield* startWithFake({ text: "Rayleigh 😀." }, { args: ["-s", "Be brief."], env: { HOME: home } })
      yield* first.say("Why?\r", "Rayleigh", "tokens")
      yield* first.server.setScript(endless)
      yield* first.say("More?\r", "word word")
      yield* first.say(ctrlC, "stopped")
      yield* first.say("/save ~/chat.json\r", "saved to")
      const other = Path.join(home, "other.txt")
      Fs.writeFileSync(other, "precious")
      yield* first.say(`/save ${other}\r`, "is not a conversation")
      expect(Fs.readFileSync(other, "utf8")).toBe("precious")
      yield* first.say(ctrlD)
      yield* first.program.result
      expect(Fs.statSync(Path.join(home, "chat.json")).mode & 0o777).toBe(0o600)
      const saved = JSON.parse(Fs.readFileSync(Path.join(home, "chat.json"), "utf8"))
      expect(saved).toEqual({
        model: "m:latest",
        system: "Be brief.",
        messages: [
          { role: "user", content: "Why?" },
          { role: "assistant", content: "Rayleigh 😀." },
          { role: "user", content: "More?" },
          { role: "assistant", content: expect.stringMatching(/^(word )+$/), incomplete: "stopped" }
        ]
      })

      const second = yield* startWithFake({ text: "Indeed." }, { env: { HOME: home } })
      yield* second.say(`/load ${other}\r`, "is not a conversation")
      yield* second.say("/load ~/nothing.json\r", "cannot be read: there is no such file")
      yield* second.say("/load ~/chat.json\r", "loaded 4 messages")
      yield* second.say("So?\r", "Indeed.", "tokens")
      const [messages] = chats(yield* second.server.state)
      expect(messages).toEqual([
        { role: "system", content: "Be brief." },
        { role: "user", content: "Why?" },
        { role: "assistant", content: "Rayleigh 😀." },
        { role: "user", content: "More?" },
        { role: "assistant", content: saved.messages[3].content },
        { role: "user", content: "So?" }
      ])
    })
  )

  it.live("sends an image with the next prompt, and keeps it in the conversation and in its file", () =>
    Effect.gen(function* () {
      const folder = makeFolder()
      const image = Buffer.from([0x89, 0x50, 0x4e, 0x47, 1, 2, 3])
      Fs.writeFileSync(Path.join(folder, "a.png"), image)
      const capabilities = ["completion", "vision"]
      const { say, server } = yield* startWithFake(
        ({ path }): FakeServer.Answer =>
          path === "/api/show" ? { status: 200, body: { capabilities } } : { text: "A cat." },
        { env: { HOME: folder } }
      )
      yield* say("/image ~/b.png\r", "cannot be read: there is no such file")
      yield* say("/image ~/a.png\r", "images with the next prompt: 1")
      yield* say("What?\r", "A cat.", "tokens")
      yield* say("Sure?\r", "A cat.", "tokens")
      const base64 = image.toString("base64")
      expect(chats(yield* server.state)[1]).toEqual([
        { role: "user", content: "What?", images: [base64] },
        { role: "assistant", content: "A cat." },
        { role: "user", content: "Sure?" }
      ])
      yield* say("/save ~/chat.json\r", "saved to")
      yield* say("/clear\r", "forgotten")
      yield* say("/load ~/chat.json\r", "loaded 4 messages")
      yield* say("Again?\r", "A cat.", "tokens")
      expect(chats(yield* server.state)[2]?.[0]).toMatchObject({ images: [base64] })
    })
  )

  it.live("Ctrl-C stops an answer, not the program, and closes the connection; its text is kept", () =>
    Effect.gen(function* () {
      const { say, server, program } = yield* startWithFake(endless)
      yield* say("Why?\r", "word word word")
      yield* program.type(ctrlC)
      yield* server.until(isChatCut)
      yield* say("", "stopped")
      // Also before it begins.
      yield* say(`Why?${enter}${ctrlC}`, "stopped")
      yield* server.setScript({ text: "Still here." })
      yield* say("Again?\r", "Still here.", "tokens")
      // At the prompt, it clears the line.
      yield* say(`not this${ctrlC}`, "^C")
      yield* say(ctrlC, "Ctrl-D or /bye ends the program")
      yield* program.type(ctrlD)
      expect((yield* program.result).code).toBe(0)
      const last = chats(yield* server.state).at(-1)
      expect(last).toEqual([
        { role: "user", content: "Why?" },
        { role: "assistant", content: expect.stringContaining("word word word") },
        { role: "user", content: "Again?" }
      ])
    })
  )

  it.live("Ctrl-C stops endless thinking and a command that waits; of those, nothing is kept", () =>
    Effect.gen(function* () {
      const { say, server, program } = yield* startWithFake({
        pieces: FakeServer.endless({ thinking: "hm " }),
        delay: { between: 2 }
      })
      yield* say("Why?\r", "hm", "hm", "hm")
      yield* say(ctrlC, "stopped")
      yield* server.setScript(({ path }): FakeServer.Answer =>
        path === "/api/tags" ? FakeServer.silence : { text: "Better." }
      )
      yield* program.type("/model n\r")
      yield* server.until(({ requests }) => requests.at(-1)?.path === "/api/tags")
      yield* say(ctrlC, "stopped")
      yield* server.until(({ requests }) => requests.at(-1)?.outcome === "cut-by-client")
      // The list that a completion needs is not waited for, neither by further keys nor by the end.
      yield* program.type(`/model n${tab}`)
      yield* server.until(({ requests }) => requests.at(-1)?.path === "/api/tags")
      yield* say(ctrlC, "^C")
      yield* say("Again?\r", "Better.", "tokens")
      expect(chats(yield* server.state).at(-1)).toEqual([{ role: "user", content: "Again?" }])
      yield* program.type(`/model n${tab}`)
      yield* server.until(({ requests }) => requests.at(-1)?.path === "/api/tags")
      yield* program.type(`${ctrlC}${ctrlD}`)
      expect((yield* program.result).code).toBe(0)
    })
  )

  it.live("a failure is one line, and the conversation goes on without the question and its incomplete answer", () =>
    Effect.gen(function* () {
      const { say, server, program } = yield* startWithFake(
        onlyChats({ status: 500, body: { error: "out of memory" } })
      )
      yield* say("Why?\r", "out of memory")
      yield* server.setScript({ text: "Only a part", cut: { how: "reset" } })
      yield* say("Why?\r", "Only a part", "local-llm: ", "the incomplete answer is not kept")
      yield* server.setScript({ thinking: "hm" })
      yield* say("Why?\r", "hm", "the answer is empty and not kept")
      yield* server.setScript(onlyChats({ status: 400, body: { error: "the prompt exceeds the available context" } }))
      yield* say("Why?\r", "local-llm: ", "/clear forgets", "--context")
      yield* server.setScript({ text: "I", toolCalls: [{ id: "1", name: "rm\u001B[2J", arguments: {} }] })
      yield* say("Why?\r", "there are none here: rm␛[2J", "ended by tool-calls")
      yield* server.setScript({ text: "Better." })
      yield* say("Again?\r", "Better.", "tokens")
      yield* program.type(ctrlD)
      expect((yield* program.result).code).toBe(0)
      expect(chats(yield* server.state).at(-1)).toEqual([
        { role: "user", content: "Why?" },
        { role: "assistant", content: "I" },
        { role: "user", content: "Again?" }
      ])
    })
  )

  it.live.each([
    { signal: "SIGTERM", code: 143 },
    { signal: "SIGHUP", code: 129 }
  ] as const)("ends on $signal, with the terminal restored and the connection closed", ({ code, signal }) =>
    Effect.gen(function* () {
      const conversation = yield* startWithFake(endless)
      yield* conversation.say("Why?\r", "word word word")
      yield* conversation.signal(signal)
      yield* conversation.server.until(isChatCut)
      const result = yield* conversation.program.result
      expect(result.code).toBe(code)
      // Pastes are no longer marked.
      expect(result.stdout.lastIndexOf("\u001B[?2004l")).toBeGreaterThan(result.stdout.lastIndexOf("\u001B[?2004h"))
    })
  )

  it.live("ends when its terminal has gone", () =>
    Effect.gen(function* () {
      const { program, say, server } = yield* startWithFake(endless)
      yield* say("Why?\r", "word word word")
      yield* program.kill("SIGKILL")
      yield* server.until(isChatCut)
    })
  )

  it.live("needs no control sequences", () =>
    Effect.gen(function* () {
      const { program, say, server } = yield* startWithFake(
        { thinking: "hm", text: "Because.", delay: { first: 600 } },
        { env: { TERM: "dumb" } }
      )
      yield* say(`Whyx\u007F?${enter}`, "hm", "Because.", "tokens")
      yield* say(`"""a${enter}b"""${enter}`, "Because.", "tokens")
      yield* program.type(ctrlD)
      const { code, stdout } = yield* program.result
      expect(code).toBe(0)
      // What the terminal itself writes for the Backspace key has no escape sequences either.
      expect(stdout).not.toContain("\u001B")
      expect(chats(yield* server.state).map((messages) => messages.at(-1))).toEqual([
        { role: "user", content: "Why?" },
        { role: "user", content: "a\nb" }
      ])
    })
  )

  it.live("is not dimmed with NO_COLOR", () =>
    Effect.gen(function* () {
      const { program, say } = yield* startWithFake({ thinking: "hm", text: "Because." }, { env: { NO_COLOR: "1" } })
      yield* say("Why?\r", "hm", "Because.", "tokens")
      yield* program.type(ctrlD)
      expect((yield* program.result).stdout).not.toContain("\u001B[2m")
    })
  )

  it.live("without a terminal on both sides, there is none", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make()
      const env = { OLLAMA_HOST: server.url, TERM: "xterm" }
      const toFile = `script -qec "${CommandLine.shellCommand([])} > /dev/null" /dev/null`
      const { code, stdout } = yield* CommandLine.runShell(toFile, { env })
      expect({ code, stdout }).toEqual({ code: 1, stdout: expect.stringContaining("the prompt is empty") })
      const fromPipe = `script -qec "echo Why | ${CommandLine.shellCommand([])}" /dev/null`
      const piped = yield* CommandLine.runShell(fromPipe, { env })
      expect(piped.stdout).toContain("This answer comes from a fake server.")
      expect(piped.code).toBe(0)
    })
  )

  it.live("starts without a model list when server and model are named", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ text: "Because." })
      const { say } = yield* start(["--provider", "ollama", "--url", server.url, "-m", "x"], {})
      yield* say("Why?\r", "Because.", "tokens")
      expect((yield* server.state).requests.map(({ path }) => path)).not.toContain("/api/tags")
    })
  )
})
