/** Where several gateways share what they know. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Access from "../access.ts"
import * as Failure from "../failure.ts"
import type { Address } from "./redis.ts"

/** The variable of Redis's own command line. */
const passwordVariable = "REDISCLI_AUTH"

/** Reads an address such as `redis://cache:6379`. It is not quoted if it may have a password. */
export const readAddress = Effect.fnUntraced(function* (text: string, source: string) {
  const { hostname = "", password = "", pathname = "", protocol = "" } = URL.parse(text) ?? {}
  if (password !== "") {
    return yield* Failure.fail(`${source} has a password; ${passwordVariable} is the variable for it`)
  }
  // The path is the number of a database.
  if (!/^rediss?:$/.test(protocol) || hostname === "" || !/^\/?\d*$/.test(pathname)) {
    return yield* Failure.fail(`${source} is an address such as redis://cache:6379, or rediss:// for TLS`)
  }
  const secret = yield* Access.variable(passwordVariable)
  const address: Address = { url: text, password: secret === "" ? undefined : Redacted.make(secret) }
  return address
})

/** The client of Redis is loaded only where it is used. */
export const connect = Effect.fnUntraced(function* (address: Address) {
  const { make } = yield* Effect.tryPromise({
    try: () => import("./redis.ts"),
    catch: () => new Failure.CommandFailed({ message: '--redis needs the package "redis": npm install redis' })
  })
  return yield* make(address)
})
