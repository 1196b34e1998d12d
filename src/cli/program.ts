/** Runs a command, reports its failure in one line, and sets the exit code. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import * as Stdio from "effect/Stdio"
import * as Fs from "node:fs"
import { builtIns, command, expandHelp } from "./commands.ts"
import * as Failure from "./failure.ts"
import * as Output from "./output.ts"

const readVersion = (): string => {
  const manifest: { readonly version: string } = JSON.parse(
    Fs.readFileSync(new URL("../../package.json", import.meta.url), "utf8")
  )
  return manifest.version
}

/** The help goes to standard output only if it was requested. */
const presenter: CliOutput.Presenter = {
  present: (event) => (event._tag === "InvalidInvocation" ? Effect.void : CliOutput.defaultPresenter.present(event))
}

const describeError = (error: unknown): string => {
  if (CliError.isCliError(error) && error._tag === "ShowHelp") {
    const [first] = error.errors
    return `${first === undefined ? error.message : describeError(first)}. See local-llm --help`
  }
  if (CliError.isCliError(error) && error._tag === "UnrecognizedOption") {
    const suggestions = error.suggestions
      .filter((name) => name.startsWith("--"))
      .map((name) => `; did you mean ${name}?`)
    const rule = (error.command?.length ?? 0) > 1 ? "flags of a command follow its name, and " : ""
    return `unknown flag ${error.option}${suggestions.join("")} (${rule}words after -- are never flags)`
  }
  if (CliError.isCliError(error) && error._tag === "UnexpectedArgument") {
    return `${error.message}; to send a prompt that begins with the name of a command, put -- before it`
  }
  return error instanceof Error ? Failure.describe(error) : String(error)
}

/** One line for each failure. An interrupted program and one whose reader has gone end quietly. */
const report = (cause: Cause.Cause<unknown>): Effect.Effect<void> => {
  const error = Cause.squash(cause)
  return Cause.hasInterruptsOnly(cause) || error instanceof Failure.ReaderGone
    ? Effect.void
    : Output.note(`local-llm: ${describeError(error)}`)
}

let signalCode: number | undefined
process.once("SIGTERM", () => {
  signalCode ??= 143
})
// The runtime interrupts the program on SIGINT and SIGTERM only. A terminal that is closed sends this one.
process.once("SIGHUP", () => {
  signalCode = 129
  process.kill(process.pid, "SIGTERM")
})

/** After an interruption the runtime exits with 130, which is right for SIGINT only. */
const teardown: Runtime.Teardown = (exit, onExit) =>
  Runtime.defaultTeardown(exit, (code) => onExit(code === 130 ? (signalCode ?? code) : code))

Output.ignoreErrorEvents.pipe(
  Effect.andThen(Stdio.Stdio.use(({ args }) => args)),
  Effect.flatMap((args) => Command.runWith(command, { version: readVersion() })(expandHelp(args))),
  Effect.tapCause(report),
  Effect.provide(
    Layer.mergeAll(NodeServices.layer, CliOutput.layerPresenter(presenter), CliConfig.layer({ builtIns }))
  ),
  (program) => NodeRuntime.runMain(program, { disableErrorReporting: true, teardown })
)
