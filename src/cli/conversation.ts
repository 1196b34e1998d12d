/** A conversation on a terminal. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Cause from "effect/Cause"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import type { ChatRequest, Message } from "../CompletionRequest.ts"
import * as Provider from "../Provider.ts"
import * as Answer from "./answer.ts"
import * as Failure from "./failure.ts"
import * as LineEditor from "./lineEditor.ts"
import * as Output from "./output.ts"
import * as Spinner from "./spinner.ts"

export interface Settings {
  readonly provider: Provider.Provider
  readonly model: string
  readonly system: string | undefined
  readonly options: Omit<ChatRequest, "messages">
  readonly quiet: boolean
}

/** Whether a person sits at both ends. */
export const isPossible = Effect.gen(function* () {
  const stdio = yield* Stdio.Stdio
  return (yield* stdio.stdinIsTerminal) && (yield* stdio.stdoutIsTerminal)
})

const help = [
  "/model NAME    another model; without a name, the models of the server",
  "/system TEXT   another system message; without a text, none",
  "/clear         forget the conversation",
  "/save FILE     write the conversation to a file, as JSON",
  "/help          these lines",
  "Ctrl-C stops an answer. Ctrl-D ends the program."
]

interface State {
  model: string
  system: string | undefined
  messages: Array<Message>
}

export const run = Effect.fnUntraced(function* (settings: Settings) {
  const { provider, quiet } = settings
  const state: State = { model: settings.model, system: settings.system, messages: [] }
  const editor = yield* LineEditor.make(["/model ", "/system ", "/clear", "/save ", "/help"])
  if (!quiet) yield* Output.dimNote(`${state.model} on ${provider.name}. /help shows the commands`)

  const answer = Effect.fnUntraced(function* (content: string) {
    const asked: Array<Message> = [...state.messages, { role: "user", content }]
    let text = ""
    const system = state.system === undefined ? [] : [{ role: "system", content: state.system } as const]
    const spinner = yield* Spinner.start(provider, state.model, quiet)
    const observed = Provider.make({
      ...provider,
      stream: (request) =>
        Stream.mapEffect(provider.stream(request), (chunk) => {
          text += chunk.content
          return Effect.as(spinner.show(chunk), chunk)
        })
    })
    const request = { ...settings.options, model: state.model, messages: [...system, ...asked] }
    const fiber = yield* Effect.forkChild(Answer.print(observed, request, { quiet }))
    const exit = yield* editor.whileAnswering(Fiber.await(fiber), Fiber.interrupt(fiber))
    yield* spinner.stop
    // What was said before an interruption is part of the conversation.
    if (Exit.isSuccess(exit) || text !== "") state.messages = [...asked, { role: "assistant", content: text }]
    if (Exit.isSuccess(exit)) return
    const error = Cause.squash(exit.cause)
    if (Cause.hasInterruptsOnly(exit.cause)) return yield* Output.dimNote("stopped")
    if (error instanceof Output.ReaderGone || error instanceof Output.OutputFailed) return yield* error
    yield* Output.note(`local-llm: ${error instanceof Error ? Failure.describe(error) : "unknown error"}`)
  })

  for (;;) {
    const line = yield* editor.read
    if (line === undefined) return yield* Output.write("\n")
    const text = line.trim()
    if (text.startsWith("/")) yield* command(text, state, provider)
    else if (text !== "") yield* answer(text)
  }
})

const command = Effect.fnUntraced(function* (line: string, state: State, provider: Provider.Provider) {
  const [name = "", ...rest] = line.split(" ")
  const value = rest.join(" ").trim()
  switch (name) {
    case "/help":
      return yield* Effect.forEach(help, Output.dimNote, { discard: true })
    case "/clear":
      state.messages = []
      return yield* Output.dimNote("the conversation is forgotten")
    case "/system":
      state.system = value === "" ? undefined : value
      return yield* Output.dimNote(value === "" ? "no system message" : "the system message is set")
    case "/model":
      return yield* setModel(value, state, provider)
    case "/save":
      return yield* save(value, state)
    default:
      return yield* Output.note(`local-llm: there is no command ${name}; /help shows the commands`)
  }
})

const setModel = Effect.fnUntraced(function* (name: string, state: State, provider: Provider.Provider) {
  const models = yield* Effect.result(provider.listModels)
  if (models._tag === "Failure") return yield* Output.note(`local-llm: ${Failure.describe(models.failure)}`)
  if (name === "") return yield* Effect.forEach(models.success, ({ id }) => Output.dimNote(id), { discard: true })
  if (!models.success.some(({ id }) => provider.isSameModel(id, name))) {
    return yield* Output.note(`local-llm: there is no model "${name}"; /model lists them`)
  }
  state.model = name
  return yield* Output.dimNote(`${name} answers from now on`)
})

const save = Effect.fnUntraced(function* (file: string, { messages, model, system }: State) {
  if (file === "") return yield* Output.note("local-llm: give the name of a file, such as /save chat.json")
  const text = `${JSON.stringify({ model, system, messages }, null, 2)}\n`
  const saved = yield* Effect.result(FileSystem.FileSystem.use((files) => files.writeFileString(file, text)))
  return yield* saved._tag === "Success"
    ? Output.dimNote(`saved to ${file}`)
    : Output.note(`local-llm: ${file} cannot be written`)
})
