/** The database of a cluster. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { variable } from "./access.ts"
import * as Failure from "./failure.ts"

/** Without `--cluster`. It may have a password, which other users of this machine see on a command line. */
export const urlVariable = "LOCAL_LLM_CLUSTER"

/** The `SqlClient` of an address such as `postgres://user@host/database`. The password is in `PGPASSWORD`, or else in the variable. */
export const layer = (flag: string | undefined) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const url = flag ?? (yield* variable(urlVariable)).trim()
      yield* check(url, flag === undefined ? urlVariable : "--cluster")
      const password = yield* variable("PGPASSWORD")
      const { layer, PgClient } = yield* Effect.tryPromise({
        try: () => import("@effect/sql-pg/PgClient"),
        catch: () => new Failure.CommandFailed({ message: "a cluster needs a package: npm install @effect/sql-pg" })
      })
      const client = layer({
        url: Redacted.make(url),
        applicationName: "local-llm",
        ...(password === "" ? {} : { password: Redacted.make(password) })
      })
      // What makes its tables later would not say why it cannot.
      const probe = Effect.flatMap(PgClient, (sql) => sql`SELECT 1`)
      return Layer.provideMerge(Layer.effectDiscard(probe), client)
    })
  )

/** The address is not quoted: it may have a password. */
const check = (text: string, source: string): Effect.Effect<void, Failure.CommandFailed> => {
  const url = URL.parse(text)
  if (url === null || !/^postgres(ql)?:$/.test(url.protocol)) {
    return Failure.fail(`${source} is the address of a PostgreSQL database, such as postgres://user@host/database`)
  }
  if (source !== urlVariable && (url.password !== "" || url.searchParams.has("password"))) {
    return Failure.fail(`other users see the password of --cluster; set PGPASSWORD, or ${urlVariable} to the address`)
  }
  return Effect.void
}

/** In one line, without the statement. */
export const describe = (error: { readonly message: string; readonly cause?: unknown }): string => {
  const causes = [error]
  for (let cause = error.cause; cause instanceof Error; cause = cause.cause) causes.push(cause)
  return `the database: ${causes.at(-1)?.message ?? error.message}`
}
