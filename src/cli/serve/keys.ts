/** The file of the keys of a gateway, and the commands that change it. It has the SHA-256 of each key, not the key. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Predicate from "effect/Predicate"
import * as Record from "effect/Record"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import { createHash, randomBytes, timingSafeEqual } from "node:crypto"
import * as Failure from "../failure.ts"
import * as Files from "../files.ts"
import type * as Flags from "../flags.ts"
import * as Folders from "../folders.ts"
import * as JsonFile from "../jsonFile.ts"
import { count, text } from "../jsonFile.ts"
import * as Output from "../output.ts"
import * as Table from "../table.ts"

const Key = Schema.Struct({
  /** Unique. In messages and metrics. */
  name: text,
  /** In hexadecimal digits. */
  sha256: Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/, { message: "Expected a SHA-256 in 64 digits" })),
  /** By the names that clients send. Default: all. */
  models: Schema.optionalKey(Schema.Array(text)),
  requestsAtOnce: Schema.optionalKey(count(1)),
  requestsPerMinute: Schema.optionalKey(count(1)),
  /** Of prompts and answers. */
  tokensPerMinute: Schema.optionalKey(count(1)),
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
    yield* Effect.catch(Files.replace(file, `${JSON.stringify({ keys }, null, 2)}\n`), unwritable(file))
  })
  yield* Effect.scoped(changed)
})

const unwritable = (file: string) => Failure.failForFile("--keys", file, "written")

/** How long another program may take to change the file, which is a matter of milliseconds. */
const lockTimeout = "3 seconds"

/** A file that one program has at a time. One that is killed leaves it behind, and only the user can know that. */
const lock = Effect.fnUntraced(function* (file: string) {
  const files = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const name = `${file}.lock`
  yield* Effect.catch(Files.makeFolder(path.dirname(file)), unwritable(file))
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
    Effect.catchTag("PlatformError", unwritable(file))
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

/** Prints a new key. It is printed once, since the file has its hash only. */
export const add = Effect.fnUntraced(function* (input: Flags.Input<typeof Flags.addKey>) {
  const { json, mayPull, maySeeStatus, models, name, priority, requestsAtOnce, requestsPerMinute, tokensPerMinute } =
    input
  if (name.trim() === "") return yield* Failure.fail("the name of a key is empty")
  const file = input.file ?? (yield* defaultFile)
  const limits = { requestsAtOnce, requestsPerMinute, tokensPerMinute }
  const [limit] = Object.entries(limits).find(([, value]) => value !== undefined && value < 1) ?? []
  if (limit !== undefined) return yield* Failure.fail(`--${toFlag(limit)} is a whole number, 1 or more`)
  const key = yield* generate
  const rights = Record.filter({ mayPull, maySeeStatus }, (isAllowed) => isAllowed)
  const added: Key = {
    name,
    sha256: toSha256(key),
    ...(models.length === 0 ? {} : { models }),
    ...Record.filter(limits, Predicate.isNotUndefined),
    ...(priority === undefined ? {} : { priority }),
    ...rights
  }
  yield* change(file, (keys) =>
    keys.some((key) => key.name === name)
      ? Failure.fail(`there is a key "${name}" already; "local-llm keys remove" removes it`)
      : Effect.succeed([...keys, added])
  )
  if (json) return yield* Output.writeJson({ name, key: Redacted.value(key), file })
  yield* Output.note(`The key of ${name}. It is shown only now; ${file} has its hash.`)
  yield* Output.writeLine(Redacted.value(key))
})

const toFlag = (field: string): string => field.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

/** Lists the keys without their hashes. */
export const list = Effect.fnUntraced(function* (input: Flags.Input<typeof Flags.listKeys>) {
  const file = input.file ?? (yield* defaultFile)
  const keys = yield* input.file === undefined ? loadIfAny(file) : load(file)
  if (input.json) return yield* Output.writeJson(keys.map((key) => Struct.omit(key, ["sha256"])))
  if (keys.length === 0) return yield* Output.note(`no keys in ${file}; "local-llm keys add NAME" adds one`)
  yield* Table.print(
    keys.map((key) => [
      key.name,
      key.models?.join(", ") ?? "all models",
      key.requestsAtOnce === undefined ? "" : `${key.requestsAtOnce} at once`,
      key.requestsPerMinute === undefined ? "" : `${key.requestsPerMinute} requests a minute`,
      key.tokensPerMinute === undefined ? "" : `${key.tokensPerMinute} tokens a minute`,
      key.priority ?? "",
      key.mayPull === true ? "pull" : "",
      key.maySeeStatus === true ? "status" : ""
    ])
  )
})

/** Removes keys. If one of the names is missing, none is removed. */
export const remove = Effect.fnUntraced(function* (input: Flags.Input<typeof Flags.removeKeys>) {
  const file = input.file ?? (yield* defaultFile)
  yield* change(file, (keys) => {
    const missing = input.names.filter((name) => !keys.some((key) => key.name === name))
    return missing.length > 0
      ? Failure.fail(`there is no key ${missing.map((name) => `"${name}"`).join(", ")} in ${file}`)
      : Effect.succeed(keys.filter(({ name }) => !input.names.includes(name)))
  })
  yield* Effect.forEach(
    input.names,
    (name) => (input.json ? Output.writeJson({ name, status: "removed" }) : Output.writeLine(`removed ${name}`)),
    { discard: true }
  )
})
