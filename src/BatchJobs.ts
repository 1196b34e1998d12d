/**
 * Many requests that workers on many machines share, with requests and results in a database.
 *
 * A job has a name. One program submits its requests, and any number of workers answer them. Each `custom_id` has exactly one result,
 * whichever of these programs, or the database, is killed. It needs a `SqlClient` of Effect, for PostgreSQL or SQLite, and has its own
 * import: `effect-local-llm/BatchJobs`.
 *
 * @category Policies
 * @since 0.3.0
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import { SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import * as Batch from "./Batch.ts"
import * as BatchTables from "./policies/batchTables.ts"
import type { Provider } from "./Provider.ts"
import { InvalidRequest, ProviderError } from "./ProviderError.ts"
import * as OptionSchema from "./servers/options.ts"

/**
 * How far a job is.
 *
 * @category models
 */
export interface Progress {
  /** How many requests are in the database. */
  readonly total: number
  /** How many of them have a result. */
  readonly done: number
  /** How many results are failures. */
  readonly failed: number
  /** Whether all requests are in the database. Until then the job is not complete, also if all that are there have results. */
  readonly isSubmitted: boolean
}

/**
 * The database does not do what it should, for example because it cannot be reached.
 *
 * @category models
 */
export type JobError = SqlError | PersistedQueue.PersistedQueueError

/**
 * The jobs of a database.
 *
 * @category services
 */
export interface BatchJobs {
  /**
   * Adds requests to a job, which is made if it is not there. Requests that are there are left as they are, so a program that was killed
   * does the same again. Fails with `InvalidRequest` if the job has another request with the same `custom_id`, if a `custom_id` has more
   * than 500 characters, and if the name of the job is not 1 to 200 characters that can be printed.
   */
  readonly submit: <E, R>(
    job: string,
    requests: Stream.Stream<Batch.Request, E, R>
  ) => Effect.Effect<Progress, E | ProviderError | JobError, R>
  /** How far a job is. One that is not there has no requests. */
  readonly progress: (job: string) => Effect.Effect<Progress, SqlError>
  /** The results that are there when they are read, in the order of the requests. Memory holds 200 of them. */
  readonly results: (job: string) => Stream.Stream<Batch.Result, SqlError>
  /** Removes the results of a job that are failures, and lets workers answer their requests again. Returns how many. */
  readonly retryFailed: (job: string) => Effect.Effect<number, JobError>
  /** Removes a job with its requests and results. Otherwise they stay in the database. */
  readonly remove: (job: string) => Effect.Effect<void, SqlError>
  /**
   * Waits for the next request of any job, answers it, and stores the result. Interrupted, it gives the request back at once. Fails if no
   * server can be reached or all are busy; the request is given back then. A request whose workers were killed ten times has a failure
   * with the code `WorkerLost`. `worker` runs it again and again.
   */
  readonly answerNext: Effect.Effect<Batch.Result | undefined, ProviderError | JobError, Provider>
}

/**
 * @category services
 */
export const BatchJobs = Context.Service<BatchJobs>("effect-local-llm/BatchJobs")

/**
 * The options of `layer`.
 *
 * @category options
 */
export interface Options {
  /**
   * After how long the requests of a worker that was killed are given to others, in whole seconds. A worker renews its claims five times in
   * it. One that is cut off from the database for longer goes on, but its requests are answered twice; the first result is kept. Default: 30
   * seconds.
   */
  readonly claimTimeout?: Duration.Input | undefined
  /** How often a worker without work looks for some. Default: 1 second. */
  readonly pollInterval?: Duration.Input | undefined
}

/** A request in the queue. Its text is in the table, so that it is there once. */
const Claim = Schema.Struct({ request: Schema.Number })

/** How many workers may end while they answer a request. It may be what ends them. */
const maxClaims = 10

const makeQueue = PersistedQueue.make({
  name: "effect-local-llm/batch",
  schema: Claim,
  // Claims are counted here, so that each request has a result in the end.
  maxAttempts: 2 ** 31 - 1,
  retrySchedule: Schedule.spaced("5 seconds")
})

interface Parts {
  readonly tables: BatchTables.BatchTables
  readonly queue: Effect.Success<typeof makeQueue>
}

const make = (tables: BatchTables.BatchTables) =>
  Effect.map(makeQueue, (queue) => {
    const parts: Parts = { tables, queue }
    return BatchJobs.of({
      submit: (job, requests) => submit(parts, job, requests),
      progress: tables.count,
      results: (job) => results(parts, job),
      retryFailed: (job) => retryFrom(parts, job, 0),
      remove: tables.remove,
      answerNext: answerNext(parts)
    })
  })

