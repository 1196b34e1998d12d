/** A conversation on a terminal. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { isProviderError } from "../../ProviderError.ts"
import type { FinalChunk, StreamingChunk } from "../../StreamingChunk.ts"
import * as Answer from "../answer.ts"
import * as Failure from "../failure.ts"
import * as Output from "../output.ts"
import type { Selected } from "../selection.ts"
import type * as Settings from "../settings.ts"
import * as Commands from "./commands.ts"
import * as History from "./history.ts"
import * as Kept from "./kept.ts"
import * as LineEditor from "./lineEditor.ts"
import * as Programs from "./programs.ts"

export interface Start extends Selected {
  readonly settings: Settings.Said
  readonly keeper: Kept.Keeper
  readonly messages: ReadonlyArray<Kept.Message>
  readonly images: ReadonlyArray<Uint8Array>
  readonly files: ReadonlyArray<string>
  /** The server that a flag named. */
  readonly server: Kept.Conversation["server"]
}

/**
 * Reads prompts and commands until the end of the input. A question and its answer become part of the conversation together:
 * - A complete answer does, unless it is empty.
 * - An answer that the user stopped does if it has text. It is marked as incomplete, also in the file of `/save`. The model gets the
 *   text as it is.
 * - An answer that failed does not, even if it has text, so that the question can be asked again.
 */
export const run = Effect.fnUntraced(function* (start: Start) {
  const { messages, model, provider, settings } = start
  const session: Commands.Session = {
    ...start,
    system: settings.system,
    turn: Commands.lastTurn(messages),
    answeredBy: undefined,
    isOver: false
  }
  const history = yield* History.open(settings.private ?? false)
  const hint = "Ctrl-D or /bye ends the program"
  const editor = yield* LineEditor.make({ history, hint, complete: Commands.complete(session) })
  const goesOn = messages.length === 0 ? "" : ` goes on after ${messages.length} messages`
  if (settings.quiet !== true) yield* Output.dimNote(`${model} on ${provider.name}${goesOn}. /help shows the commands`)
  while (!session.isOver) {
    const line = yield* editor.read()
    if (line === undefined) return yield* Output.write("\n")
    const turn = yield* findTurn(session, editor, line.trim())
    if (turn !== undefined) yield* takeTurn(start, session, editor, turn)
  }
})

/** The turn that a line asks for, if it does. */
const findTurn = Effect.fnUntraced(function* (session: Commands.Session, editor: LineEditor.LineEditor, line: string) {
  if (!Commands.isCommand(line)) {
    const { files, images, messages: before } = session
    const content = unquote(line)
    const question = Kept.toQuestion([...files, content].join("\n\n"), images)
    return content === "" ? undefined : { question, before, files: files.length }
  }
  const exit = yield* editor.whileBusy(Commands.run(session, line))
  yield* report(exit)
  const next = Exit.isSuccess(exit) ? exit.value : undefined
  return next?.isEdited === true ? yield* edit(editor, next.turn) : next?.turn
})

/** The turn with another question. An editor that is left without a change cancels that. */
const edit = Effect.fnUntraced(function* (editor: LineEditor.LineEditor, turn: Commands.Turn) {
  const { question } = turn
  const command = yield* Programs.editor
  const edited =
    command === undefined ? editLine(editor, question.content) : editor.leave(Programs.edit(command, question.content))
  const exit = yield* Effect.exit(edited)
  yield* report(exit)
  const content = Exit.isSuccess(exit) ? exit.value : ""
  if (content !== "" && (command === undefined || content !== question.content)) {
    return { ...turn, question: { ...question, content } }
  }
  yield* Output.dimNote("nothing is changed")
  return undefined
})

/** The longest text, in UTF-16 units, that a line is fit for. */
const maxLine = 32 * 1024

const editLine = (editor: LineEditor.LineEditor, text: string) =>
  text.length > maxLine
    ? Failure.fail("the question is too long for a line; set EDITOR to your editor")
    : Effect.map(editor.read(text), (text = "") => unquote(text.trim()))

/** The text between `"""`. */
const unquote = (text: string): string => (/^"""([^]*)"""$/.exec(text)?.[1] ?? text).trim()

const takeTurn = Effect.fnUntraced(function* (
  start: Start,
  session: Commands.Session,
  editor: LineEditor.LineEditor,
  turn: Commands.Turn
) {
  const { model, settings, system = "" } = session
  const hasAnswered = session.answeredBy === model
  const messages = [...turn.before, turn.question]
  session.turn = turn
  let text = ""
  let final: FinalChunk | undefined
  const observe = (chunk: StreamingChunk): void => {
    text += chunk.content
    session.answeredBy = model
    if (chunk.isFinal) final = chunk
  }
  const request = Kept.toRequest(settings, { model, system, messages })
  const { quiet = false, raw = false } = settings
  const exit = yield* editor.whileBusy(Answer.print(request, { ...start, quiet, raw, hasAnswered, observe }))
  const incomplete = findIncomplete(exit, final)
  if (incomplete !== "failed" && text !== "") {
    session.messages = [...messages, { role: "assistant", content: text, incomplete }]
    session.turn = { ...turn, files: 0 }
    session.images = session.images.filter((image) => turn.question.images?.includes(image) !== true)
    session.files = session.files.slice(turn.files)
    yield* session.keeper.keep({ model, system, server: start.server, messages: session.messages })
  }
  yield* report(exit)
  if (incomplete === "failed" && text !== "") yield* Output.dimNote("the incomplete answer is not kept")
  if (Exit.isSuccess(exit) && text === "") yield* Output.dimNote("the answer is empty and not kept")
})

/** Why the answer is not complete, if so. */
const findIncomplete = (exit: Exit.Exit<unknown, unknown>, final: FinalChunk | undefined) => {
  if (final !== undefined) return final.finishReason === "stop" ? undefined : final.finishReason
  return Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause) ? "failed" : "stopped"
}

/** A failure is one line, and the conversation goes on, unless the terminal has gone. */
const report = Effect.fnUntraced(function* (exit: Exit.Exit<unknown, unknown>) {
  if (Exit.isSuccess(exit)) return
  if (Cause.hasInterruptsOnly(exit.cause)) return yield* Output.dimNote("stopped")
  const error = Cause.squash(exit.cause)
  if (error instanceof Failure.ReaderGone || error instanceof Failure.OutputFailed) return yield* error
  const advice =
    isProviderError(error) && error.reason._tag === "ContextOverflow"
      ? "; /clear forgets the conversation, and Ollama gives more room with --context"
      : ""
  yield* Output.note(`local-llm: ${error instanceof Error ? Failure.describe(error) : "unknown error"}${advice}`)
})
