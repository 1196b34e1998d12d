/** The file of the keys of a gateway. It has the SHA-256 of each key, not the key. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { createHash, randomBytes, timingSafeEqual } from "node:crypto"
import * as Files from "../conversation/files.ts"
import * as Failure from "../failure.ts"
import * as Folders from "../folders.ts"
import * as JsonFile from "../jsonFile.ts"

const text = Schema.NonEmptyString

const count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1, { message: "Expected a whole number, 1 or more" }))

const Key = Schema.Struct({
  /** Unique. In messages and metrics. */
  name: text,
  /** In hexadecimal digits. */
  sha256: Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/, { message: "Expected a SHA-256 in 64 digits" })),
  /** By the names that clients send. Default: all. */
  models: Schema.optionalKey(Schema.Array(text)),
  requestsAtOnce: Schema.optionalKey(count),
  requestsPerMinute: Schema.optionalKey(count),
  /** Of prompts and answers. */
  tokensPerMinute: Schema.optionalKey(count),
  /** Default: `interactive`. */
  priority: Schema.optionalKey(Schema.Literals(["interactive", "batch"])),
  /** Whether it may load models onto the disks of the hosts. Default: `false`. */
  mayPull: Schema.optionalKey(Schema.Boolean),
  /** Whether it may see the status page and the metrics. Default: `false`. */
  maySeeStatus: Schema.optionalKey(Schema.Boolean)
})

/** What is known about a key. */
export interface Key extends Schema.Schema.Type<typeof Key> {}

const findTwins = (keys: ReadonlyArray<Key>) =>
  keys.flatMap(({ name }, i) => {
    const first = keys.findIndex((key) => key.name === name)
    return first === i ? [] : [{ path: [i, "name"], issue: `Expected another name than that of keys[${first}]` }]
  })

const File = Schema.Struct({ keys: Schema.Array(Key).check(Schema.makeFilter(findTwins)) })

/** The file that is used if none is named. */
export const defaultFile = Effect.gen(function* () {
  const file = yield* Folders.configuration("keys.json")
  return file ?? (yield* Failure.fail("no folder for the file of the keys is known; name a file with --keys"))
})

/** The keys in a file. */
export const load = (file: string) => Effect.map(JsonFile.read(file, File, "--keys"), ({ keys }) => keys)

/** As `load`; none if there is no such file. */
export const loadIfAny = Effect.fnUntraced(function* (file: string) {
  const files = yield* FileSystem.FileSystem
  return (yield* Effect.orElseSucceed(files.exists(file), () => true)) ? yield* load(file) : []
})

/**
 * Replaces the file as a whole by what a function makes of its keys. Only its owner can read it. Programs that change it at the same time
 * wait for each other.
 */
export const change = Effect.fnUntraced(function* <R>(
  file: string,
  f: (keys: ReadonlyArray<Key>) => Effect.Effect<ReadonlyArray<Key>, Failure.CommandFailed, R>
) {
  const changed = Effect.gen(function* () {
    yield* lock(file)
    const keys = yield* f(yield* loadIfAny(file))
    yield* Effect.catch(Files.replace(file, `${JSON.stringify({ keys }, null, 2)}\n`), (error) =>
      unwritable(file, error)
    )
  })
  yield* Effect.scoped(changed)
})

const unwritable = (file: string, error: PlatformError) =>
  Failure.fail(`the file of --keys cannot be written: ${Failure.describeFile(error)}: ${file}`)

/** How long another program may take to change the file, which is a matter of milliseconds. */
const lockTimeout = "3 seconds"

/** A file that one program has at a time. One that is killed leaves it behind, and only the user can know that. */
const lock = Effect.fnUntraced(function* (file: string) {
  const files = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const name = `${file}.lock`
  yield* Effect.catch(Files.makeFolder(path.dirname(file)), (error) => unwritable(file, error))
  const taken = Effect.acquireRelease(files.writeFileString(name, "", { flag: "wx", mode: 0o600 }), () =>
    Effect.ignore(files.remove(name))
  )
  yield* taken.pipe(
    Effect.retry({
      while: ({ reason }) => reason._tag === "AlreadyExists",
      schedule: Schedule.upTo(Schedule.spaced("50 millis"), { duration: lockTimeout })
    }),
    Effect.catchReason("PlatformError", "AlreadyExists", () =>
      Failure.fail(`another program changes ${file}; if there is none, remove ${name}`)
    ),
    Effect.catchTag("PlatformError", (error) => unwritable(file, error))
  )
})

/** Tools that know OpenAI's keys expect this beginning. */
const prefix = "sk-local-"

/** A new key. It is as hard to guess as its 256 random bits, so its hash needs no salt. */
export const generate: Effect.Effect<Redacted.Redacted<string>> = Effect.sync(() =>
  Redacted.make(`${prefix}${randomBytes(32).toString("base64url")}`)
)

const hash = (key: Redacted.Redacted<string>): Buffer => createHash("sha256").update(Redacted.value(key)).digest()

/** The hash of a key, as the file has it. */
export const toSha256 = (key: Redacted.Redacted<string>): string => hash(key).toString("hex")

/** Makes a search for the owner of a key. It takes the same time whichever key it is, and whether there is one. */
export const makeFind = (keys: ReadonlyArray<Key>) => {
  const hashes = keys.map(({ sha256 }) => Buffer.from(sha256, "hex"))
  return (key: Redacted.Redacted<string>): Key | undefined => {
    const own = hash(key)
    let found: Key | undefined
    for (const [i, each] of hashes.entries()) if (timingSafeEqual(each, own)) found = keys[i]
    return found
  }
}
