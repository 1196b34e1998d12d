/** A file that says which process writes to another file. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Os from "node:os"
import * as Failure from "./failure.ts"

/**
 * Holds a lock until the scope ends. One whose process has been killed counts as free. A process on another machine cannot be asked, so
 * its lock stays: the message says which file to delete.
 */
export const hold = Effect.fnUntraced(function* (lock: string, file: string) {
  const files = yield* FileSystem.FileSystem
  const own = `${process.pid} ${Os.hostname()}`
  const create = files.writeFileString(lock, own, { flag: "wx" })
  const isTaken = (owner: string) => {
    const [, pid = "", host] = /^(\d+) (\S+)$/.exec(owner) ?? []
    if (host !== undefined && (host !== Os.hostname() || (owner !== own && isRunning(Number(pid))))) {
      return Failure.fail(`the process ${pid} on ${host} writes to ${file}; if it does not, delete ${lock}`)
    }
    return Effect.void
  }
  const take = Effect.catchIf(
    create,
    (error) => error.reason._tag === "AlreadyExists",
    () =>
      Effect.gen(function* () {
        yield* Effect.flatMap(files.readFileString(lock), isTaken)
        // Two processes that find it at the same time do not remove what the other one creates: only one can rename it.
        const stale = `${lock}.${process.pid}`
        yield* files.rename(lock, stale)
        const owner = yield* files.readFileString(stale)
        yield* Effect.onError(isTaken(owner), () => Effect.ignore(files.rename(stale, lock)))
        yield* files.remove(stale)
        yield* create
      })
  )
  yield* Effect.acquireRelease(take, () => Effect.ignore(files.remove(lock)))
})

const isRunning = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    // It is that of another user.
    return error instanceof Error && "code" in error && error.code === "EPERM"
  }
}
