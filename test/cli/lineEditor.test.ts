/** Typing on a pseudo-terminal. */
import { describe, expect, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as CommandLine from "../support/commandLine.ts"
import { chats, ctrlC, ctrlD, enter, paste, startWithFake, tab, up } from "../support/conversation.ts"

const promptsOf = (state: Parameters<typeof chats>[0]) => chats(state).map((messages) => messages.at(-1))

const user = (content: string) => ({ role: "user", content })

// Several programs start in some of them.
vi.setConfig({ testTimeout: 60_000 })

describe.skipIf(!CommandLine.hasTerminals)("typing", () => {
  it.live("a pasted text is one prompt, also with line ends, and its control characters are dropped", () =>
    Effect.gen(function* () {
      const { say, server, program } = yield* startWithFake({ text: "Yes." })
      yield* say(`See: ${paste("one\rtwo\r\n\tthree\n中文 😀\u0003\u001B[A\u0004\n")}`, "two⏎")
      yield* say(` end${enter}`, "Yes.", "tokens")
      // It is in the history as one prompt, which can be edited.
      yield* say(`${up}\u007Fx${enter}`, "Yes.", "tokens")
      yield* say(paste("/bye\nis not a command"), "⏎")
      yield* say(enter, "Yes.", "tokens")
      yield* program.type(ctrlD)
      expect((yield* program.result).code).toBe(0)
      expect(promptsOf(yield* server.state)).toEqual([
        user("See: one\ntwo\n\tthree\n中文 😀\n end"),
        user("See: one\ntwo\n\tthree\n中文 😀\n enx"),
        user("/bye\nis not a command")
      ])
    })
  )

  it.live("a large paste takes no long time", () =>
    Effect.gen(function* () {
      const { say, server } = yield* startWithFake({ text: "Yes." })
      const text = "a line of text\n".repeat(10_000).trim()
      // A terminal takes some thousand bytes at once.
      yield* say(paste(text), "text⏎")
      yield* say(enter, "Yes.", "tokens")
      expect(promptsOf(yield* server.state)).toEqual([user(text)])
    })
  )

  it.live('a prompt between """ has several lines, and is recalled as one', () =>
    Effect.gen(function* () {
      const { say, server } = yield* startWithFake({ text: "Yes." })
      yield* say(`"""one${enter}`, "… ")
      yield* say(`/two${enter}${enter}three"""${enter}`, "Yes.", "tokens")
      yield* say(`${up}${enter}`, "Yes.", "tokens")
      yield* say(`"""dropped${enter}`, "… ")
      yield* say(ctrlC, "^C")
      yield* say(`"""/help"""${enter}`, "Yes.", "tokens")
      yield* say(`""""""${enter}"""${enter}"""${enter}last${enter}`, "Yes.", "tokens")
      const lines = user("one\n/two\n\nthree")
      expect(promptsOf(yield* server.state)).toEqual([lines, lines, user("/help"), user("last")])
    })
  )

  it.live("the history is kept between programs, in a private file", () =>
    Effect.gen(function* () {
      const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "local-llm-"))
      const env = { XDG_STATE_HOME: folder }
      const first = yield* startWithFake({ text: "Yes." }, { env })
      yield* first.say(`Why?${enter}`, "Yes.", "tokens")
      yield* first.say(`${paste("a\nb")}${enter}`, "Yes.", "tokens")
      yield* first.say(`/bye${enter}`)
      yield* first.program.result
      const file = Path.join(folder, "local-llm", "history")
      expect(Fs.readFileSync(file, "utf8")).toBe('"Why?"\n"a\\nb"\n"/bye"\n')
      expect(Fs.statSync(file).mode & 0o777).toBe(0o600)

      const second = yield* startWithFake({ text: "Yes." }, { env })
      yield* second.say(`${up}${up}${enter}`, "Yes.", "tokens")
      expect(promptsOf(yield* second.server.state)).toEqual([user("a\nb")])

      const off = yield* startWithFake({ text: "Yes." }, { env: { ...env, LOCAL_LLM_NOHISTORY: "1" } })
      yield* off.say(`${up}secret${enter}`, "Yes.", "tokens")
      expect(promptsOf(yield* off.server.state)).toEqual([user("secret")])
      expect(Fs.readFileSync(file, "utf8")).not.toContain("secret")
    })
  )

  it.live("Ctrl-Z without a shell that controls jobs changes nothing, neither at the prompt nor during an answer", () =>
    Effect.gen(function* () {
      const { say, server, program } = yield* startWithFake({ text: "Yes, indeed.", delay: { between: 1000 } })
      const ctrlZ = "\u001A"
      yield* say(`Why${ctrlZ}`, "Why", "> Why")
      yield* say(`?${enter}`, "Yes,")
      yield* say(ctrlZ, "indeed.", "tokens", "> ")
      // Ctrl-C is still a key.
      yield* say(`not this${ctrlC}`, "^C")
      yield* program.type(ctrlD)
      expect((yield* program.result).code).toBe(0)
      expect(promptsOf(yield* server.state)).toEqual([user("Why?")])
    })
  )

  it.live("Tab completes commands and models", () =>
    Effect.gen(function* () {
      const { say, program } = yield* startWithFake({ text: "Yes." })
      yield* say(`/mo${tab}`, "/model ")
      yield* say(`n:s${tab}`, "n:small")
      yield* say(enter, "n:small answers from now on")
      yield* say(`/${tab}${tab}`, "/system", "/bye")
      yield* say(ctrlC, "^C")
      yield* say(`/by${tab}${enter}`)
      expect((yield* program.result).code).toBe(0)
    })
  )

  it.live("keys during an answer are kept for the next prompt", () =>
    Effect.gen(function* () {
      const { say, server, program } = yield* startWithFake({ text: "Yes, indeed.", delay: { between: 300 } })
      yield* say(`one${enter}`, "Yes,")
      yield* say(`two${enter}th`, "indeed.", "tokens", "indeed.", "tokens", "th")
      yield* say(`ree${enter}`, "indeed.", "tokens")
      yield* say(`four${enter}`, "Yes,")
      yield* program.type(ctrlD)
      expect((yield* program.result).code).toBe(0)
      expect(promptsOf(yield* server.state)).toEqual(["one", "two", "three", "four"].map(user))
    })
  )

  it.live("a line that is wider than the terminal can be edited", () =>
    Effect.gen(function* () {
      const { say, server } = yield* startWithFake({ text: "Yes." }, { before: "stty cols 20; " })
      const left = "\u001B[D"
      yield* say("中文😀".repeat(8) + " abc", "abc")
      yield* say(`${left}${left}\u007F${"\u001B[H"}>${enter}`, "Yes.", "tokens")
      expect(promptsOf(yield* server.state)).toEqual([user(`>${"中文😀".repeat(8)} bc`)])
    })
  )
})
