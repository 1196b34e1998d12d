/** Runs a command, reports its failure in one line, and sets the exit code. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import * as Stdio from "effect/Stdio"
import * as Fs from "node:fs"
import { builtIns, command, expandHelp } from "./commands.ts"
import * as Failure from "./failure.ts"
import * as Output from "./output.ts"

const readManifest = (): { readonly version: string } =>
  JSON.parse(Fs.readFileSync(new URL("../../package.json", import.meta.url), "utf8"))

/** The help goes to standard output only if it was requested. */
const presenter: CliOutput.Presenter = {
  present: (event) => (event._tag === "InvalidInvocation" ? Effect.void : CliOutput.defaultPresenter.present(event))
}

/** The first error only: each letter of a word such as `-la` is one. */
const describeInvocation = ({ errors: [error] }: CliError.ShowHelp): string => {
  if (error?._tag === "UnrecognizedOption") {
    // No flag has a space, so it is a text.
    if (/\s|^--?$/.test(error.option)) return "a prompt that begins with a dash follows --"
    const suggestions = error.suggestions.filter((name) => name.startsWith("--"))
    const advice = suggestions.map((name) => `; did you mean ${name}?`).join("")
    const rule = error.command?.[1] === undefined ? "" : "flags of a command follow its name, and "
    return `unknown flag ${error.option}${advice} (${rule}words after -- are never flags)`
  }
  if (error?._tag === "UnexpectedArgument") {
    return `${error.message}; to send a prompt that begins with the name of a command, put -- before it`
  }
  return error?.message ?? "no command"
}

/** One line for each failure. An interrupted program and one whose reader has gone end quietly. */
const report = (cause: Cause.Cause<unknown>): Effect.Effect<void> => {
  const error = Cause.squash(cause)
  if (Cause.hasInterruptsOnly(cause) || error instanceof Failure.ReaderGone) return Effect.void
  if (CliError.isCliError(error) && error._tag === "ShowHelp") {
    return Output.note(`local-llm: ${describeInvocation(error)}. See local-llm --help`)
  }
  return Output.note(`local-llm: ${error instanceof Error ? Failure.describe(error) : String(error)}`)
}

let signalCode: number | undefined
process.once("SIGTERM", () => {
  signalCode ??= 143
})
// The runtime interrupts the program on SIGINT and SIGTERM only. A terminal that is closed sends this one. Servers listen for it.
process.on("SIGHUP", () => {
  if (process.listenerCount("SIGHUP") > 1) return
  signalCode = 129
  process.kill(process.pid, "SIGTERM")
})

/** After an interruption the runtime exits with 130, which is right for SIGINT only. A command may have set another code. */
const teardown: Runtime.Teardown = (exit, onExit) =>
  Runtime.defaultTeardown(exit, (code) => onExit(code === 130 ? Number(process.exitCode ?? signalCode ?? code) : code))

Output.ignoreErrorEvents.pipe(
  Effect.andThen(Stdio.Stdio.use(({ args }) => args)),
  Effect.flatMap((args) => Command.runWith(command, readManifest())(expandHelp(args))),
  Effect.tapCause(report),
  Effect.provide([NodeServices.layer, CliOutput.layerPresenter(presenter), CliConfig.layer({ builtIns })]),
  (program) => NodeRuntime.runMain(program, { disableErrorReporting: true, teardown })
)
