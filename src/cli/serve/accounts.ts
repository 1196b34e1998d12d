/** Who may use a gateway: the owners of its keys, each with limits of its own. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as RateLimiter from "effect/persistence/RateLimiter"
import type * as Redacted from "effect/Redacted"
import { platform } from "node:process"
import type { Access, Caller } from "../../gateway/access.ts"
import * as GatewayAccess from "../../gateway/access.ts"
import { Refusal } from "../../gateway/refusal.ts"
import { RateLimited } from "../../ProviderError.ts"
import * as Output from "../output.ts"
import * as Keys from "./keys.ts"

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
export const make = Effect.fnUntraced(function* (file: string) {
  const context = yield* Effect.context<FileSystem.FileSystem>()
  yield* noteOthers(file)
  const limiter = yield* Effect.provide(RateLimiter.make, RateLimiter.layerStoreMemory)
  let keys = yield* Keys.load(file)
  let find = Keys.makeFind(keys)
  /** By name, so that a limit outlives a change of the file. */
  const running = new Map<string, number>()

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
    authorize: (key) => Effect.map(authorized(key), (key) => toCaller(key, limiter, running)),
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

const toCaller = (key: Keys.Key, limiter: RateLimiter.RateLimiter, running: Map<string, number>): Caller => {
  const { mayPull = false, models, name, priority = "interactive", requestsPerMinute, tokensPerMinute } = key
  return {
    name,
    caller: { name, priority },
    allows: (model) => models === undefined || models.some((allowed) => withoutTag(allowed) === withoutTag(model)),
    mayPull,
    admit: Effect.gen(function* () {
      yield* enter(key, running)
      // The first one of its tokens: a bucket in debt has none.
      if (tokensPerMinute !== undefined) yield* consume(limiter, `tokens ${name}`, tokensPerMinute, 1)
      if (requestsPerMinute !== undefined) yield* consume(limiter, `requests ${name}`, requestsPerMinute, 1)
    }),
    // What an answer takes is known at its end.
    onUsage: ({ completionTokens = 0, promptTokens = 0 }) =>
      tokensPerMinute === undefined
        ? Effect.void
        : Effect.ignore(
            limiter.consume({
              ...bucket,
              key: `tokens ${name}`,
              limit: tokensPerMinute,
              tokens: Math.max(0, promptTokens + completionTokens - 1),
              onExceeded: "delay"
            })
          )
  }
}

/** Names with and without this tag mean the same model on Ollama. */
const withoutTag = (model: string): string => model.replace(/:latest$/, "")

const bucket = { algorithm: "token-bucket", window: "1 minute" } as const

const consume = (limiter: RateLimiter.RateLimiter, key: string, limit: number, tokens: number) =>
  limiter.consume({ ...bucket, key, limit, tokens }).pipe(
    Effect.asVoid,
    Effect.catch(({ reason }) =>
      // The store in memory does not fail.
      Effect.fail(
        new RateLimited({
          retryAfter: reason._tag === "RateLimitExceeded" ? reason.retryAfter : Duration.minutes(1)
        })
      )
    )
  )

/** When a request that runs ends is not known. */
const retryAfterBusy = Duration.seconds(1)

const enter = ({ name, requestsAtOnce = Infinity }: Keys.Key, running: Map<string, number>) =>
  Effect.acquireRelease(
    Effect.suspend(() => {
      const count = running.get(name) ?? 0
      if (count >= requestsAtOnce) return Effect.fail(new RateLimited({ retryAfter: retryAfterBusy }))
      running.set(name, count + 1)
      return Effect.void
    }),
    () =>
      Effect.sync(() => {
        const count = (running.get(name) ?? 1) - 1
        if (count > 0) running.set(name, count)
        else running.delete(name)
      })
  )
