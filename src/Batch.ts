/**
 * Many requests from a file, and their results in a file, in the form of OpenAI's batches.
 *
 * A batch can be stopped and killed at any time. When it runs again, it does what is missing: each `custom_id` has exactly one result. It has
 * its own import, since it needs a file system: `effect-local-llm/Batch`.
 *
 * @category Policies
 * @since 0.3.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type { PlatformError } from "effect/PlatformError"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Attempt from "./policies/batchAttempt.ts"
import * as BatchFiles from "./policies/batchFiles.ts"
import { JsonObject, reader } from "./protocol/receivedBody.ts"
import type { Provider } from "./Provider.ts"
import type { ProviderError } from "./ProviderError.ts"
import * as OptionSchema from "./servers/options.ts"
import * as Fingerprints from "./values/fingerprints.ts"
import type * as Json from "./values/json.ts"
import * as Monotonic from "./values/monotonic.ts"

/**
 * A line of a batch: a request of OpenAI's API.
 *
 * @category models
 */
export const Request = Schema.Struct({
  /** Names the request. No other request of the batch has the same. */
  custom_id: Schema.NonEmptyString,
  /** Always `POST`. */
  method: Schema.optional(Schema.Literal("POST")),
  /** The route of the API. Default: `/v1/chat/completions`. */
  url: Schema.optional(Schema.Literals(Attempt.urls)),
  /** The body of the request. `stream` has no effect. */
  body: JsonObject
})
export interface Request extends Schema.Schema.Type<typeof Request> {}

/**
 * The result of a request.
 *
 * @category models
 */
export const Result = Schema.Struct({
  /** Unique, made of the `custom_id`. */
  id: Schema.String,
  /** That of the request. */
  custom_id: Schema.String,
  /** The response of the API. That of a failure has a status other than 200, and OpenAI's error as its body. */
  response: Schema.Struct({
    /** 200, or that of the failure. */
    status_code: Schema.Int,
    /** The same as `id`. */
    request_id: Schema.String,
    /** The completion, the embeddings, or `{"error": …}`. */
    body: JsonObject
  }),
  /** Why it failed: the tag of the reason, such as `ModelNotAvailable`, and its message. `null` for a success. */
  error: Schema.NullOr(
    Schema.Struct({
      /** The tag of the reason. `WorkerLost`: see `BatchJobs`. */
      code: Schema.String,
      /** Safe to log, and without addresses of servers. */
      message: Schema.String
    })
  )
})
export interface Result extends Schema.Schema.Type<typeof Result> {}

/**
 * The options of `run`.
 *
 * @category options
 */
export interface Options {
  /** The path of the file with the requests: a line of JSON for each. Empty lines are skipped. */
  readonly input: string
  /** The path of the file with the results, in the order in which they are there. An existing file is continued. */
  readonly output: string
  /** How many requests run at the same time. Default: 4. */
  readonly concurrency?: number | undefined
  /** Whether requests that failed in an earlier run are sent again. Their results are removed first. Default: `false`. */
  readonly retryFailed?: boolean | undefined
  /**
   * How long requests wait in a row while no server can be reached, or all are busy (429 and 503), before the run fails with their error.
   * They have no result then, so the next run sends them. Default: without a limit.
   */
  readonly maxWait?: Duration.Input | undefined
  /** Run after each result, and when requests begin and end to wait. */
  readonly onProgress?: ((progress: Progress) => Effect.Effect<void>) | undefined
}

/**
 * How far a batch is.
 *
 * @category models
 */
export interface Progress {
  /** How many requests the batch has. */
  readonly total: number
  /** How many have a result, those of earlier runs included. */
  readonly done: number
  /** How many results are failures, those of earlier runs included. */
  readonly failed: number
  /** How many requests wait because no server can be reached, or all are busy. */
  readonly waiting: number
}

/**
 * How a request waits.
 *
 * @category options
 */
export interface WaitOptions {
  /** How long a request waits in a row before it fails with the error of the servers. Default: without a limit. */
  readonly maxWait?: Duration.Input | undefined
  /** Run with `true` when the wait begins, and with `false` when it is over. */
  readonly onWaiting?: ((isWaiting: boolean) => Effect.Effect<void>) | undefined
}

/**
 * Answers one request, for a batch that is not in files. A failure is a result too.
 *
 * **Details**
 *
 * While no server can be reached, and while they are busy (429 and 503), it waits and tries again after `retryAfter`, and after 5 seconds
 * at least. It fails only if that takes longer than `maxWait`.
 *
 * If an answer breaks off, or the server fails in another way that is retryable, but for a timeout, the request is sent again after a
 * second, twice at most. Nothing of the answer has been used then. The third failure is the result.
 *
 * @category combinators
 */
