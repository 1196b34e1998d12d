/** Failures in words: the message, the server's own text, and advice for what the user can do. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { PlatformError } from "effect/PlatformError"
import * as Redacted from "effect/Redacted"
import * as Runtime from "effect/Runtime"
import type { ProviderErrorReason } from "../ProviderError.ts"
import { isProviderError } from "../ProviderError.ts"
import { tokenVariables } from "../servers/kinds.ts"
import * as Text from "./text.ts"

/** A command cannot do what it was asked for. The message says what to do. */
export class CommandFailed extends Data.TaggedError("CommandFailed")<{ readonly message: string }> {}

/** The server was not named, and it is not at the usual port or the given address. */
export class NotRunning extends Data.TaggedError("NotRunning")<{ readonly message: string }> {}

/** Standard output does not take the text, for example because the disk is full. */
export class OutputFailed extends Data.TaggedError("OutputFailed")<{ readonly message: string }> {}

/** The reader of standard output has gone, as in `local-llm … | head -1`. The program ends quietly. */
export class ReaderGone extends Data.TaggedError("ReaderGone") {
  /** 128 + SIGPIPE, as a shell reports it of programs that end by this signal. */
  override readonly [Runtime.errorExitCode] = 141
}

export const fail = (message: string): Effect.Effect<never, CommandFailed> =>
  Effect.fail(new CommandFailed({ message }))

/** Fails because of a file that the user named. `what` is its flag, or what it is. */
export const failForFile =
  (what: string, path: string, done: "read" | "written" = "read") =>
  (error: PlatformError): Effect.Effect<never, CommandFailed> =>
    fail(`the file of ${what} cannot be ${done}: ${describeFile(error)}: ${path}`)

/** Describes the failure of reading a file that the user named. */
export const describeFile = ({ message, reason }: PlatformError): string => {
  if (reason._tag === "NotFound") return "there is no such file"
  if (reason._tag === "PermissionDenied") return "there is no permission to read it"
  return reason.cause instanceof Error ? reason.cause.message : message
}

/** The text of the server may quote the prompt. Here the reader is the user, so it is shown. */
export const describe = (error: Error, { withAdvice = true } = {}): string => {
  if (!isProviderError(error)) return error.message
  const message = words.reduce((text, [theirs, ours]) => text.replace(theirs, ours), error.message)
  const detail = detailOf(error.reason)
  const parts = [message, message.includes(detail) ? "" : detail, withAdvice ? adviceFor(error.reason) : ""]
  return parts.filter((text) => text !== "").join("; ")
}

/** The words of the library, and those of the command line. */
const words: ReadonlyArray<[RegExp, string]> = [
  [/: the server's text is in the redacted `detail`/, ""],
  [/\binvalid (?:baseUrl|url)\b/, "invalid address"],
  [/\bbaseUrl\b/g, "--url"],
  [/use `token` or `headers`/, "set the variable of the token"],
  [/\binvalid maxTokens\b/, "invalid --max-tokens"],
  [/\binvalid contextLength\b/, "invalid --context"],
  [/\bcontextLength is not supported\b/, "--context is not supported"],
  [/\binvalid (temperature|dimensions|seed)\b/, "invalid --$1"],
  [/; maxLineBytes sets the bound/, ""],
  [/\binvalid stop\[\d+\]/, "invalid --stop"],
  [/\binvalid headers\b/, "invalid --header"],
  [/\binvalid insecure\b/, "invalid address of the registry"],
  [/set `insecure: true`/, "add --insecure"]
]

/** The most of a server's text that one line shows, in characters. */
const maxDetail = 300

const detailOf = (reason: ProviderErrorReason): string => {
  if (repeatsDetail(reason)) return ""
  const redacted = reason._tag === "InvalidAnswer" ? reason.text : "detail" in reason ? reason.detail : undefined
  const text = redacted === undefined ? "" : Text.toSingleLine(Redacted.value(redacted))
  // Divides no character.
  return text.length > maxDetail ? `${text.slice(0, maxDetail).replace(/[\uD800-\uDBFF]$/, "")}…` : text
}

/** Whether the message has what the text says: it was made from the text of the platform, or from the server's for an overflow. */
const repeatsDetail = (reason: ProviderErrorReason): boolean =>
  reason._tag === "ContextOverflow" || (reason._tag === "NetworkError" && reason.description !== undefined)

const adviceFor = (reason: ProviderErrorReason): string => {
  switch (reason._tag) {
    case "AuthenticationError":
      return reason.kind === undefined
        ? `set the token: ${tokenVariables.slice(0, -1).join(", ")} or ${tokenVariables.at(-1)}`
        : ""
    case "ModelNotAvailable":
      return '"local-llm models" lists the models'
    case "ContextOverflow":
      return "shorten the prompt, or give the model a larger context"
    case "InvalidAnswer":
      return reason.isTruncated ? "a larger --max-tokens lets the model finish" : ""
    case "Unsupported":
      return reason.endpoint !== undefined
        ? "is it another kind of server? --provider names the kind"
        : '"local-llm show MODEL" shows what a model can do'
    default:
      return ""
  }
}
