// An engine of workflows in one process, whose state is in a file: a `SqlClient` of the SQLite that Node has. Those of Effect, such as
// `@effect/sql-pg`, take its place.
import { NodeCrypto } from "@effect/platform-node"
import { Config, Effect, Layer, Semaphore, Stream } from "effect"
import { ClusterWorkflowEngine, SingleRunner } from "effect/cluster"
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

const filename = Config.String("JOBS").pipe(Config.withDefault("jobs.sqlite"))

export const layer = ClusterWorkflowEngine.layer.pipe(
  Layer.provide(SingleRunner.layer()),
  Layer.provide(Layer.effect(SqlClient.SqlClient, Effect.flatMap(filename, make))),
  Layer.provide([Reactivity.layer, NodeCrypto.layer])
)
