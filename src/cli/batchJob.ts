/** Batches whose workers run on many machines. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Path from "effect/Path"
import { PersistedQueueError } from "effect/persistence/PersistedQueue"
import * as Schedule from "effect/Schedule"
import * as SqlClient from "effect/sql/SqlClient"
import { SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import * as Batch from "../Batch.ts"
import * as BatchJobs from "../BatchJobs.ts"
import * as Database from "./database.ts"
import * as Failure from "./failure.ts"
import * as Output from "./output.ts"

interface Job {
  readonly cluster: string | undefined
  /** Of the requests. */
  readonly file: string
  readonly job: string | undefined
  readonly out: string
  readonly retryFailed: boolean
}

/** A database that cannot be reached is an error at the start, since its address may be wrong. Later it is waited for. */
const jobsOf = (cluster: string | undefined) =>
  Layer.effectContext(
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`SELECT 1`
      return yield* whileDown(Effect.suspend(() => Layer.build(Layer.fresh(BatchJobs.layer()))))
    })
  ).pipe(Layer.provide(Database.layer(cluster)))

/** Submits the requests, waits for the workers, and writes the results. Each part can be cut, and is done again by the same command. */
export const submit = (
  { cluster, file, job, out, retryFailed }: Job,
  onProgress: (progress: Batch.Progress) => Effect.Effect<void>
) =>
  Effect.gen(function* () {
    const { basename } = yield* Path.Path
    const name = job ?? basename(file)
    const jobs = yield* BatchJobs.BatchJobs
    // Workers begin with the first requests, so all lines are checked before.
    const total = yield* Stream.runCount(Batch.readRequests(file))
    yield* whileDown(jobs.submit(name, Batch.readRequests(file)))
    if (retryFailed) yield* whileDown(jobs.retryFailed(name))
    const wait = whileDown(jobs.progress(name)).pipe(
      Effect.tap(({ done, failed, total }) => onProgress({ total, done, failed, waiting: 0 })),
      Effect.repeat({ until: ({ done, total }) => done === total, schedule: Schedule.spaced("1 second") })
    )
    const progress = yield* Effect.onInterrupt(wait, () =>
      Output.note("the workers go on; the same command waits for them again")
    )
    if (progress.total < total) return yield* Failure.fail(`the job "${name}" was removed from the database`)
    if (progress.total > total) yield* Output.note(`the job "${name}" also has requests that are not in ${file}`)
    yield* whileDown(Batch.writeResults(out, jobs.results(name)))
    return { total: progress.total, done: progress.done, failed: progress.failed, waiting: 0 }
  }).pipe(
    Effect.provide(jobsOf(cluster)),
    Effect.catchTag(["SqlError", "PersistedQueueError"], (error) => Failure.fail(Database.describe(error)))
  )

/** The database may be restarted. */
const whileDown = <A, E, R>(effect: Effect.Effect<A, E | BatchJobs.JobError, R>) => {
  let isNoted = false
  const note = (error: unknown) =>
    Effect.suspend(() => {
      if (isNoted || !isOfDatabase(error)) return Effect.void
      isNoted = true
      return Output.note(`${Database.describe(error)}; it is tried again for 10 minutes`)
    })
  return Effect.tapError(effect, note).pipe(
    Effect.retry({
      while: (error) => isOfDatabase(error),
      schedule: Schedule.spaced("1 second").pipe(Schedule.upTo({ duration: "10 minutes" }))
    })
  )
}

const isOfDatabase = (error: unknown): error is BatchJobs.JobError =>
  error instanceof SqlError || error instanceof PersistedQueueError

/** Also one whose requests are not answered yet. */
export const remove = (cluster: string | undefined, job: string) =>
  Effect.gen(function* () {
    const jobs = yield* BatchJobs.BatchJobs
    const { total } = yield* jobs.progress(job)
    if (total === 0) return yield* Failure.fail(`there is no job "${job}"`)
    yield* jobs.remove(job)
    yield* Output.note(`removed the job "${job}" with ${total} requests`)
  }).pipe(
    Effect.provide(jobsOf(cluster)),
    Effect.catchTag(["SqlError", "PersistedQueueError"], (error) => Failure.fail(Database.describe(error)))
  )

/** Until a signal stops it, which gives the requests that run to other workers. */
export const work = (cluster: string | undefined, concurrency: number) =>
  Output.note(`waits for requests, ${concurrency} at a time`).pipe(
    Effect.andThen(Layer.launch(BatchJobs.worker({ concurrency }))),
    Effect.provide(jobsOf(cluster)),
    Effect.catchTag(["SqlError", "PersistedQueueError"], (error) => Failure.fail(Database.describe(error))),
    Effect.provideService(Logger.LogToStderr, true)
  )
