/** A conversation with the command line, on a pseudo-terminal. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "./commandLine.ts"

export const enter = "\r"
export const ctrlC = "\u0003"
export const ctrlD = "\u0004"
export const up = "\u001B[A"
export const tab = "\t"

/** What a terminal sends for a text that is pasted. */
export const paste = (text: string): string => `\u001B[200~${text}\u001B[201~`

/** Starts a conversation, and waits until it can be typed in. */
export const start = Effect.fnUntraced(function* (
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>>,
  before = ""
) {
  // The process reports its id, for signals.
  const script = `${before}echo pid=$$; exec ${CommandLine.shellCommand(args)}`
  const program = yield* CommandLine.startShell('exec script -qec "$CONVERSATION" /dev/null', {
    env: { TERM: "xterm", CONVERSATION: script, ...env },
    keepStdinOpen: true
  })
  let seen = 0
  /** Types a text, and waits for another text after those that were waited for before. */
  const say = Effect.fnUntraced(function* (text: string, ...answers: ReadonlyArray<string>) {
    if (text !== "") yield* program.type(text)
    for (const answer of answers) {
      yield* program.until(({ stdout }) => {
        const at = stdout.indexOf(answer, seen)
        if (at !== -1) seen = at + answer.length
        return at !== -1
      })
    }
  })
  yield* say("", "pid=", "> ")
  const pid = Number(/pid=(\d+)/.exec((yield* program.output).stdout)?.[1])
  return { program, say, signal: (name: NodeJS.Signals) => Effect.sync(() => process.kill(pid, name)) }
})

/** Starts a conversation with a fake Ollama. */
export const startWithFake = Effect.fnUntraced(function* (
  script: FakeServer.Script,
  {
    args = [],
    before,
    env = {}
  }: {
    readonly args?: ReadonlyArray<string>
    readonly env?: Readonly<Record<string, string>>
    /** Shell commands that run before it. */
    readonly before?: string
  } = {}
) {
  const server = yield* FakeServer.make(script, { models: ["m:latest", "n:latest", "n:small"] })
  const conversation = yield* start(args, { OLLAMA_HOST: server.url, ...env }, before)
  return { server, ...conversation }
})

export const messagesOf = (body: unknown): ReadonlyArray<unknown> =>
  Predicate.hasProperty(body, "messages") && Array.isArray(body.messages) ? body.messages : []

/** The messages of each chat request. */
export const chats = ({ requests }: FakeServer.State): ReadonlyArray<ReadonlyArray<unknown>> =>
  requests.filter(({ path }) => path === "/api/chat").map(({ body }) => messagesOf(body))

/** An answer to chat requests, and the usual ones to all others. */
export const onlyChats =
  (answer: FakeServer.Answer): FakeServer.Script =>
  ({ path }) =>
    path === "/api/chat" ? answer : { text: "" }
