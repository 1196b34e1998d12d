/** The commands of a conversation. */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as Path from "effect/Path"
import type { ProviderError } from "../../ProviderError.ts"
import type { Provider } from "../../Provider.ts"
import type { CommandFailed } from "../failure.ts"
import * as Output from "../output.ts"
import * as Files from "./files.ts"
import * as Text from "../text.ts"

export interface Session {
  readonly provider: Provider
  model: string
  system: string | undefined
  messages: ReadonlyArray<Files.Message>
  /** They belong to the next prompt. */
  images: ReadonlyArray<Uint8Array>
  /** The model that answered last. */
  answeredBy: string | undefined
  isOver: boolean
}

interface Command {
  readonly names: readonly [string, ...ReadonlyArray<string>]
  readonly argument?: string
  readonly help: string
  readonly run: (session: Session, value: string) => Effect.Effect<void, Failure, FileSystem.FileSystem | Path.Path>
  /** What its argument may be. */
  readonly values?: (session: Session) => Effect.Effect<ReadonlyArray<string>, ProviderError>
}

type Failure = ProviderError | CommandFailed | Output.WriteFailed

const modelNames = ({ provider }: Session) => Effect.map(provider.listModels, (models) => models.map(({ id }) => id))

const setModel: Command["run"] = Effect.fnUntraced(function* (session, value) {
  const { provider } = session
  const names = yield* modelNames(session)
  if (value === "") {
    const mark = (name: string) => (provider.isSameModel(name, session.model) ? "*" : " ")
    return yield* writeLines(names.map((name) => `${mark(name)} ${name}`))
  }
  if (!names.some((name) => provider.isSameModel(name, value))) {
    return yield* Output.note(`local-llm: there is no model "${value}"; /model lists them`)
  }
  session.model = value
  return yield* Output.dimNote(`${value} answers from now on`)
})

const setSystem: Command["run"] = (session, value) => {
  session.system = value === "" ? undefined : value
  return Output.dimNote(value === "" ? "no system message" : "the system message is set")
}

const addImage = Effect.fnUntraced(function* (session: Session, name: string) {
  const image = yield* Files.read(name)
  session.images = [...session.images, image]
  yield* Output.dimNote(`images with the next prompt: ${session.images.length}`)
})

const clear: Command["run"] = (session) => {
  session.messages = []
  session.images = []
  return Output.dimNote("the conversation is forgotten")
}

const save = Effect.fnUntraced(function* ({ messages, model, system }: Session, name: string) {
  yield* Files.save(name, { model, messages, ...(system === undefined ? {} : { system }) })
  yield* Output.dimNote(`saved to ${name}`)
})

const load = Effect.fnUntraced(function* (session: Session, name: string) {
  const { messages, system } = yield* Files.load(name)
  session.messages = messages
  session.system = system
  yield* Output.dimNote(`loaded ${messages.length} messages; ${session.model} answers`)
})

const withFile =
  (run: Command["run"]): Command["run"] =>
  (session, name) =>
    name === "" ? Output.note("local-llm: give the name of a file after the command") : run(session, name)

const end: Command["run"] = (session) => {
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
  { names: ["/image"], argument: "FILE", help: "adds an image to the next prompt", run: withFile(addImage) },
  { names: ["/clear"], help: "forgets the conversation", run: clear },
  { names: ["/save"], argument: "FILE", help: "writes the conversation to a file, as JSON", run: withFile(save) },
  { names: ["/load"], argument: "FILE", help: "continues a conversation that was saved", run: withFile(load) },
  { names: ["/help"], help: "shows these lines", run: () => writeLines(helpLines()) },
  { names: ["/bye", "/exit"], help: "ends the program, as Ctrl-D does", run: end }
]

const helpLines = (): ReadonlyArray<string> => [
  ...commands.map(({ argument, help, names }) => {
    const usage = [names.join(", "), argument].filter((part) => part !== undefined).join(" ")
    return `${usage.padEnd(16)}${help}`
  }),
  '"""             begins a prompt of several lines, which ends with """. Pasted lines are one prompt',
  "Up, Down        earlier prompts, also of earlier conversations unless LOCAL_LLM_NOHISTORY is set",
  "Tab             completes commands and models",
  "Ctrl-C          stops an answer or clears the line. Text of a stopped answer stays in the conversation"
]

export const isCommand = (text: string): boolean => text.startsWith("/") && !text.includes("\n")

const split = (line: string): readonly [name: string, value: string] => {
  const [name = ""] = line.split(" ", 1)
  return [name, line.slice(name.length).trim()]
}

export const run = (session: Session, line: string) => {
  const [name, value] = split(line)
  const command = commands.find(({ names }) => names.includes(name))
  if (command !== undefined) return command.run(session, value)
  return Output.note(`local-llm: there is no command ${name}; /help shows them. A prompt may begin with / between """`)
}

/** The lines that a line may become: the commands that begin like it, or a command with each possible argument. */
export const complete =
  (session: Session) =>
  (line: string): Effect.Effect<ReadonlyArray<string>> => {
    const [name, value] = split(line)
    if (name === line) {
      return Effect.succeed(
        commands
          .flatMap(({ argument, names }) => names.map((name) => (argument === undefined ? name : `${name} `)))
          .filter((completed) => name.startsWith("/") && completed.startsWith(name))
      )
    }
    const values = commands.find(({ names }) => names.includes(name))?.values?.(session) ?? Effect.succeed([])
    return values.pipe(
      Effect.timeout("2 seconds"),
      // A name with control characters would reach the terminal.
      Effect.map((values) => values.filter((each) => each.startsWith(value) && Text.toSingleLine(each) === each)),
      Effect.map((values) => values.map((each) => `${name} ${each}`)),
      Effect.orElseSucceed(() => [])
    )
  }
