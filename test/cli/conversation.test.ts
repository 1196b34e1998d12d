/** A conversation on a pseudo-terminal. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "../support/commandLine.ts"

const messagesOf = (body: unknown): ReadonlyArray<unknown> =>
  Predicate.hasProperty(body, "messages") && Array.isArray(body.messages) ? body.messages : []

const chats = ({ requests }: FakeServer.State) => requests.filter(({ path }) => path === "/api/chat")

const start = Effect.fnUntraced(function* (script: FakeServer.Script, args: ReadonlyArray<string> = []) {
  const server = yield* FakeServer.make(script, { models: ["m:latest", "n:latest"] })
  const program = yield* CommandLine.startOnTerminal(args, {
    env: { OLLAMA_HOST: server.url, TERM: "xterm" },
    keepStdinOpen: true
  })
  yield* program.until(({ stdout }) => stdout.includes("> "))
  let seen = 0
  /** Types a line, and waits for a text after what was there before. */
  const say = Effect.fnUntraced(function* (line: string, answer: string) {
    yield* program.type(line)
    yield* program.until(({ stdout }) => {
      const at = stdout.indexOf(answer, seen)
      if (at !== -1) seen = at + answer.length
      return at !== -1
    })
  })
  return { server, program, say }
})

describe.skipIf(!CommandLine.hasTerminals)("a conversation", () => {
  it.live("has turns, commands and an end", () =>
    Effect.gen(function* () {
      const { say, server, program } = yield* start(
        ({ body }) => ({ text: `answer to ${messagesOf(body).length}` }),
        ["-s", "Be brief.", "--seed", "7"]
      )
      yield* say("Why?\r", "answer to 2")
      yield* say("", "tokens")
      yield* say("And then?\r", "answer to 4")
      yield* say("", "tokens")
      const file = Path.join(Fs.mkdtempSync(Path.join(Os.tmpdir(), "local-llm-")), "chat.json")
      yield* say(`/save ${file}\r`, "saved to")
      expect(JSON.parse(Fs.readFileSync(file, "utf8"))).toMatchObject({
        model: "m:latest",
        messages: [
          { content: "Why?" },
          { content: "answer to 2" },
          { content: "And then?" },
          { content: "answer to 4" }
        ]
      })
      yield* say("/model x\r", 'there is no model "x"')
      yield* say("/model n\r", "n answers from now on")
      yield* say("/system\r", "no system message")
      yield* say("/clear\r", "forgotten")
      yield* say("/nonsense\r", "there is no command /nonsense")
      yield* say("/help\r", "as Ctrl-D does")
      yield* say("New?\r", "answer to 1")
      yield* say("", "tokens")
      yield* program.type("\u0004")
      expect((yield* program.result).code).toBe(0)
      const requests = chats(yield* server.state)
      expect(requests.map(({ body }) => messagesOf(body).length)).toEqual([2, 4, 1])
      expect(requests[0]?.body).toMatchObject({ model: "m:latest", options: { seed: 7 } })
      expect(requests[2]?.body).toMatchObject({ model: "n" })
    })
  )

  it.live("Ctrl-C stops an answer, not the program, and closes the connection", () =>
    Effect.gen(function* () {
      const endless = {
        pieces: {
          *[Symbol.iterator]() {
            for (;;) yield "word "
          }
        },
        delay: { between: 2 }
      }
      const { say, server, program } = yield* start(endless)
      yield* say("Why?\r", "word word word")
      yield* program.type("\u0003")
      yield* server.until((state) => chats(state)[0]?.outcome === "cut-by-client")
      yield* program.until(({ stdout }) => stdout.includes("stopped"))
      yield* server.setScript({ text: "Still here." })
      yield* say("Again?\r", "Still here.")
      // At the prompt, it clears the line.
      yield* say("not this\u0003", "^C")
      yield* program.type("\u0004")
      expect((yield* program.result).code).toBe(0)
      const last = messagesOf(chats(yield* server.state).at(-1)?.body)
      expect(last.length).toBe(3)
    })
  )

  it.live("a failure is one line, and the conversation goes on", () =>
    Effect.gen(function* () {
      const { say, server, program } = yield* start(({ path }) =>
        path === "/api/chat" ? { status: 500, body: { error: "out of memory" } } : { text: "" }
      )
      yield* say("Why?\r", "out of memory")
      yield* server.setScript({ text: "Better." })
      yield* say("Again?\r", "Better.")
      yield* program.type("\u0004")
      expect((yield* program.result).code).toBe(0)
      // The question that failed is not part of the conversation.
      expect(messagesOf(chats(yield* server.state).at(-1)?.body).length).toBe(1)
    })
  )

  it.live(
    "a slow answer has a spinner, which is gone when it begins; control sequences of the model are replaced",
    () =>
      Effect.gen(function* () {
        const { say, program } = yield* start({ text: "\u001B[2Jevil", delay: { first: 1000 } })
        yield* say("Why?\r", "loading the model")
        yield* say("", "␛[2Jevil")
        yield* program.type("\u0004")
        const { code, stdout } = yield* program.result
        expect(code).toBe(0)
        expect(stdout).not.toContain("\u001B[2J")
      })
  )
})
