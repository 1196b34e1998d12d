/** The commands of a conversation. */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as Path from "effect/Path"
import * as Result from "effect/Result"
import type { ProviderError } from "../../ProviderError.ts"
import type { Provider } from "../../Provider.ts"
import type { CommandFailed } from "../failure.ts"
import * as Output from "../output.ts"
import * as Settings from "../settings.ts"
import * as Text from "../text.ts"
import * as Files from "../files.ts"
import * as Kept from "./kept.ts"
import * as Programs from "./programs.ts"

/** A question, and the messages before it. */
export interface Turn {
  readonly question: Kept.Message
  readonly before: ReadonlyArray<Kept.Message>
  /** How many of the session's files the question has. They stay there until it is answered. */
  readonly files: number
}

export interface Session {
  readonly provider: Provider
  readonly keeper: Kept.Keeper
  /** They change by `/set`. */
  settings: Settings.Said
  model: string
  system: string | undefined
  messages: ReadonlyArray<Kept.Message>
  /** The last one, even if its answer failed. */
  turn: Turn | undefined
  /** They belong to the next prompt. */
  images: ReadonlyArray<Uint8Array>
  files: ReadonlyArray<string>
  /** The model of the last completion. */
  answeredBy: string | undefined
  isOver: boolean
}

type Failure = ProviderError | CommandFailed | Output.WriteFailed

/** What follows a command: a turn is taken, or its question is edited first. */
export type Next = { readonly turn: Turn; readonly isEdited: boolean } | void

type Run = (session: Session, value: string) => Effect.Effect<Next, Failure, FileSystem.FileSystem | Path.Path>

interface Command {
  readonly names: readonly [string, ...ReadonlyArray<string>]
  readonly argument?: string
  readonly help: string
  readonly run: Run
  /** What its argument may be. */
  readonly values?: (session: Session) => Effect.Effect<ReadonlyArray<string>, ProviderError>
}

const modelNames = ({ provider }: Session) => Effect.map(provider.listModels, (models) => models.map(({ id }) => id))

