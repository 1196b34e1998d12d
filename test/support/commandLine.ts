/** The command line in a process of its own. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

export interface Output {
  readonly stdout: string
  readonly stderr: string
}

export interface Result extends Output {
  readonly code: number | null
}

export interface Running {
  /** Waits for output that is as the predicate wants it. */
  readonly until: (predicate: (output: Output) => boolean) => Effect.Effect<void>
  /** Ctrl-C. */
  readonly interrupt: Effect.Effect<void>
  /** What `head` does once it has seen enough. */
  readonly closeStdout: Effect.Effect<void>
  readonly result: Effect.Effect<Result>
}

export interface Options {
  readonly env?: Readonly<Record<string, string>> | undefined
  /** What comes on standard input. Default: nothing. */
  readonly input?: string | undefined
}

/** Nothing listens there. */
export const nowhere = "http://127.0.0.1:1"

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))

/** Starts it. It knows of no server but those that `env` or the arguments name. */
export const start = Effect.fnUntraced(function* (
  args: ReadonlyArray<string>,
  { env, input = "" }: Options = {}
): Effect.fn.Return<Running, never, Scope.Scope> {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [main, ...args], {
        env: { PATH: process.env["PATH"], OLLAMA_HOST: nowhere, LMSTUDIO_BASE_URL: nowhere, ...env }
      })
    ),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  child.stdin.end(input)
  let stdout = ""
  let stderr = ""
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text))
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text))

  return {
    until: (predicate) =>
      Effect.callback<void>((resume) => {
        const look = (): void => {
          if (predicate({ stdout, stderr })) resume(Effect.void)
        }
        const streams = [child.stdout, child.stderr]
        for (const stream of streams) stream.on("data", look)
        look()
        return Effect.sync(() => {
          for (const stream of streams) stream.off("data", look)
        })
      }),
    interrupt: Effect.sync(() => child.kill("SIGINT")),
    closeStdout: Effect.sync(() => child.stdout.destroy()),
    result: Effect.callback<Result>((resume) => {
      const done = (code: number | null): void => resume(Effect.succeed({ code, stdout, stderr }))
      if (child.exitCode !== null) done(child.exitCode)
      else child.once("close", done)
    })
  }
})

/** Runs it to its end. */
export const run = (args: ReadonlyArray<string>, options?: Options): Effect.Effect<Result> =>
  Effect.scoped(Effect.flatMap(start(args, options), ({ result }) => result))
