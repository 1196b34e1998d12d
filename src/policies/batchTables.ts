/** The tables of jobs: their requests, and one result for each. Rows are only added, so that a job of a million requests leaves no dead ones. */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"

/** A request that is added. */
export interface Added {
  readonly job: string
  /** As `toKey` has it. */
  readonly custom_id: string
  /** JSON. */
  readonly request: string
}

export type Page = Arr.NonEmptyReadonlyArray<Added>

/** How many rows one statement has. PostgreSQL takes 65,535 values in one, and SQLite 32,766. */
export const pageSize = 200

/** An id in a column. No database stores all characters, and JSON escapes those that they refuse. */
export const toKey = (id: string): string => JSON.stringify(id).slice(1, -1)

export interface BatchTables extends Effect.Success<typeof make> {}

/** Creates the tables that are missing. */
export const make = Effect.gen(function* () {
  const sql = (yield* SqlClient.SqlClient).withoutTransforms()
  yield* create(sql)
  return { ...ofJobs(sql), ...ofRequests(sql), ...ofResults(sql), transaction: sql.withTransaction }
})

const ofJobs = (sql: SqlClient.SqlClient) => ({
  /** Whether all requests of a job are there. */
  mark: (job: string, isSubmitted: boolean) =>
    sql`INSERT INTO batch_jobs (job, submitted) VALUES (${job}, ${Number(isSubmitted)})
      ON CONFLICT (job) DO UPDATE SET submitted = ${Number(isSubmitted)}`,

  count: (job: string) =>
    Effect.map(
      sql<Record<"total" | "done" | "failed" | "submitted", number | bigint | null>>`SELECT
        (SELECT COUNT(*) FROM batch_requests WHERE job = ${job}) AS total,
        (SELECT COUNT(*) FROM batch_results WHERE job = ${job}) AS done,
        (SELECT COUNT(*) FROM batch_results WHERE job = ${job} AND failed = 1) AS failed,
        (SELECT submitted FROM batch_jobs WHERE job = ${job}) AS submitted`,
      ([row]) => ({
        total: Number(row?.total ?? 0),
        done: Number(row?.done ?? 0),
        failed: Number(row?.failed ?? 0),
        isSubmitted: Number(row?.submitted ?? 0) === 1
      })
    ),

  remove: (job: string) =>
    Effect.forEach(
      ["batch_requests", "batch_results", "batch_jobs"],
      (table) => sql`DELETE FROM ${sql(table)} WHERE job = ${job}`,
      { discard: true }
    ).pipe(sql.withTransaction)
})

const ofRequests = (sql: SqlClient.SqlClient) => ({
  /** Adds those that are not there. Returns their ids. */
  add: (page: Page) =>
    Effect.map(
      sql<{
        readonly id: number | bigint
      }>`INSERT INTO batch_requests ${sql.insert(Arr.map(page, (row) => ({ ...row })))}
        ON CONFLICT (job, custom_id) DO NOTHING RETURNING id`,
      (rows) => rows.map(({ id }) => Number(id))
    ),

  /** The requests of a job with these ids of the user. */
  stored: (job: string, customIds: ReadonlyArray<string>) =>
    sql<{ readonly custom_id: string; readonly request: string }>`SELECT custom_id, request FROM batch_requests
      WHERE job = ${job} AND ${sql.in("custom_id", customIds)}`,

  /** A request without a result. */
  find: (id: number) =>
    Effect.map(
      sql<{ readonly request: string }>`SELECT request FROM batch_requests r WHERE id = ${id}
        AND NOT EXISTS (SELECT 1 FROM batch_results s WHERE s.job = r.job AND s.request = r.id)`,
      ([row]) => row?.request
    )
})

const ofResults = (sql: SqlClient.SqlClient) => ({
  /** Adds the result of a request, if it has none, and if its job was not removed. */
  save: (id: number, result: string, isFailed: boolean) =>
    sql`INSERT INTO batch_results (job, request, failed, result)
      SELECT job, id, ${sql.literal(isFailed ? "1" : "0")}, ${result} FROM batch_requests WHERE id = ${id}
      ON CONFLICT (job, request) DO NOTHING`,

  /** The results of a job after one of them, in the order of the requests. */
  results: (job: string, after: number) =>
    sql<{ readonly request: number | bigint; readonly result: string }>`SELECT request, result FROM batch_results
      WHERE job = ${job} AND request > ${after} ORDER BY request LIMIT ${sql.literal(String(pageSize))}`,

  /** Removes results that are failures, after one of them. Returns the ids of their requests. */
  removeFailed: (job: string, after: number) =>
    Effect.map(
      sql<{ readonly request: number | bigint }>`DELETE FROM batch_results WHERE job = ${job} AND request IN (
        SELECT request FROM batch_results WHERE job = ${job} AND failed = 1 AND request > ${after}
        ORDER BY request LIMIT ${sql.literal(String(pageSize))}) RETURNING request`,
      (rows) => rows.map(({ request }) => Number(request))
    )
})

/** PostgreSQL and SQLite. Processes that start at the same time must not create them at the same time: PostgreSQL fails then. */
const create = (sql: SqlClient.SqlClient): Effect.Effect<void, SqlError> => {
  const id = sql.onDialectOrElse({
    pg: () => sql.literal("BIGSERIAL PRIMARY KEY"),
    orElse: () => sql.literal("INTEGER PRIMARY KEY AUTOINCREMENT")
  })
  const lock = sql.onDialectOrElse({
    pg: () => Effect.asVoid(sql`SELECT pg_advisory_xact_lock(7216448093552)`),
    orElse: () => Effect.void
  })
  const statements = [
    lock,
    sql`CREATE TABLE IF NOT EXISTS batch_jobs (job TEXT PRIMARY KEY, submitted SMALLINT NOT NULL)`,
    sql`CREATE TABLE IF NOT EXISTS batch_requests (
      id ${id}, job TEXT NOT NULL, custom_id TEXT NOT NULL, request TEXT NOT NULL, UNIQUE (job, custom_id))`,
    sql`CREATE TABLE IF NOT EXISTS batch_results (
      job TEXT NOT NULL, request BIGINT NOT NULL, failed SMALLINT NOT NULL, result TEXT NOT NULL,
      PRIMARY KEY (job, request))`,
    sql`CREATE INDEX IF NOT EXISTS batch_failures ON batch_results (job, request) WHERE failed = 1`
  ]
  return Effect.all(statements, { discard: true }).pipe(sql.withTransaction)
}