const setModel: Run = Effect.fnUntraced(function* (session, name) {
  const { provider } = session
  const value = Settings.makeToModel(session.settings.aliases)(name)
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
  session.turn = undefined
  session.images = []
  session.files = []
  return Effect.andThen(session.keeper.begin, Output.dimNote("the conversation is forgotten"))
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

const addFile = withFile(
  Effect.fnUntraced(function* (session, name) {
    session.files = [...session.files, yield* Files.readText(name)]
    yield* Output.dimNote(`files with the next prompt: ${session.files.length}`)
  })
)

const save = withFile(
  Effect.fnUntraced(function* ({ messages, model, system }, name) {
    yield* Kept.save(name, { model, messages, system })
    yield* Output.dimNote(`saved to ${name}`)
  })
)

const load = withFile(
  Effect.fnUntraced(function* (session, name) {
    const { messages, system } = yield* Kept.load(name)
    session.messages = messages
    session.turn = lastTurn(messages)
    session.system = system
    yield* session.keeper.begin
    yield* Output.dimNote(`loaded ${messages.length} messages; ${session.model} answers`)
  })
)

/** The last question of a conversation. */
export const lastTurn = (messages: ReadonlyArray<Kept.Message>): Turn | undefined => {
  const at = messages.findLastIndex(({ role }) => role === "user")
  const question = messages[at]
  return question === undefined ? undefined : { question, before: messages.slice(0, at), files: 0 }
}

const again =
  (isEdited: boolean): Run =>
  ({ turn }) =>
    turn === undefined ? Output.note("local-llm: nothing was asked yet") : Effect.succeed({ turn, isEdited })

/** The options of a request. */
const options = ["temperature", "maxTokens", "context", "seed", "stop", "think"] as const

const set: Run = Effect.fnUntraced(function* (session, text) {
  const [name = "", ...words] = text.split(" ")
  const key = options.find((option) => option === kebabToCamel(name))
  const value = words.join(" ").trim()
  if (name === "") {
    const lines = options.map((option) => `${option.padEnd(12)} ${describeOption(session.settings[option])}`)
    return yield* writeLines(lines)
  }
  if (key === undefined) return yield* Output.note(`local-llm: there is no option ${name}; /set shows them`)
  const found: Result.Result<Settings.Said, string> =
    value === "" ? Result.succeed({ [key]: undefined }) : Settings.fromText(key, value)
  if (Result.isFailure(found)) return yield* Output.note(`local-llm: ${key}: ${found.failure}`)
  session.settings = { ...session.settings, ...found.success }
  yield* Output.dimNote(`${key}: ${describeOption(session.settings[key])}`)
})

const kebabToCamel = (name: string): string => name.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())

const describeOption = (value: unknown): string => (value === undefined ? "the model's own" : JSON.stringify(value))

/** The text of the last answer, or the last block of code in it. */
const copy: Run = Effect.fnUntraced(function* ({ messages }, part) {
  const answer = messages.findLast(({ role }) => role === "assistant")?.content
  const text = part === "code" ? lastBlock(answer ?? "") : answer
  if (text === undefined)
    return yield* Output.note(`local-llm: there is no ${part === "code" ? "code" : "answer"} to copy`)
  const way = yield* Programs.copy(text)
  yield* Output.dimNote(`copied ${text.length} characters ${way}`)
})

/** A block may end with the text, as in an answer that was stopped. */
const lastBlock = (text: string): string | undefined =>
  Array.from(text.matchAll(/^ {0,3}(`{3,}|~{3,})[^\n]*\n([^]*?)(?:^ {0,3}\1|(?![^]))/gm), ([, , code]) => code).at(-1)

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
    values: (session) =>
      Effect.map(modelNames(session), (names) => [...Object.keys(session.settings.aliases ?? {}), ...names])
  },
  { names: ["/system"], argument: "TEXT", help: "another system message; without a text, none", run: setSystem },
  { names: ["/image"], argument: "FILE", help: "adds an image to the next prompt", run: addImage },
  { names: ["/file"], argument: "FILE", help: "adds a file of text to the next prompt", run: addFile },
  { names: ["/retry"], help: "asks the last question again; the new answer replaces the last one", run: again(false) },
  { names: ["/edit"], help: "changes the last question, in $VISUAL or $EDITOR if there is one", run: again(true) },
  {
    names: ["/set"],
    argument: "NAME VALUE",
    help: "an option such as temperature; without a value, the model's own; without a name, all",
    run: set,
    values: () => Effect.succeed(options.map((option) => `${option} `))
  },
  {
    names: ["/think"],
    argument: "LEVEL",
    help: "whether, or how much, the model thinks; without a level, the model's own",
    run: (session, value) => set(session, `think ${value}`),
    values: () => Effect.succeed(Settings.levels)
  },
  {
    names: ["/copy"],
    argument: "code",
    help: "copies the last answer, or only its last block of code",
    run: copy,
    values: () => Effect.succeed(["code"])
  },
  { names: ["/clear"], help: "forgets the conversation", run: clear },
  { names: ["/save"], argument: "FILE", help: "writes the conversation to a file, as JSON", run: save },
  { names: ["/load"], argument: "FILE", help: "continues a conversation that was saved", run: load },
  { names: ["/help"], help: "shows these lines", run: () => writeLines(helpLines()) },
  { names: ["/bye", "/exit"], help: "ends the program, as Ctrl-D does", run: end }
]

const helpLines = (): ReadonlyArray<string> => [
  ...commands.map(({ argument = "", help, names }) => `${`${names.join(", ")} ${argument}`.padEnd(18)}${help}`),
  '"""               begins a prompt of several lines, which ends with """. Pasted lines are one prompt',
  "Up, Down          earlier prompts, also of earlier conversations unless LOCAL_LLM_NOHISTORY is set",
  "Tab               completes commands and models",
  "Ctrl-C            stops an answer or clears the line. Text of a stopped answer stays in the conversation"
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
