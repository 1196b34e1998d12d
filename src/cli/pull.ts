/** Downloads a model. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { ProviderError } from "../ProviderError.ts"
import * as Servers from "../servers/servers.ts"
import * as Failure from "./failure.ts"
import * as Manage from "./manage.ts"
import * as Output from "./output.ts"
import * as Progress from "./progress.ts"
import * as Table from "./table.ts"
import * as Text from "./text.ts"

/** The download failed. */
export class PullFailed extends Data.TaggedError("PullFailed")<{ readonly message: string }> {}

/** With `--json`, each report is a line of standard output. Otherwise the progress goes to standard error. */
export const pull = Effect.fnUntraced(function* (input: Manage.ModelInput & { readonly insecure: boolean }) {
  const { kind, provider } = yield* Manage.find(input, "pull", "download models")
  const { downloadGoesOn = false, options } = Servers.definitions[kind].management
  if (input.insecure && !options.has("insecure")) {
    return yield* new Manage.NotPossible({ message: `${provider.name}: --insecure has no effect there; leave it out` })
  }
  const show = yield* Progress.make
  const again = `"local-llm pull ${Text.toSingleLine(input.name)}" resumes it`
  const afterStop = downloadGoesOn ? `${provider.name} goes on downloading` : `stopped; ${again}`
  let total = 0
  yield* provider.pull(input.name, input.insecure ? { insecure: true } : {}).pipe(
    Stream.runForEach((report) => {
      total = report.totalBytes
      return input.json ? Manage.writeJson(report) : show(report)
    }),
    Effect.onInterrupt(() => Output.note(`local-llm: ${afterStop}`)),
    Effect.catchTag("ProviderError", (error) => Effect.fail(toFailure(error, again)))
  )
  const size = total === 0 ? "" : `, ${Table.formatSize(total)}`
  if (!input.json) yield* Output.write(`pulled ${Manage.clean(input.name)}${size}\n`)
})

/** What cannot succeed the next time either is not repeated. */
const toFailure = (error: ProviderError, again: string): PullFailed => {
  const canResume = error.isRetryable || error.reason._tag === "StreamTruncated"
  const { _tag } = error.reason
  const advice = canResume ? `; ${again}` : _tag === "ModelNotAvailable" ? "; check its name and its tag" : ""
  return new PullFailed({
    message: `${Failure.describe(error, { withAdvice: _tag !== "ModelNotAvailable" })}${advice}`
  })
}