export const answer = (
  request: Request,
  { maxWait = Duration.infinity, onWaiting = () => Effect.void }: WaitOptions = {}
): Effect.Effect<Result, ProviderError, Provider> =>
  Effect.flatMap(Clock.Clock, (clock) => {
    const now = () => Monotonic.millisOf(clock)
    let since: number | undefined
    const set = (isWaiting: boolean) =>
      Effect.suspend(() => {
        if (isWaiting === (since !== undefined)) return Effect.void
        since = isWaiting ? now() : undefined
        return onWaiting(isWaiting)
      })
    const limit = Duration.toMillis(Duration.fromInputUnsafe(maxWait))
    const wait = (error: ProviderError) => {
      const delay = Duration.max(error.retryAfter ?? Duration.zero, pause)
      return Effect.flatMap(set(true), () =>
        now() + Duration.toMillis(delay) - (since ?? now()) > limit ? Effect.fail(error) : Effect.sleep(delay)
      )
    }
    const attempt = (left: number): Effect.Effect<Result, ProviderError, Provider> =>
      Effect.catch(send(request), (failure) => {
        if (Attempt.isUntaken(failure)) return Effect.andThen(wait(failure), attempt(left))
        return Effect.andThen(set(false), sendAgain(request, failure, left, attempt))
      })
    return Effect.ensuring(attempt(maxResends), set(false))
  })

/**
 * As `answer`, and without waiting: it fails if no server can be reached, or if all are busy (429 and 503). No server has done anything
 * then, and the request can be sent again, also by another program. All other failures are results.
 *
 * @category combinators
 */
export const answerOnce = (request: Request): Effect.Effect<Result, ProviderError, Provider> => {
  const attempt = (left: number): Effect.Effect<Result, ProviderError, Provider> =>
    Effect.catch(send(request), (failure) =>
      // After an answer that broke off it is not given to another program: it may be what ends the servers.
      Attempt.isUntaken(failure) && left === maxResends
        ? Effect.fail(failure)
        : sendAgain(request, failure, left, attempt)
    )
  return attempt(maxResends)
}

/** How often a request is sent again whose answer broke off. */
const maxResends = 2

const sendAgain = <E>(
  request: Request,
  failure: Attempt.Failure,
  left: number,
  attempt: (left: number) => Effect.Effect<Result, E, Provider>
): Effect.Effect<Result, E, Provider> =>
  left > 0 && Attempt.isWorthAgain(failure)
    ? Effect.andThen(Effect.sleep(Attempt.isUntaken(failure) ? pause : "1 second"), attempt(left - 1))
    : Effect.succeed(toFailed(request, failure))

/** Sends it once. */
const send = (request: Request): Effect.Effect<Result, Attempt.Failure, Provider> =>
  Effect.map(Attempt.send(request), (body) => toResult(request.custom_id, 200, body, null))

const toFailed = ({ custom_id }: Request, failure: Attempt.Failure): Result => {
  const { body, error, status } = Attempt.describe(failure)
  return toResult(custom_id, status, body, error)
}

const toResult = (custom_id: string, status: number, body: Json.JsonObject, error: Result["error"]): Result => {
  const id = `batch_req_${custom_id}`
  return { id, custom_id, response: { status_code: status, request_id: id, body }, error }
}

const pause = Duration.seconds(5)

const definition = OptionSchema.define<Options>({
  input: Schema.NonEmptyString,
  output: Schema.NonEmptyString,
  concurrency: OptionSchema.count(1),
  retryFailed: OptionSchema.boolean,
  maxWait: OptionSchema.duration,
  onProgress: OptionSchema.fn
})

/**
 * Runs a batch: reads the requests, and writes each result when it is there.
 *
 * **Details**
 *
 * The whole input is checked before the first request is sent. It fails with `InvalidRequest`, which names the line, if a line is not a
 * request, or if two requests have the same `custom_id`. It also fails if the output has a line that is not a result, or that is the result
 * of another request: it belongs to another batch, and is left as it is. A line that was half written when the process was killed is removed.
 *
 * A request that fails has a result with the reason. While no server can be reached, and while all are busy (429 and 503), requests wait.
 * If that takes longer than `maxWait`, it fails with the error of the servers. Requests whose answer broke off are sent again: see `answer`.
 *
 * Input and output are two regular files; others, such as pipes, fail with `InvalidRequest`. An output behind a symbolic link stays there.
 *
 * Both files are read as streams. Memory holds the requests that run, and at most 64 bytes for each line.
 *
 * **Example** (requests for several machines)
 *
 * ```ts
 * import { NodeHttpClient, NodeRuntime, NodeServices } from "@effect/platform-node"
 * import { Console, Effect } from "effect"
 * import { Pool } from "effect-local-llm"
 * import * as Batch from "effect-local-llm/Batch"
 *
 * Batch.run({ input: "requests.jsonl", output: "results.jsonl", concurrency: 8 }).pipe(
 *   Effect.flatMap(({ done, failed }) => Console.log(`${done} results, ${failed} failures`)),
 *   Effect.provide(Pool.layerConfig()),
 *   Effect.provide([NodeHttpClient.layerUndici, NodeServices.layer]),
 *   NodeRuntime.runMain
 * )
 * ```
 *
 * @category constructors
 */
