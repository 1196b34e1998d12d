/** Programs that are killed and started again. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { inject } from "vitest"
import * as CommandLine from "../support/commandLine.ts"
import type { Program } from "./setup.ts"

export interface Process {
  /** Sends a signal: `SIGSTOP` stops the process, and `SIGCONT` continues it. */
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
  /** Kills it with `SIGKILL`, and waits until it is gone. */
  readonly kill: Effect.Effect<void>
  /** Starts it again after it was killed, and waits until it is ready. */
  readonly start: Effect.Effect<void>
  /** What it wrote since it was last started. */
  readonly output: Effect.Effect<CommandLine.Output>
}

export interface Options {
  readonly program: Program
  readonly executable: string
  readonly args: ReadonlyArray<string>
  /** Runs it as a user without rights if this process has those of root. */
  readonly isUnprivileged?: boolean | undefined
  /** What it writes when it is ready. */
  readonly ready: string
  /** The signal at which it ends with its children. */
  readonly stop: NodeJS.Signals
}

type Name = "nginx" | "redis" | "postgres"

/** Whether one of the programs is missing, so that tests of it are skipped. */
export const isMissing = (...names: ReadonlyArray<Name>): boolean => names.some((name) => "missing" in inject(name))

/** A program that is there. */
export const find = (name: Name): Program => {
  const found = inject(name)
  if ("missing" in found) throw new Error(`${name}: ${found.missing}`)
  return found
}

/** A program has ended before it was ready. */
export class Ended extends Data.TaggedError("Ended")<{ readonly message: string }> {}

/** The user `nobody`, if this process has the rights of root. */
const nobody = process.getuid?.() === 0 ? 65_534 : undefined

const startOnce = Effect.fnUntraced(function* ({ args, executable, isUnprivileged, program, ready }: Options) {
  const running = yield* CommandLine.startProcess(Path.join(program.folder, executable), args, {
    env: { LC_ALL: "C", LD_LIBRARY_PATH: program.libraries },
    uid: isUnprivileged === true ? nobody : undefined
  })
  const ended = Effect.flatMap(running.result, ({ stderr, stdout }) =>
    Effect.fail(new Ended({ message: `${executable} has ended: ${stdout}${stderr}` }))
  )
  const isReady = ({ stderr, stdout }: CommandLine.Output) => stdout.includes(ready) || stderr.includes(ready)
  yield* Effect.raceFirst(running.until(isReady), ended)
  return running
})

/** Runs a program until the scope ends. */
export const make = (options: Options): Effect.Effect<Process, never, Scope.Scope> =>
  // The children of a process that was killed may hold its memory or port for a moment.
  keep(
    Effect.retry(startOnce(options), { times: 50, schedule: Schedule.spaced("100 millis") }).pipe(Effect.orDie),
    options.stop
  )

/** Keeps what `starting` starts until the scope ends. `stop` is the signal at which it ends with its children. */
export const keep = Effect.fnUntraced(function* (
  startingOnce: Effect.Effect<CommandLine.Running, never, Scope.Scope>,
  stop: NodeJS.Signals
): Effect.fn.Return<Process, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const starting = Scope.provide(startingOnce, scope)
  let running = yield* starting
  const signal = (signal: NodeJS.Signals) => Effect.suspend(() => running.kill(signal))
  const end = (last: NodeJS.Signals) =>
    Effect.andThen(
      signal(last),
      Effect.suspend(() => running.result)
    )
  yield* Effect.addFinalizer(() =>
    Effect.ignore(Effect.timeout(Effect.andThen(signal("SIGCONT"), end(stop)), "5 seconds"))
  )
  return {
    signal,
    kill: Effect.asVoid(end("SIGKILL")),
    start: Effect.map(starting, (started) => {
      running = started
    }),
    output: Effect.suspend(() => running.output)
  }
})

/** Runs a program to its end. */
export const run = Effect.fnUntraced(function* (program: Program, executable: string, args: ReadonlyArray<string>) {
  const running = yield* CommandLine.startProcess(Path.join(program.folder, executable), args, {
    env: { LC_ALL: "C", LD_LIBRARY_PATH: program.libraries },
    uid: nobody
  })
  const { code, stderr } = yield* running.result
  if (code !== 0) return yield* Effect.die(new Error(`${executable} ended with ${code}: ${stderr}`))
}, Effect.scoped)

/** A folder that belongs to the user of the programs, until the scope ends. */
export const folder: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "local-llm-"))
    if (nobody !== undefined) Fs.chownSync(folder, nobody, nobody)
    return folder
  }),
  (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
)

/** A port of this machine that is free now. */
export const freePort: Effect.Effect<number> = Effect.callback((resume) => {
  const server = Net.createServer().listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})
