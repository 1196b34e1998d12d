/** The commands for the keys of a gateway. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Record from "effect/Record"
import * as Predicate from "effect/Predicate"
import * as Struct from "effect/Struct"
import * as Failure from "../failure.ts"
import type * as Flags from "../flags.ts"
import * as Output from "../output.ts"
import * as Table from "../table.ts"
import * as Keys from "./keys.ts"

/** Prints a new key. It is printed once, since the file has its hash only. */
export const add = Effect.fnUntraced(function* (input: Flags.Input<typeof Flags.addKey>) {
  const { json, mayPull, maySeeStatus, models, name, priority, requestsAtOnce, requestsPerMinute, tokensPerMinute } =
    input
  if (name.trim() === "") return yield* Failure.fail("the name of a key is empty")
  const file = input.file ?? (yield* Keys.defaultFile)
  const limits = { requestsAtOnce, requestsPerMinute, tokensPerMinute }
  const [limit] = Object.entries(limits).find(([, value]) => value !== undefined && value < 1) ?? []
  if (limit !== undefined) return yield* Failure.fail(`--${toFlag(limit)} is a whole number, 1 or more`)
  const key = yield* Keys.generate
  const rights = Record.filter({ mayPull, maySeeStatus }, (isAllowed) => isAllowed)
  const added: Keys.Key = {
    name,
    sha256: Keys.toSha256(key),
    ...(models.length === 0 ? {} : { models }),
    ...Record.filter(limits, Predicate.isNotUndefined),
    ...(priority === undefined ? {} : { priority }),
    ...rights
  }
  yield* Keys.change(file, (keys) =>
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
  const file = input.file ?? (yield* Keys.defaultFile)
  const keys = yield* input.file === undefined ? Keys.loadIfAny(file) : Keys.load(file)
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
  const file = input.file ?? (yield* Keys.defaultFile)
  yield* Keys.change(file, (keys) => {
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
