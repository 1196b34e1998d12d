/** Who may use a gateway: the owners of its keys, each with limits of its own. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import { platform } from "node:process"
import type { Access, Caller } from "../../gateway/access.ts"
import * as GatewayAccess from "../../gateway/access.ts"
import { Refusal } from "../../gateway/access.ts"
import * as Limits from "../../policies/limits.ts"
import * as Output from "../output.ts"
import * as Keys from "./keys.ts"
import type { Shared } from "./redis.ts"

type Key = Redacted.Redacted<string> | undefined

export interface Accounts extends Access {
  /** Whether the owner of a key may see the status. */
  readonly authorizeStatus: (key: Key) => Effect.Effect<void, Refusal>
  /** How many keys there are; `undefined` if none is needed. */
  readonly count: () => number | undefined
  /** Reads the file again. */
  readonly reload: Effect.Effect<void>
}

/** Everybody may do everything that a key without limits may. */
export const open: Accounts = {
  ...GatewayAccess.everybody,
  authorizeStatus: () => Effect.void,
  count: () => undefined,
  reload: Effect.void
}

/** How often the file is looked at for changes, in milliseconds. */
const maxAge = 1_000

const refuse = (status: 401 | 403, message: string) => Effect.fail(new Refusal({ status, message }))

/** The keys of a file. A change of the file counts after a second at most. While the file is invalid, the keys stay as they were. */
export const make = Effect.fnUntraced(function* (file: string, shared?: Pick<Shared, "limiter">) {
  const context = yield* Effect.context<FileSystem.FileSystem>()
  yield* noteOthers(file)
  /** By name, so that a limit outlives a change of the file. */
  const limits = yield* Limits.make(shared && { limiter: shared.limiter, onStoreError: "memory" })
  let keys = yield* Keys.load(file)
  let find = Keys.makeFind(keys)

  const reload = Effect.gen(function* () {
    keys = yield* Keys.load(file)
    find = Keys.makeFind(keys)
  }).pipe(
    Effect.catch(({ message }) => Output.note(`${message}; the keys stay as they were`)),
    Effect.provideContext(context)
  )
  const refresh = yield* makeRefresh(file, reload)

  const authorizeKey = (key: Key): Effect.Effect<Keys.Key, Refusal> =>
    Effect.suspend(() => {
      if (key === undefined) return refuse(401, "The gateway needs a key")
      const found = find(key)
      return found === undefined ? refuse(401, "The key is not valid") : Effect.succeed(found)
    })
  const authorized = (key: Key) => Effect.andThen(Effect.provideContext(refresh, context), authorizeKey(key))

  const accounts: Accounts = {
    authorize: (key) => Effect.map(authorized(key), (key) => toCaller(key, limits)),
    authorizeStatus: (key) =>
      Effect.flatMap(authorized(key), ({ maySeeStatus = false }) =>
        maySeeStatus ? Effect.void : refuse(403, "The key does not allow to see the status")
      ),
    count: () => keys.length,
    reload
  }
  return accounts
})

/** Who can write the file can give himself a key. */
const noteOthers = Effect.fnUntraced(function* (file: string) {
  const files = yield* FileSystem.FileSystem
  const mode = yield* Effect.match(files.stat(file), { onSuccess: ({ mode }) => mode, onFailure: () => 0 })
  if (platform !== "win32" && (mode & 0o022) > 0) {
    yield* Output.note(`${file} can be changed by other users of this machine; chmod 600 takes that from them`)
  }
})

/** Reloads the file if it has changed. Looks at most once in `maxAge`. */
const makeRefresh = Effect.fnUntraced(function* (file: string, reload: Effect.Effect<void>) {
  const files = yield* FileSystem.FileSystem
  const clock = yield* Clock.Clock
  const version = files.stat(file).pipe(
    Effect.map(({ ino, mtime, size }) =>
      [Option.getOrUndefined(mtime)?.getTime(), Option.getOrUndefined(ino), size].join()
    ),
    Effect.orElseSucceed(() => "missing")
  )
  let seen = yield* version
  let lookedAt = clock.currentTimeMillisUnsafe()
  return Effect.suspend(() => {
    const now = clock.currentTimeMillisUnsafe()
    if (now - lookedAt < maxAge) return Effect.void
    lookedAt = now
    return Effect.flatMap(version, (current) => {
      if (current === seen) return Effect.void
      seen = current
      return reload
    })
  })
})

const toCaller = (key: Keys.Key, limits: Limits.Limits): Caller => {
  const { mayPull = false, models, name, priority = "interactive" } = key
  return {
    name,
    caller: { name, priority },
    allows: (model) => models === undefined || models.some((allowed) => withoutTag(allowed) === withoutTag(model)),
    mayPull,
    admit: limits.admit(name, key, false),
    // What an answer takes is known at its end.
    onUsage: ({ completionTokens = 0, promptTokens = 0 }) => limits.spend(name, key, promptTokens + completionTokens)
  }
}

/** Names with and without this tag mean the same model on Ollama. */
const withoutTag = (model: string): string => model.replace(/:latest$/, "")
