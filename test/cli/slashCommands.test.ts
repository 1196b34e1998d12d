/** The commands of a conversation that ask again, change options, copy, and add files; and what they keep. */
import { describe, expect, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import type * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "../support/commandLine.ts"
import { chats, ctrlC, ctrlD, messagesOf, onlyChats, start, startWithFake, tab } from "../support/conversation.ts"

vi.setConfig({ testTimeout: 60_000 })

const makeFolder = (): string => Fs.mkdtempSync(Path.join(Os.tmpdir(), "local-llm-"))

/** A program that a shell runs. */
const makeProgram = (folder: string, name: string, script: string): string => {
  const path = Path.join(folder, name)
  Fs.writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  return path
}

const answers: FakeServer.Script = ({ body }) => ({ text: `answer to ${messagesOf(body).length}` })

describe.skipIf(!CommandLine.hasTerminals)("a conversation", () => {
  it.live("asks again with /retry, and with /edit in the line; a failure keeps what was there", () =>
    Effect.gen(function* () {
      const home = makeFolder()
      const { program, say, server } = yield* startWithFake(answers, { env: { HOME: home } })
      yield* say("/retry\r", "nothing was asked yet")
      yield* say("/edit\r", "nothing was asked yet")
      yield* say("One?\r", "answer to 1", "tokens")
      yield* say("Two?\r", "answer to 3", "tokens")
      yield* say("/retry\r", "answer to 3", "tokens")
      yield* server.setScript(onlyChats({ status: 500, body: { error: "out of memory" } }))
      yield* say("/retry\r", "out of memory")
      yield* say("Failed?\r", "out of memory")
      yield* server.setScript(answers)
      // The question that failed.
      yield* say("/retry\r", "answer to 5", "tokens")
      yield* say("/edit\r", "Failed?")
      yield* say("\u007F and fixed?\r", "answer to 5", "tokens")
      yield* say("/edit\r", "Failed and fixed?")
      yield* say(ctrlC, "nothing is changed")
      yield* program.type(ctrlD)
      expect((yield* program.result).code).toBe(0)
      const contents = chats(yield* server.state).map((messages) => messages.map((message) => Object(message).content))
      expect(contents[2]).toEqual(contents[1])
      expect(contents[3]).toEqual(contents[1])
      expect(contents.slice(4)).toEqual([
        ["One?", "answer to 1", "Two?", "answer to 3", "Failed?"],
        ["One?", "answer to 1", "Two?", "answer to 3", "Failed?"],
        ["One?", "answer to 1", "Two?", "answer to 3", "Failed and fixed?"]
      ])
      // It goes on in another program.
      const second = yield* start(["-c"], { HOME: home, OLLAMA_HOST: server.url })
      yield* second.say("/retry\r", "answer to 5", "tokens")
      yield* second.say("/clear\r", "forgotten")
      yield* second.say("/retry\r", "nothing was asked yet")
      expect(chats(yield* server.state).at(-1)).toHaveLength(5)
    })
  )

  it.live("asks again with /edit in the editor of the user, which gets the terminal", () =>
    Effect.gen(function* () {
      const folder = makeFolder()
      // It reads a line of the terminal, as it is typed there.
      const typing = makeProgram(
        folder,
        "typing",
        'stat -c "mode %a" "$2"; echo "asks $1"; read line; printf "%s\\n" "$line" > "$2"'
      )
      const { say, server, program } = yield* startWithFake(answers, {
        env: { HOME: folder, EDITOR: `${typing} --wait` }
      })
      yield* say("One?\r", "answer to 1", "tokens")
      yield* say("/edit\r", "mode 600", "asks --wait")
      yield* say("Another?\n", "answer to 1", "tokens")
      yield* say("/edit\r", "asks --wait")
      yield* say("Another?\n", "nothing is changed")
      // Keys reach the line again, and Ctrl-C is a key.
      yield* say("Line", "Line")
      yield* say(ctrlC, "^C")
      yield* say("Three?\r", "answer to 3", "tokens")
      yield* program.type(ctrlD)
      expect((yield* program.result).code).toBe(0)
      expect(chats(yield* server.state)).toMatchObject([
        [{ content: "One?" }],
        [{ content: "Another?" }],
        [{ content: "Another?" }, { content: "answer to 1" }, { content: "Three?" }]
      ])
    })
  )

  it.live("has options that /set and /think change", () =>
    Effect.gen(function* () {
      const { say, server } = yield* startWithFake(
        { text: "Yes." },
        { args: ["-t", "0.5"], env: { HOME: makeFolder() } }
      )
      yield* say("/set\r", "temperature  0.5", "maxTokens    the model's own")
      yield* say("/set temperature 3\r", "temperature: Expected a value between 0 and 2")
      yield* say("/set warmth 1\r", "there is no option warmth")
      yield* say("/set temperature 1\r", "temperature: 1")
      yield* say("/set max-tokens 7\r", "maxTokens: 7")
      yield* say('/set stop ["a,b"]\r', 'stop: ["a,b"]')
      yield* say(`/set se${tab}9\r`, "seed: 9")
      yield* say("/think much\r", 'think: Expected "on"')
      yield* say("/think off\r", 'think: "off"')
      yield* say("Why?\r", "Yes.", "tokens")
      yield* say("/set temperature\r", "temperature: the model's own")
      yield* say("/think\r", "think: the model's own")
      yield* say("Why?\r", "Yes.", "tokens")
      const bodies = (yield* server.state).requests.filter(({ path }) => path === "/api/chat").map(({ body }) => body)
      expect(bodies[0]).toMatchObject({
        think: false,
        options: { temperature: 1, num_predict: 7, stop: ["a,b"], seed: 9 }
      })
      expect(bodies[1]).not.toHaveProperty("think")
      expect(bodies[1]).not.toHaveProperty("options.temperature")
    })
  )

  it.live("copies the last answer or its code, and adds files of text to a prompt", () =>
    Effect.gen(function* () {
      const folder = makeFolder()
      const text = "So:\n```sh\nls\n```\nor\n~~~ts\nconst a = `1`\n~~~\nDone."
      Fs.writeFileSync(Path.join(folder, "notes.txt"), "remember\n")
      const { say, server, program } = yield* startWithFake({ text }, { env: { HOME: folder } })
      yield* say("/copy\r", "there is no answer to copy")
      yield* say("/file ~/missing.txt\r", "cannot be read: there is no such file")
      yield* say("/file ~/notes.txt\r", "files with the next prompt: 1")
      yield* say("Why?\r", "Done.", "tokens")
      yield* say("/copy\r", "copied", "by the terminal")
      yield* say("/copy code\r", "copied", "by the terminal")
      const { stdout } = yield* program.output
      const copied = stdout
        .split("\u001B]52;c;")
        .slice(1)
        .map((sequence) => Buffer.from(sequence.split("\u0007")[0] ?? "", "base64").toString())
      expect(copied).toEqual([text, "const a = `1`\n"])
      yield* say("Sure?\r", "Done.", "tokens")
      const question = "~/notes.txt:\n```txt\nremember\n```\n\nWhy?"
      expect(chats(yield* server.state)[1]).toMatchObject([{ content: question }, {}, { content: "Sure?" }])
      expect(chats(yield* server.state)[1]).toHaveLength(3)
      // A question that is asked again leaves the file for the next prompt.
      yield* say("/file ~/notes.txt\r", "files with the next prompt: 1")
      yield* say("/retry\r", "Done.", "tokens")
      yield* say("With it?\r", "Done.", "tokens")
      yield* say("/retry\r", "Done.", "tokens")
      yield* say("Without?\r", "Done.", "tokens")
      const questions = chats(yield* server.state).map((messages) => Object(messages.at(-1)).content)
      const withFile = question.replace("Why?", "With it?")
      expect(questions.slice(2)).toEqual(["Sure?", withFile, withFile, "Without?"])

      // With a program of the desktop.
      makeProgram(folder, "wl-copy", `cat > ${Path.join(folder, "clipboard")}`)
      const env = { HOME: folder, OLLAMA_HOST: server.url, WAYLAND_DISPLAY: "wayland-0" }
      const second = yield* start([], { ...env, PATH: `${folder}:${process.env["PATH"]}` })
      yield* second.say("Why?\r", "Done.", "tokens")
      yield* second.say("/copy\r", "by wl-copy")
      expect(Fs.readFileSync(Path.join(folder, "clipboard"), "utf8")).toBe(text)
    })
  )
})