const offer = ({ queue }: Parts, ids: ReadonlyArray<number>) =>
  Effect.forEach(ids, (request) => queue.offer({ request }), { discard: true }).pipe(
    Effect.catchTag("SchemaError", Effect.die)
  )

const submitPage = (parts: Parts, job: string, page: BatchTables.Page) =>
  Effect.gen(function* () {
    const added = yield* parts.tables.add(page)
    yield* offer(parts, added)
    if (added.length === page.length) return
    const stored = yield* parts.tables.stored(
      job,
      page.map(({ custom_id }) => custom_id)
    )
    const requests = new Map(stored.map(({ custom_id, request }) => [custom_id, request]))
    if (page.every(({ custom_id, request }) => requests.get(custom_id) === request)) return
    return yield* invalid("custom_id", "the job has another request with the same custom_id")
  }).pipe(parts.tables.transaction)

const submit = <E, R>(parts: Parts, job: string, requests: Stream.Stream<Batch.Request, E, R>) =>
  Effect.gen(function* () {
    if (!/^\P{C}{1,200}$/u.test(job)) return yield* invalid("job", "a name has 1 to 200 characters")
    yield* parts.tables.mark(job, false)
    yield* requests.pipe(
      Stream.mapEffect((request) => toRow(job, request)),
      toPages,
      Stream.runForEach((page) => submitPage(parts, job, page))
    )
    yield* parts.tables.mark(job, true)
    return yield* parts.tables.count(job)
  })

const retryFrom = (parts: Parts, job: string, after: number): Effect.Effect<number, JobError> =>
  parts.tables.removeFailed(job, after).pipe(
    Effect.tap((ids) => offer(parts, ids)),
    parts.tables.transaction,
    Effect.flatMap((ids) =>
      ids.length === 0
        ? Effect.succeed(0)
        : Effect.map(retryFrom(parts, job, Math.max(...ids)), (others) => ids.length + others)
    )
  )

const answerNext = ({ queue, tables }: Parts): BatchJobs["answerNext"] =>
  Effect.suspend(() => {
    let untaken: ProviderError | undefined
    const answered = queue.take(({ request: id }, { attempts }) =>
      Effect.gen(function* () {
        const text = yield* tables.find(id)
        if (text === undefined) return undefined
        const request = decodeRequest(text)
        // An interruption gives the request back without a delay, and without counting the claim.
        const answer = Effect.catch(Batch.answerOnce(request), (error) => {
          untaken = error
          return Effect.interrupt
        })
        const result = attempts > maxClaims ? toLost(request) : yield* answer
        // The answer took long. It is not given up because the database restarts.
        yield* Effect.retry(tables.save(id, JSON.stringify(result), result.error !== null), whileDown)
        return result
      })
    )
    return Effect.catchCause(answered, (cause): Effect.Effect<never, ProviderError | JobError> =>
      untaken === undefined ? Effect.failCause(cause) : Effect.fail(untaken)
    )
  })

const results = ({ tables }: Parts, job: string): ReturnType<BatchJobs["results"]> =>
  Stream.paginate(0, (after: number) =>
    Effect.map(tables.results(job, after), (rows) => {
      const last = rows.at(-1)
      return [
        rows.map(({ result }) => decodeResult(result)),
        last === undefined ? Option.none() : Option.some(Number(last.request))
      ] as const
    })
  )

const invalid = (field: string, description: string): Effect.Effect<never, ProviderError> =>
  Effect.fail(new ProviderError({ provider: "BatchJobs", reason: new InvalidRequest({ field, description }) }))

// What this module wrote.
const decodeRequest = Schema.decodeUnknownSync(Schema.fromJsonString(Batch.Request))
const decodeResult = Schema.decodeUnknownSync(Schema.fromJsonString(Batch.Result))

/** An index of PostgreSQL has no longer texts. */
const maxIdLength = 500

const toRow = (job: string, request: Batch.Request): Effect.Effect<BatchTables.Added, ProviderError> => {
  const custom_id = BatchTables.toKey(request.custom_id)
  if (custom_id.length > maxIdLength) return invalid("custom_id", "it is too long")
  return Effect.succeed({ job, custom_id, request: JSON.stringify(request) })
}

/** The most characters of requests in one statement: the images of a few requests fill it. */
const maxPageLength = 1_000_000

