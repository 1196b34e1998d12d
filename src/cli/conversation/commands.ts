/** The commands of a conversation. */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as Path from "effect/Path"
import type { ProviderError } from "../../ProviderError.ts"
import type { Provider } from "../../Provider.ts"
import type { CommandFailed } from "../failure.ts"
import * as Output from "../output.ts"
import * as Text from "../text.ts"
import * as Files from "./files.ts"

export interface Session {
  readonly provider: Provider
  model: string
  system: string | undefined
  messages: ReadonlyArray<Files.Message>
  /** They belong to the next prompt. */
  images: ReadonlyArray<Uint8Array>
  /** The model of the last completion. */
  answeredBy: string | undefined
  isOver: boolean
}

type Failure = ProviderError | CommandFailed | Output.WriteFailed

type Run = (session: Session, value: string) => Effect.Effect<void, Failure, FileSystem.FileSystem | Path.Path>

interface Command {
  readonly names: readonly [string, ...ReadonlyArray<string>]
  readonly argument?: string
  readonly help: string
  readonly run: Run
  /** What its argument may be. */
  readonly values?: (session: Session) => Effect.Effect<ReadonlyArray<string>, ProviderError>
}

const modelNames = ({ provider }: Session) => Effect.map(provider.listModels, (models) => models.map(({ id }) => id))

const setModel: Run = Effect.fnUntraced(function* (session, value) {
  const { provider } = session
  const names = yield* modelNames(session)
  if (value === "") {
    return yield* writeLines(names.map((name) => `${provider.isSameModel(name, session.model) ? "*" : " "} ${name}`))
  }
  if (!names.some((name) => provider.isSameModel(name, value))) {
    return yield* Output.note(`local-llm: there is no model "${value}"; /model lists them`)
  }
  session.model = value
  yield* Output.dimNote(`${value} answers from now on`)
})

const setSystem: Run = (session, value) => {
  session.system = value === "" ? undefined : value
  return Output.dimNote(value === "" ? "no system message" : "the system message is set")
}

const clear: Run = (session) => {
  session.messages = []
  session.images = []
  return Output.dimNote("the conversation is forgotten")
}

const withFile =
  (run: Run): Run =>
  (session, name) =>
    name === "" ? Output.note("local-llm: give the name of a file after the command") : run(session, name)

const addImage = withFile(
  Effect.fnUntraced(function* (session, name) {
    session.images = [...session.images, yield* Files.read(name)]
    yield* Output.dimNote(`images with the next prompt: ${session.images.length}`)
  })
)

const save = withFile(
  Effect.fnUntraced(function* ({ messages, model, system }, name) {
    yield* Files.save(name, { model, messages, ...(system === undefined ? {} : { system }) })
    yield* Output.dimNote(`saved to ${name}`)
  })
)

const load = withFile(
  Effect.fnUntraced(function* (session, name) {
    const { messages, system } = yield* Files.load(name)
    session.messages = messages
    session.system = system
    yield* Output.dimNote(`loaded ${messages.length} messages; ${session.model} answers`)
  })
)

const end: Run = (session) => {
  session.isOver = true
  return Effect.void
}

const writeLines = (lines: ReadonlyArray<string>) =>
  Output.write(lines.map((line) => `${Text.toSingleLine(line)}\n`).join(""))

const commands: ReadonlyArray<Command> = [
  {
    names: ["/model"],
    argument: "NAME",
    help: "another model; without a name, the models of the server",
    run: setModel,
    values: modelNames
  },
  { names: ["/system"], argument: "TEXT", help: "another system message; without a text, none", run: setSystem },
  { names: ["/image"], argument: "FILE", help: "adds an image to the next prompt", run: addImage },
  { names: ["/clear"], help: "forgets the conversation", run: clear },
  { names: ["/save"], argument: "FILE", help: "writes the conversation to a file, as JSON", run: save },
  { names: ["/load"], argument: "FILE", help: "continues a conversation that was saved", run: load },
  { names: ["/help"], help: "shows these lines", run: () => writeLines(helpLines()) },
  { names: ["/bye", "/exit"], help: "ends the program, as Ctrl-D does", run: end }
]

const helpLines = (): ReadonlyArray<string> => [
  ...commands.map(({ argument = "", help, names }) => `${`${names.join(", ")} ${argument}`.padEnd(16)}${help}`),
  '"""             begins a prompt of several lines, which ends with """. Pasted lines are one prompt',
  "Up, Down        earlier prompts, also of earlier conversations unless LOCAL_LLM_NOHISTORY is set",
  "Tab             completes commands and models",
  "Ctrl-C          stops an answer or clears the line. Text of a stopped answer stays in the conversation"
]

export const isCommand = (text: string): boolean => text.startsWith("/") && !text.includes("\n")

const parse = (line: string) => {
  const [name = ""] = line.split(" ", 1)
  return { name, value: line.slice(name.length).trim(), command: commands.find(({ names }) => names.includes(name)) }
}

export const run = (session: Session, line: string) => {
  const { command, name, value } = parse(line)
  if (command !== undefined) return command.run(session, value)
  return Output.note(`local-llm: there is no command ${name}; /help shows them. A prompt may begin with / between """`)
}

/** The lines that a line may become: the commands that begin like it, or a command with each possible argument. */
export const complete =
  (session: Session) =>
  (line: string): Effect.Effect<ReadonlyArray<string>> => {
    const { command, name, value } = parse(line)
    if (name === line) {
      const all = commands.flatMap(({ argument, names }) => names.map((name) => (argument ? `${name} ` : name)))
      return Effect.succeed(all.filter((completed) => name.startsWith("/") && completed.startsWith(name)))
    }
    const values = command?.values?.(session) ?? Effect.succeed([])
    // A name with control characters would reach the terminal.
    const fits = (each: string): boolean => each.startsWith(value) && Text.toSingleLine(each) === each
    return values.pipe(
      Effect.timeout("2 seconds"),
      Effect.map((values) => values.filter(fits).map((each) => `${name} ${each}`)),
      Effect.orElseSucceed(() => [])
    )
  }
