/** A PostgreSQL with an empty database, in a temporary folder. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Path from "node:path"
import * as Process from "./process.ts"

export interface Postgres extends Process.Process {
  /** Stays the same when it is killed and started again. */
  readonly url: string
}

/** Runs until the scope ends. What was committed outlives `kill`; what the machine loses is of no interest, so nothing is synced. */
export const make: Effect.Effect<Postgres, never, Scope.Scope> = Effect.gen(function* () {
  const program = Process.find("postgres")
  const folder = yield* Process.folder
  const data = Path.join(folder, "data")
  const port = yield* Process.freePort
  yield* Process.run(program, "initdb", ["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"])
  const process = yield* Process.make({
    program,
    executable: "postgres",
    args: ["-D", data, "-h", "127.0.0.1", "-p", String(port), "-k", folder, "-F"],
    isUnprivileged: true,
    ready: "database system is ready to accept connections",
    stop: "SIGQUIT"
  })
  return { ...process, url: `postgres://postgres@127.0.0.1:${port}/postgres` }
})
