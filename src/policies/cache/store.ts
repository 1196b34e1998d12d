/** Where completions are kept: bounded, the one that was used the longest ago is removed first. It never fails. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Schema from "effect/Schema"
import { StreamingChunk } from "../../StreamingChunk.ts"

const Entry = Schema.fromJsonString(
  Schema.Struct({
    version: Schema.Literal(1),
    /** When it was stored, in milliseconds since 1970. */
    at: Schema.Finite,
    chunks: Schema.Array(StreamingChunk)
  })
)

interface Entry extends Schema.Schema.Type<typeof Entry> {}

const decodeEntry = Schema.decodeUnknownEffect(Entry)
const encodeEntry = Schema.encodeEffect(Entry)

/** What keeps entries. */
interface Backend {
  readonly get: (key: string) => Effect.Effect<Entry | undefined, unknown>
  /** Returns the bytes. */
  readonly set: (key: string, entry: Entry, bytes: number) => Effect.Effect<number, unknown>
  readonly remove: (key: string) => Effect.Effect<void, unknown>
  readonly keys: Effect.Effect<ReadonlyArray<string>, unknown>
}

const inMemory = (): Backend => {
  const entries = new Map<string, Entry>()
  return {
    get: (key) => Effect.sync(() => entries.get(key)),
    set: (key, entry, bytes) => Effect.sync(() => (entries.set(key, entry), bytes)),
    remove: (key) => Effect.sync(() => void entries.delete(key)),
    keys: Effect.succeed([])
  }
}

/** Other keys of the store are left alone. */
const prefix = "effect-local-llm-answer-"

const inStore = (store: KeyValueStore.KeyValueStore): Backend => ({
  get: (key) =>
    Effect.flatMap(store.get(prefix + key), (text) => (text === undefined ? Effect.undefined : decodeEntry(text))),
  set: (key, entry) =>
    Effect.flatMap(encodeEntry(entry), (text) => Effect.as(store.set(prefix + key, text), text.length)),
  remove: (key) => store.remove(prefix + key),
  keys: Effect.map(store.keys, (keys) =>
    keys.flatMap((key) => (key.startsWith(prefix) ? [key.slice(prefix.length)] : []))
  )
})

export interface Store {
  readonly get: (key: string) => Effect.Effect<ReadonlyArray<StreamingChunk> | undefined>
  readonly set: (key: string, chunks: ReadonlyArray<StreamingChunk>, bytes: number) => Effect.Effect<void>
}

export interface Options {
  /** Default: in memory. */
  readonly store?: KeyValueStore.KeyValueStore | undefined
  readonly maxEntries: number
  readonly maxBytes: number
  /** In milliseconds. */
  readonly timeToLive: number
}

/** How long a store may take. */
const storeTimeout = "1 second"

export const make = Effect.fnUntraced(function* ({ maxBytes, maxEntries, store, timeToLive }: Options) {
  const backend = store === undefined ? inMemory() : inStore(store)
  const attempt = makeAttempt()
  /** The bytes of each entry, the one that was used last at the end. Those of earlier programs count once they are used. */
  const used = new Map<string, number>()
  let total = 0
  const forget = (key: string): void => {
    total -= used.get(key) ?? 0
    used.delete(key)
  }
  const use = (key: string, bytes: number): void => {
    forget(key)
    used.set(key, bytes)
    total += bytes
  }
  const removeOldest: Effect.Effect<void> = Effect.suspend(() => {
    const [oldest] = used.keys()
    if (oldest === undefined || (used.size <= maxEntries && total <= maxBytes)) return Effect.void
    forget(oldest)
    return Effect.andThen(attempt(backend.remove(oldest)), removeOldest)
  })
  for (const key of (yield* attempt(backend.keys)) ?? []) use(key, 0)

  const result: Store = {
    get: Effect.fnUntraced(function* (key) {
      const entry = yield* attempt(backend.get(key))
      if (entry === undefined) return undefined
      const { at, chunks } = entry
      const isOld = !((yield* Clock.currentTimeMillis) - at < timeToLive)
      if (isOld || !isWhole(chunks)) return undefined
      use(key, used.get(key) ?? 0)
      return chunks
    }),
    set: Effect.fnUntraced(function* (key, chunks, bytes) {
      const at = yield* Clock.currentTimeMillis
      const written = yield* attempt(backend.set(key, { version: 1, at, chunks }, bytes))
      if (written === undefined) return
      use(key, written)
      yield* removeOldest
    })
  }
  return result
})

/** A store may have anything. */
const isWhole = (chunks: ReadonlyArray<StreamingChunk>): boolean =>
  chunks.length > 0 && chunks.every(({ isFinal }, i) => isFinal === (i === chunks.length - 1))

/** Runs an operation of the store; `undefined` if it fails or hangs. Warns of the first failure, and of the first after a success. */
const makeAttempt = () => {
  let isFailing = false
  return <A>(operation: Effect.Effect<A, unknown>): Effect.Effect<A | undefined> =>
    operation.pipe(
      Effect.timeout(storeTimeout),
      Effect.tap(() =>
        Effect.sync(() => {
          isFailing = false
        })
      ),
      Effect.catchCause(() => {
        if (isFailing) return Effect.undefined
        isFailing = true
        // Its cause may quote a completion.
        return Effect.as(
          Effect.logWarning("the store of the cache fails; requests are sent to the provider"),
          undefined
        )
      })
    )
}