/** Bounded by length too, since a request may have images. */
const toPages = <E, R>(rows: Stream.Stream<BatchTables.Added, E, R>): Stream.Stream<BatchTables.Page, E, R> =>
  Stream.mapAccum(
    rows,
    () => noPage,
    ({ length, rows }, row) => {
      const longer = { rows: Arr.append(rows, row), length: length + row.request.length }
      const isFull = longer.rows.length === BatchTables.pageSize || longer.length > maxPageLength
      return isFull ? [noPage, [longer.rows]] : [longer, []]
    },
    { onHalt: ({ rows }) => (Arr.isReadonlyArrayNonEmpty(rows) ? [rows] : []) }
  )

const noPage: { readonly rows: ReadonlyArray<BatchTables.Added>; readonly length: number } = { rows: [], length: 0 }

const whileDown = { schedule: Schedule.spaced("1 second").pipe(Schedule.upTo({ duration: "10 minutes" })) }

/** What has ended its workers would end all of them. */
const toLost = ({ custom_id }: Batch.Request): Batch.Result => {
  const id = `batch_req_${custom_id}`
  const message = `${maxClaims} workers ended while they answered it`
  const body = { error: { message, type: "server_error", param: null, code: null } }
  return {
    id,
    custom_id,
    response: { status_code: 500, request_id: id, body },
    error: { code: "WorkerLost", message }
  }
}

/**
 * The jobs of the database of the `SqlClient`. Tables that are missing there are created: `batch_jobs`, `batch_requests`, `batch_results`,
 * and those of Effect's `PersistedQueue`.
 *
 * @category layers
 */
export const layer = ({ claimTimeout = "30 seconds", pollInterval }: Options = {}): Layer.Layer<
  BatchJobs,
  SqlError,
  SqlClient.SqlClient
> => {
  const expiration = Duration.fromInputUnsafe(claimTimeout)
  const store = PersistedQueue.layerStoreSql({
    pollInterval,
    lockExpiration: expiration,
    lockRefreshInterval: Duration.divideUnsafe(expiration, 5)
  }).pipe(
    // Its tables are created with defects. The database may be killed at this moment too.
    Layer.catchCause((cause) => {
      const defect = Cause.squash(cause)
      return Layer.effect(
        PersistedQueue.PersistedQueueStore,
        defect instanceof SqlError ? Effect.fail(defect) : Effect.failCause(cause)
      )
    })
  )
  // What has a result needs no row in the queue.
  const cleanup = PersistedQueue.layerCleanup({ timeToLive: "1 hour" })
  const queue = Layer.merge(PersistedQueue.layer, cleanup).pipe(Layer.provide(store))
  // The tables come first: creating them is safe for programs that start at the same time.
  return Layer.unwrap(
    Effect.map(BatchTables.make, (tables) => Layer.effect(BatchJobs, make(tables)).pipe(Layer.provide(queue)))
  )
}

/**
 * The options of `worker`.
 *
 * @category options
 */
export interface WorkerOptions {
  /** How many requests run at the same time. Default: 4. */
  readonly concurrency?: number | undefined
  /** Run after each result. */
  readonly onResult?: ((result: Batch.Result) => Effect.Effect<void>) | undefined
}

const definition = OptionSchema.define<WorkerOptions>({
  concurrency: OptionSchema.count(1),
  onResult: OptionSchema.fn
})

/**
 * Answers requests of all jobs, the oldest first, for as long as the scope is open.
 *
 * **Details**
 *
 * While no server of this worker can be reached, or all are busy, its requests are given back for other workers, and it tries again after
 * 5 seconds or longer, as servers ask for. While the database cannot be reached, it tries again every 5 seconds. Both are logged.
 *
 * Workers that share a database should have the same models: a request for a model that is missing has a failure as its result.
 *
 * @category layers
 */
export const worker = (options: WorkerOptions = {}): Layer.Layer<never, ProviderError, BatchJobs | Provider> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const { concurrency = 4, onResult = () => Effect.void } = yield* OptionSchema.readFor(
        definition,
        options,
        "BatchJobs"
      )
      const { answerNext } = yield* BatchJobs
      const next = Effect.flatMap(answerNext, (result) => (result === undefined ? Effect.void : onResult(result)))
      const safe = Effect.catchCause(next, (cause) => {
        if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause)
        const error = Cause.squash(cause)
        const wait = error instanceof ProviderError && error.retryAfter !== undefined ? error.retryAfter : Duration.zero
        const message = error instanceof Error ? error.message : "a worker failed"
        return Effect.andThen(Effect.logWarning(message), Effect.sleep(Duration.max(wait, pause)))
      })
      yield* Effect.replicateEffect(Effect.forever(safe), concurrency, { concurrency, discard: true }).pipe(
        Effect.forkScoped
      )
    })
  )

const pause = Duration.seconds(5)
