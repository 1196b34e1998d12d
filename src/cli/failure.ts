/** Failures in words: the message, the server's own text, and advice for what the user can do. */
import * as Redacted from "effect/Redacted"
import type { PlatformError } from "effect/PlatformError"
import type { ProviderErrorReason } from "../ProviderError.ts"
import { isProviderError } from "../ProviderError.ts"
import * as Servers from "../servers/servers.ts"
import * as Text from "./text.ts"

/** The variables of the tokens. */
const tokens = Object.values(Servers.definitions).map(({ environment }) => environment.token)

const adviceFor = (reason: ProviderErrorReason): string => {
  switch (reason._tag) {
    case "AuthenticationError":
      return reason.kind === undefined ? `set the token: ${tokens.slice(0, -1).join(", ")} or ${tokens.at(-1)}` : ""
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

/** The words of the library, and those of the command line. */
const words: ReadonlyArray<[RegExp, string]> = [
  [/: the server's text is in the redacted `detail`/, ""],
  [/\binvalid (?:baseUrl|url)\b/, "invalid address"],
  [/\bbaseUrl\b/g, "--url"],
  [/use `token` or `headers`/, "set the variable of the token"],
  [/\binvalid maxTokens\b/, "invalid --max-tokens"],
  [/\binvalid contextLength\b/, "invalid --context"],
  [/\binvalid (temperature|dimensions|seed)\b/, "invalid --$1"],
  [/; maxLineBytes sets the bound/, ""],
  [/\binvalid stop\[\d+\]/, "invalid --stop"],
  [/\binvalid headers\b/, "invalid --header"],
  [/\binvalid insecure\b/, "invalid address of the registry"],
  [/set `insecure: true`/, "add --insecure"]
]

/** The most of a server's text that one line shows, in characters. */
const maxDetail = 300

/** The text of the server may quote the prompt. Here the reader is the user, so it is shown. */
export const describe = (error: Error, { withAdvice = true } = {}): string => {
  if (!isProviderError(error)) return error.message
  const { reason } = error
  const redacted = reason._tag === "InvalidAnswer" ? reason.text : "detail" in reason ? reason.detail : undefined
  const detail = redacted === undefined ? "" : Redacted.value(redacted)
  // What is known about a failed connection repeats the text of the platform.
  const shown =
    reason._tag === "NetworkError" && reason.description !== undefined ? "" : shorten(Text.toSingleLine(detail))
  const message = words.reduce((text, [theirs, ours]) => text.replace(theirs, ours), error.message)
  const isNew = !message.includes(shown)
  return [message, isNew ? shown : "", withAdvice ? adviceFor(reason) : ""].filter((text) => text !== "").join("; ")
}

/** Why a file that the user named cannot be read. */
export const describeFile = ({ message, reason }: PlatformError): string =>
  reason._tag === "NotFound"
    ? "there is no such file"
    : reason._tag === "PermissionDenied"
      ? "there is no permission to read it"
      : reason.cause instanceof Error
        ? reason.cause.message
        : message

/** Does not divide a character. */
const shorten = (text: string): string =>
  text.length > maxDetail ? `${text.slice(0, maxDetail).replace(/[\uD800-\uDBFF]$/, "")}…` : text