export const run = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Progress, ProviderError | PlatformError, Provider | FileSystem.FileSystem> {
  const {
    concurrency = 4,
    input,
    maxWait,
    onProgress = () => Effect.void,
    output,
    retryFailed = false
  } = yield* OptionSchema.readFor(definition, options, "Batch")
  const source = yield* BatchFiles.find("input", input)
  const target = yield* BatchFiles.find("output", output)
  if (source !== undefined && source.path === target?.path) {
    return yield* Effect.fail(BatchFiles.invalid("output", "it is the input"))
  }
  const requests = Fingerprints.make()
  yield* Stream.runDrain(requestsOf(input, requests))
  const { failed, finished } = yield* readResults(target, requests, retryFailed)
  const progress = { total: requests.size(), done: finished.size(), failed, waiting: 0 }
  const report = Effect.suspend(() => onProgress({ ...progress }))
  const onWaiting = (isWaiting: boolean) =>
    Effect.suspend(() => {
      progress.waiting += isWaiting ? 1 : -1
      return report
    })
  yield* report
  yield* Effect.scoped(
    Effect.gen(function* () {
      const write = yield* BatchFiles.append(output)
      yield* readRequests(input).pipe(
        Stream.filter(({ custom_id }) => !finished.has(custom_id)),
        Stream.mapEffect((request) => answer(request, { maxWait, onWaiting }), { concurrency, unordered: true }),
        Stream.runForEach((result) =>
          Effect.andThen(write(JSON.stringify(result)), () => {
            progress.done++
            if (result.error !== null) progress.failed++
            return report
          })
        )
      )
    })
  )
  return progress
})

/**
 * The requests of a file: a line of JSON for each. Empty lines are skipped.
 *
 * **Details**
 *
 * It fails with `InvalidRequest`, which names the line, if a line is not a request, or if two requests have the same `custom_id`. Memory
 * holds the line, and at most 32 bytes for each line before it.
 *
 * @category constructors
 */
export const readRequests = (
  path: string
): Stream.Stream<Request, ProviderError | PlatformError, FileSystem.FileSystem> =>
  Stream.suspend(() => requestsOf(path, Fingerprints.make()))

/** Adds the ids. */
const requestsOf = (path: string, ids: Fingerprints.Fingerprints) =>
  Stream.mapEffect(BatchFiles.readLines(path), ({ number, text }) =>
    Effect.flatMap(BatchFiles.readLine(readRequest, "input", number, text), (request) =>
      ids.add(request.custom_id)
        ? Effect.succeed(request)
        : Effect.fail(BatchFiles.invalid("input", `line ${number}: an earlier request has the same custom_id`))
    )
  )

/** The requests that have results, after the output has been repaired. It is not changed before all of it has been read. */
const readResults = Effect.fnUntraced(function* (
  file: BatchFiles.File | undefined,
  requests: Fingerprints.Fingerprints,
  retryFailed: boolean
) {
  const finished = Fingerprints.make()
  let failed = 0
  if (file === undefined) return { failed, finished }
  const length = yield* BatchFiles.wholeLength(file.path, resultStart)
  const results = BatchFiles.readLines(file.path, length).pipe(
    Stream.mapEffect(({ number, text }) =>
      Effect.map(BatchFiles.readLine(readResult, "output", number, text), (result) => ({ number, result }))
    ),
    Stream.filterEffect(({ number, result }) => {
      if (!requests.has(result.custom_id)) {
        return Effect.fail(
          BatchFiles.invalid("output", `line ${number}: it is the result of a request that the input does not have`)
        )
      }
      const isKept = !(retryFailed && result.error !== null) && finished.add(result.custom_id)
      if (isKept && result.error !== null) failed++
      return Effect.succeed(isKept)
    }),
    Stream.map(({ result }) => JSON.stringify(result))
  )
  if (retryFailed) yield* BatchFiles.replace(file, results)
  else {
    yield* Stream.runDrain(results)
    yield* BatchFiles.cut(file.path, length)
  }
  return { failed, finished }
})

/**
 * Writes results to a file, which is there when all of them are in it. It replaces a file of results. It fails with `InvalidRequest` if the
 * path is another file, which is left as it is.
 *
 * @category constructors
 */
export const writeResults = Effect.fnUntraced(function* <E, R>(
  path: string,
  results: Stream.Stream<Result, E, R>
): Effect.fn.Return<void, E | ProviderError | PlatformError, R | FileSystem.FileSystem> {
  const file = yield* BatchFiles.find("output", path)
  if (file !== undefined) {
    const first = yield* Stream.runHead(BatchFiles.readLines(file.path))
    if (Option.isSome(first) && !first.value.text.startsWith(resultStart)) {
      return yield* Effect.fail(BatchFiles.invalid("output", "it is not a file of results"))
    }
  }
  yield* BatchFiles.replace(
    file ?? { path },
    Stream.map(results, (result) => JSON.stringify(result))
  )
})

/** What the line of each result begins with. */
const resultStart = '{"id":"batch_req_'

const readRequest = reader(Request)
const readResult = reader(Result)
