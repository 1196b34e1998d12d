/** A Redis that needs a password. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Process from "./process.ts"

export interface Redis extends Process.Process {
  /** Without the password. Stays the same when it is killed and started again. */
  readonly url: string
  readonly password: string
}

/** Runs until the scope ends. It keeps nothing when it is killed. */
export const make: Effect.Effect<Redis, never, Scope.Scope> = Effect.gen(function* () {
  const program = Process.find("redis")
  const folder = yield* Process.folder
  const port = yield* Process.freePort
  const password = "a-secret-of-redis"
  const process = yield* Process.make({
    program,
    executable: "redis-server",
    args: ["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--requirepass", password],
    isUnprivileged: true,
    ready: "Ready to accept connections",
    stop: "SIGTERM"
  })
  return { ...process, url: `redis://127.0.0.1:${port}`, password }
})
