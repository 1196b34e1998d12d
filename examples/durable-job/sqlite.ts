// A `SqlClient` of the SQLite that Node has, for one process. Those of Effect, such as `@effect/sql-pg`, take its place.
import { Effect, Layer, Semaphore, Stream } from "effect"
import { Reactivity } from "effect/reactivity"
import { SqlClient, SqlError, Statement, type SqlConnection } from "effect/sql"
import { DatabaseSync, type SQLInputValue } from "node:sqlite"

const isInput = (value: unknown): value is SQLInputValue =>
  value === null || ["string", "number", "bigint"].includes(typeof value) || value instanceof Uint8Array

const make = (filename: string) =>
  Effect.gen(function* () {
    const database = yield* Effect.acquireRelease(
      Effect.sync(() => new DatabaseSync(filename)),
      (database) => Effect.sync(() => database.close())
    )
    database.exec("PRAGMA journal_mode = WAL")

    const rows: SqlConnection.Connection["execute"] = (sql, params, transform) =>
      Effect.try({
        try: () => {
          const inputs = params.map((value) => (isInput(value) ? value : String(value)))
          const rows = database.prepare(sql).all(...inputs)
          return transform?.(rows) ?? rows
        },
        catch: (cause) => new SqlError.SqlError({ reason: SqlError.classifySqliteError(cause, {}) })
      })
    const values: SqlConnection.Connection["executeValues"] = (sql, params) =>
      Effect.map(rows(sql, params, undefined), (rows) => rows.map((row) => Object.values(row)))
    const connection: SqlConnection.Connection = {
      execute: rows,
      executeUnprepared: rows,
      executeRaw: (sql, params) => rows(sql, params, undefined),
      executeStream: (sql, params, transform) => Stream.fromIterableEffect(rows(sql, params, transform)),
      executeValues: values,
      executeValuesUnprepared: values
    }
    // A transaction has the connection for itself.
    const semaphore = yield* Semaphore.make(1)
    return yield* SqlClient.make({
      driver: "sqlite",
      acquirer: Effect.succeed(connection).pipe(semaphore.withPermits(1)),
      transactionAcquirer: Effect.as(
        Effect.acquireRelease(semaphore.take(1), () => semaphore.release(1)),
        connection
      ),
      compiler: Statement.makeCompilerSqlite(),
      spanAttributes: []
    })
  })

export const layer = (filename: string) =>
  Layer.effect(SqlClient.SqlClient, make(filename)).pipe(Layer.provide(Reactivity.layer))
