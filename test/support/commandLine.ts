/** The command line in a process of its own. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { spawn, spawnSync } from "node:child_process"
import { fileURLToPath, pathToFileURL } from "node:url"

export interface Output {
  readonly stdout: string
  readonly stderr: string
}

export interface Result extends Output {
  readonly code: number | null
}

export interface Running {
  /** Waits until the output satisfies the predicate. */
  readonly until: (predicate: (output: Output) => boolean) => Effect.Effect<void>
  readonly kill: (signal: NodeJS.Signals) => Effect.Effect<void>
  /** Types a text. */
  readonly type: (text: string) => Effect.Effect<void>
  readonly closeStdin: Effect.Effect<void>
  /** Closes the reading end, as `head` does. */
  readonly closeStdout: Effect.Effect<void>
  readonly closeStderr: Effect.Effect<void>
  /** What it wrote so far. */
  readonly output: Effect.Effect<Output>
  readonly result: Effect.Effect<Result>
}

export interface Options {
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
  /** The text on standard input. Default: nothing. */
  readonly input?: string | undefined
  readonly keepStdinOpen?: boolean | undefined
  /** The number of the user that the process runs as. Default: that of this process. */
  readonly uid?: number | undefined
  /** What listens on the usual ports of the servers: for each, the port of a server of the test. Default: nothing. */
  readonly usualPorts?: Readonly<Record<number, string>> | undefined
}

/** Nothing listens there. */
export const nowhere = "http://127.0.0.1:1"

/** Where `bundleCommandLine.ts` has written it. */
const bundled = pathToFileURL(`${process.env["COMMAND_LINE"]}/`)
const main = fileURLToPath(new URL("main.js", bundled))
const redirectPorts = new URL("redirectPorts.js", bundled).href

/** The command for a shell. Its words are quoted. */
export const shellCommand = (args: ReadonlyArray<string>): string =>
  [process.execPath, "--import", redirectPorts, main, ...args]
    .map((word) => `'${word.replaceAll("'", `'\\''`)}'`)
    .join(" ")

const environment = ({ env, usualPorts = {} }: Options): NodeJS.ProcessEnv => {
  const ports = { 11434: nowhere, 1234: nowhere, 8080: nowhere, ...usualPorts }
  const redirects = Object.entries(ports).map(([port, url]) => [port, Number(new URL(url).port)])
  const { NODE_COMPILE_CACHE, PATH } = process.env
  return { NODE_COMPILE_CACHE, PATH, USUAL_PORTS: JSON.stringify(Object.fromEntries(redirects)), ...env }
}

/** Starts it. It finds no servers but those of `env`, the arguments and `usualPorts`. */
export const start = (args: ReadonlyArray<string>, options: Options = {}): Effect.Effect<Running, never, Scope.Scope> =>
  startProcess(process.execPath, ["--import", redirectPorts, main, ...args], options)

/** Starts a shell. */
export const startShell = (script: string, options: Options = {}): Effect.Effect<Running, never, Scope.Scope> =>
  startProcess("sh", ["-c", script], options)

/** Whether the machine has the `script` of util-linux, which runs a program on a pseudo-terminal. */
export const hasTerminals = spawnSync("script", ["--version"], { encoding: "utf8" }).stdout?.includes("util-linux")

/** Starts it on a pseudo-terminal. What it writes is on `stdout`. */
export const startOnTerminal = (
  args: ReadonlyArray<string>,
  options: Options = {}
): Effect.Effect<Running, never, Scope.Scope> =>
  startProcess("script", ["-qec", shellCommand(args), "/dev/null"], options)

/** Starts a program. */
export const startProcess = Effect.fnUntraced(function* (
  file: string,
  args: ReadonlyArray<string>,
  options: Options = {}
): Effect.fn.Return<Running, never, Scope.Scope> {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const { uid } = options
      return spawn(file, args, { env: environment(options), ...(uid === undefined ? {} : { uid, gid: uid }) })
    }),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  // A program may end before it has read its input.
  child.stdin.on("error", () => undefined)
  child.stdin.write(options.input ?? "")
  if (options.keepStdinOpen !== true) child.stdin.end()
  let stdout = ""
  let stderr = ""
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text))
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text))
  const closed = Deferred.makeUnsafe<number | null>()
  child.once("close", (code) => Deferred.doneUnsafe(closed, Effect.succeed(code)))

  return {
    until: (predicate) =>
      Effect.callback<void>((resume) => {
        const streams = [child.stdout, child.stderr]
        const stop = (): void => {
          for (const stream of streams) stream.off("data", check)
        }
        const check = (): void => {
          if (!predicate({ stdout, stderr })) return
          stop()
          resume(Effect.void)
        }
        for (const stream of streams) stream.on("data", check)
        check()
        return Effect.sync(stop)
      }),
    kill: (signal) => Effect.sync(() => child.kill(signal)),
    type: (text) => Effect.sync(() => void child.stdin.write(text)),
    closeStdin: Effect.sync(() => child.stdin.end()),
    closeStdout: Effect.sync(() => child.stdout.destroy()),
    closeStderr: Effect.sync(() => child.stderr.destroy()),
    output: Effect.sync(() => ({ stdout, stderr })),
    result: Effect.map(Deferred.await(closed), (code) => ({ code, stdout, stderr }))
  }
})

const toResult = (running: Effect.Effect<Running, never, Scope.Scope>): Effect.Effect<Result> =>
  Effect.scoped(Effect.flatMap(running, ({ result }) => result))

/** Runs it to its end. */
export const run = (args: ReadonlyArray<string>, options?: Options): Effect.Effect<Result> =>
  toResult(start(args, options))

/** Runs it on a pseudo-terminal to its end. */
export const runOnTerminal = (args: ReadonlyArray<string>, options?: Options): Effect.Effect<Result> =>
  toResult(startOnTerminal(args, options))

/** Runs a shell to its end. */
export const runShell = (script: string, options?: Options): Effect.Effect<Result> =>
  toResult(startShell(script, options))
