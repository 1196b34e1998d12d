/** A conversation on a terminal. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stdio from "effect/Stdio"
import * as Struct from "effect/Struct"
import type { ChatRequest } from "../../CompletionRequest.ts"
import { isProviderError } from "../../ProviderError.ts"
import type { FinalChunk, StreamingChunk } from "../../StreamingChunk.ts"
import * as Answer from "../answer.ts"
import * as Failure from "../failure.ts"
import * as Output from "../output.ts"
import type { Selected } from "../chatServer.ts"
import * as Commands from "./commands.ts"
import * as Files from "./files.ts"
import * as LineEditor from "./lineEditor.ts"

export interface Settings extends Selected {
  readonly system: string | undefined
  readonly images: ReadonlyArray<Uint8Array>
  readonly options: Omit<ChatRequest, "messages">
  readonly quiet: boolean
  readonly raw: boolean
}

/** Whether standard input and standard output are terminals. */
export const isPossible = Effect.gen(function* () {
  const stdio = yield* Stdio.Stdio
  return (yield* stdio.stdinIsTerminal) && (yield* stdio.stdoutIsTerminal)
})

/**
 * Reads prompts and commands until the end of the input. A question and its answer become part of the conversation together:
 * - A complete answer does, unless it is empty.
 * - An answer that the user stopped does if it has text. It is marked as incomplete, also in the file of `/save`. The model gets the
 *   text as it is.
 * - An answer that failed does not, even if it has text, so that the question can be asked again.
 */
export const run = Effect.fnUntraced(function* (settings: Settings) {
  const { images, model, provider, quiet, system } = settings
  const session: Commands.Session = {
    provider,
    model,
    system,
    images,
    messages: [],
    answeredBy: undefined,
    isOver: false
  }
  const history = yield* Files.openHistory
  const hint = "Ctrl-D or /bye ends the program"
  const editor = yield* LineEditor.make({ history, hint, complete: Commands.complete(session) })
  if (!quiet) yield* Output.dimNote(`${model} on ${provider.name}. /help shows the commands`)
  while (!session.isOver) {
    const line = yield* editor.read
    if (line === undefined) return yield* Output.write("\n")
    const text = line.trim()
    if (Commands.isCommand(text)) yield* report(yield* editor.whileBusy(Commands.run(session, text)))
    else if (unquote(text) !== "") yield* takeTurn(settings, session, editor, unquote(text))
  }
})

/** The text between `"""`. */
const unquote = (text: string): string => (/^"""([^]*)"""$/.exec(text)?.[1] ?? text).trim()

const takeTurn = Effect.fnUntraced(function* (
  settings: Settings,
  session: Commands.Session,
  editor: LineEditor.LineEditor,
  content: string
) {
  const { images, messages, model, system } = session
  const question: Files.Message = { role: "user", content, ...(images.length === 0 ? {} : { images }) }
  const hasAnswered = session.answeredBy === model
  let text = ""
  let final: FinalChunk | undefined
  const observe = (chunk: StreamingChunk): void => {
    text += chunk.content
    session.answeredBy = model
    if (chunk.isFinal) final = chunk
  }
  const request: ChatRequest = {
    ...settings.options,
    model,
    messages: [
      ...(system === undefined ? [] : [{ role: "system", content: system } as const]),
      ...[...messages, question].map(Struct.omit(["incomplete"]))
    ]
  }
  const exit = yield* editor.whileBusy(Answer.print(request, { ...settings, hasAnswered, observe }))
  const incomplete = findIncomplete(exit, final)
  if (incomplete !== "failed" && text !== "") {
    const answer: Files.Message = {
      role: "assistant",
      content: text,
      ...(incomplete === undefined ? {} : { incomplete })
    }
    session.messages = [...messages, question, answer]
    session.images = []
  }
  yield* report(exit)
  if (incomplete === "failed" && text !== "") yield* Output.dimNote("the incomplete answer is not kept")
  if (Exit.isSuccess(exit) && text === "") yield* Output.dimNote("the answer is empty and not kept")
})

/** Why the answer is not complete, if so. */
const findIncomplete = (exit: Exit.Exit<void, unknown>, final: FinalChunk | undefined) => {
  if (final !== undefined) return final.finishReason === "stop" ? undefined : final.finishReason
  return Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause) ? "failed" : "stopped"
}

/** A failure is one line, and the conversation goes on, unless the terminal has gone. */
const report = Effect.fnUntraced(function* (exit: Exit.Exit<void, unknown>) {
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
