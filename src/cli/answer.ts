/** An answer on the terminal, as it comes. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { PlatformError } from "effect/PlatformError"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import type { CompletionRequest } from "../CompletionRequest.ts"
import type { Provider } from "../Provider.ts"
import type { ProviderError } from "../ProviderError.ts"
import type { StreamingChunk } from "../StreamingChunk.ts"
import * as Facts from "./facts.ts"
import * as Terminal from "./terminal.ts"

/** The text goes to standard output; thinking and facts do not belong to it and go to standard error. */
export const print = Effect.fnUntraced(function* (
  provider: Provider,
  request: CompletionRequest
): Effect.fn.Return<void, ProviderError | PlatformError, Stdio.Stdio> {
  const stdio = yield* Stdio.Stdio
  const clock = yield* Clock.Clock
  const asked = clock.currentTimeMillisUnsafe()
  let first: number | undefined
  let facts: string | undefined
  let line: "empty" | "thinking" | "text" = "empty"

  const toText = Effect.fnUntraced(function* ({ content, thinking = "", ...rest }: StreamingChunk) {
    const now = clock.currentTimeMillisUnsafe()
    if (thinking !== "" || content !== "") first ??= now
    if (thinking !== "") {
      yield* Terminal.write(Terminal.dim(thinking))
      line = "thinking"
    }
    if (content !== "") {
      if (line === "thinking") yield* Terminal.write("\n\n")
      line = "text"
    }
    if (!rest.isFinal) return content
    facts = Facts.describe(provider.name, rest, { asked, first, ended: now })
    return `${content}\n`
  })

  yield* provider.stream(request).pipe(
    Stream.mapEffect(toText),
    Stream.run(stdio.stdout()),
    // What broke off in the middle of a line is not to be taken for a whole one.
    Effect.onError(() => (line === "empty" ? Effect.void : Terminal.write("\n"))),
    Effect.catchIf(isReaderGone, () => Effect.void)
  )
  if (facts !== undefined) yield* Terminal.note(Terminal.dim(facts))
})

/** As in `local-llm … | head`: a reason to stop, not to complain. */
const isReaderGone = (error: ProviderError | PlatformError): error is PlatformError =>
  error._tag === "PlatformError" &&
  error.cause instanceof Error &&
  "code" in error.cause &&
  error.cause.code === "EPIPE"
