/** Jobs in a database: each request has exactly one result, however many workers there are. On PostgreSQL: test/cluster/batch.test.ts. */
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import * as Sqlite from "../../examples/durable-job/sqlite.ts"
import type * as Batch from "../../src/Batch.ts"
import * as BatchJobs from "../../src/BatchJobs.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import * as Provider from "../../src/Provider.ts"
import { ModelNotAvailable, NetworkError, RateLimited } from "../../src/ProviderError.ts"

const makeRequests = (count: number, from = 0): ReadonlyArray<Batch.Request> =>
  Array.from({ length: count }, (_, index) => ({
    custom_id: `r${from + index}`,
    body: { model: "m", messages: [{ role: "user", content: `Question ${from + index}` }] }
  }))

const jobs = BatchJobs.layer({ pollInterval: "10 millis" }).pipe(Layer.provideMerge(Sqlite.layer(":memory:")))

/** Counts what is sent to it. `fails` decides about a prompt. */
const makeProvider = (
  fails: (prompt: string) => Parameters<typeof MockProvider.fail>[0] | undefined = () => undefined
) =>
  Effect.gen(function* () {
    const sent: Array<string> = []
    const provider = yield* MockProvider.make(({ messages = [] }) => {
      const prompt = String(messages[0]?.content)
      sent.push(prompt)
      const reason = fails(prompt)
      return reason === undefined ? [prompt.toUpperCase()] : [MockProvider.fail(reason)]
    })
    return { sent, provider }
  })

const complete = (job: string) =>
  Effect.flatMap(BatchJobs.BatchJobs, ({ progress }) => progress(job)).pipe(
    Effect.repeat({
      until: ({ done, isSubmitted, total }) => isSubmitted && done === total,
      schedule: Schedule.spaced("10 millis")
    })
  )

const readIds = (job: string) =>
  Effect.flatMap(BatchJobs.BatchJobs, ({ results }) => Stream.runCollect(results(job))).pipe(
    Effect.map((results) => results.map(({ custom_id }) => custom_id))
  )

const work = (provider: Provider.Provider, options?: BatchJobs.WorkerOptions) =>
  Layer.build(BatchJobs.worker(options)).pipe(Effect.provideService(Provider.Provider, provider))

const prompts = (count: number) => makeRequests(count).map((_, index) => `Question ${index}`)

describe("BatchJobs", () => {
  it.live("several workers share a job, and the results have the order of the requests", () =>
    Effect.gen(function* () {
      const { progress, submit } = yield* BatchJobs.BatchJobs
      const requests = makeRequests(60)
      const { provider, sent } = yield* makeProvider()
      yield* Effect.forEach([1, 2, 3], () => work(provider, { concurrency: 5 }))
      expect(yield* submit("job", Stream.fromIterable(requests))).toMatchObject({ total: 60, isSubmitted: true })
      expect(yield* complete("job")).toEqual({ total: 60, done: 60, failed: 0, isSubmitted: true })
      expect(yield* readIds("job")).toEqual(requests.map(({ custom_id }) => custom_id))
      expect(sent.toSorted()).toEqual(prompts(60).toSorted())
      expect(yield* progress("another")).toEqual({ total: 0, done: 0, failed: 0, isSubmitted: false })
    }).pipe(Effect.provide(jobs))
  )

  it.live("what is submitted again is answered once, and other requests are added", () =>
    Effect.gen(function* () {
      const { remove, submit } = yield* BatchJobs.BatchJobs
      const { provider, sent } = yield* makeProvider()
      const cut = Stream.concat(Stream.fromIterable(makeRequests(205)), Stream.fail("killed"))
      expect(yield* Effect.flip(submit("job", cut))).toBe("killed")
      yield* submit("job", Stream.fromIterable(makeRequests(206)))
      yield* work(provider)
      yield* complete("job")
      yield* submit("job", Stream.fromIterable(makeRequests(207)))
      yield* complete("job")
      expect(sent.toSorted()).toEqual(prompts(207).toSorted())
      const other = Stream.make({ custom_id: "r1", body: { model: "m", messages: [] } })
      expect(yield* Effect.flip(submit("job", other))).toMatchObject({
        reason: { _tag: "InvalidRequest", field: "custom_id" }
      })
      yield* remove("job")
      expect(yield* readIds("job")).toEqual([])
    }).pipe(Effect.provide(jobs))
  )

  it.live("a part of a job is not taken for all of it", () =>
    Effect.gen(function* () {
      const { progress, submit } = yield* BatchJobs.BatchJobs
      const { provider } = yield* makeProvider()
      yield* work(provider)
      const cut = Stream.concat(Stream.fromIterable(makeRequests(200)), Stream.never)
      const submitting = yield* Effect.forkChild(submit("job", cut))
      yield* Effect.repeat(progress("job"), {
        until: ({ done }) => done === 200,
        schedule: Schedule.spaced("10 millis")
      })
      expect(yield* progress("job")).toEqual({ total: 200, done: 200, failed: 0, isSubmitted: false })
      yield* Fiber.interrupt(submitting)
      expect((yield* progress("job")).isSubmitted).toBe(false)
    }).pipe(Effect.provide(jobs))
  )

  it.live("failures are results, and are answered again", () =>
    Effect.gen(function* () {
      const { results, retryFailed, submit } = yield* BatchJobs.BatchJobs
      let isBroken = true
      const { provider, sent } = yield* makeProvider(() =>
        isBroken ? new ModelNotAvailable({ model: "m" }) : undefined
      )
      yield* work(provider)
      yield* submit("job", Stream.fromIterable(makeRequests(210)))
      expect(yield* complete("job")).toMatchObject({ done: 210, failed: 210 })
      isBroken = false
      expect(yield* retryFailed("job")).toBe(210)
      expect(yield* complete("job")).toMatchObject({ done: 210, failed: 0 })
      expect(sent).toHaveLength(420)
      expect((yield* Stream.runCollect(results("job"))).every(({ error }) => error === null)).toBe(true)
      expect(yield* retryFailed("job")).toBe(0)
    }).pipe(Effect.provide(jobs))
  )

  it.live.each([
    { name: "no server can be reached", reason: new NetworkError({ kind: "refused" }) },
    { name: "all servers are busy", reason: new RateLimited({ retryAfter: Duration.hours(1) }) }
  ])("while $name, a worker gives its requests to others", ({ reason }) =>
    Effect.gen(function* () {
      const { submit } = yield* BatchJobs.BatchJobs
      const cut = yield* makeProvider(() => reason)
      const healthy = yield* makeProvider()
      yield* work(cut.provider, { concurrency: 2 })
      yield* submit("job", Stream.fromIterable(makeRequests(50)))
      while (cut.sent.length < 2) yield* Effect.sleep("5 millis")
      yield* work(healthy.provider)
      expect(yield* complete("job")).toMatchObject({ done: 50, failed: 0 })
      expect(healthy.sent).toHaveLength(50)
    }).pipe(Effect.provide(jobs))
  )

  it.live("a worker that is stopped gives its request back at once", () =>
    Effect.gen(function* () {
      const { answerNext, submit } = yield* BatchJobs.BatchJobs
      const { provider } = yield* makeProvider()
      const hanging = Provider.make({ ...provider, stream: () => Stream.never })
      yield* submit("job", Stream.fromIterable(makeRequests(1)))
      // More often than workers may be lost.
      for (let run = 0; run < 12; run++) {
        const running = yield* Effect.forkChild(Effect.provideService(answerNext, Provider.Provider, hanging))
        yield* Effect.sleep("20 millis")
        yield* Fiber.interrupt(running)
      }
      yield* work(provider)
      expect(yield* complete("job")).toMatchObject({ done: 1, failed: 0 })
    }).pipe(Effect.provide(jobs))
  )

  it.live("a request that ends its workers has a failure as its result", () =>
    Effect.gen(function* () {
      const { results, submit } = yield* BatchJobs.BatchJobs
      const sql = yield* SqlClient.SqlClient
      const { provider, sent } = yield* makeProvider()
      yield* submit("job", Stream.fromIterable(makeRequests(2)))
      yield* sql`UPDATE effect_queue SET attempts = 10 WHERE element LIKE '%1}'`
      yield* work(provider)
      expect(yield* complete("job")).toMatchObject({ done: 2, failed: 1 })
      expect(sent).toEqual(["Question 1"])
      expect((yield* Stream.runCollect(results("job")))[0]).toMatchObject({
        custom_id: "r0",
        error: { code: "WorkerLost" }
      })
    }).pipe(Effect.provide(jobs))
  )

  it.live("a result of a request that has one is not kept, nor one of a job that was removed", () =>
    Effect.gen(function* () {
      const { answerNext, progress, remove, results, submit } = yield* BatchJobs.BatchJobs
      const { provider } = yield* makeProvider()
      const sql = yield* SqlClient.SqlClient
      yield* submit("job", Stream.fromIterable(makeRequests(2)))
      const meanwhile = (effect: Effect.Effect<unknown, unknown>) =>
        Effect.provideService(
          answerNext,
          Provider.Provider,
          Provider.make({
            ...provider,
            stream: (request) => Stream.unwrap(Effect.as(Effect.orDie(effect), provider.stream(request)))
          })
        )
      yield* meanwhile(
        sql`INSERT INTO batch_results SELECT job, id, 0, '{"id":"batch_req_r0","custom_id":"r0","response":{"status_code":200,"request_id":"batch_req_r0","body":{"first":true}},"error":null}' FROM batch_requests WHERE custom_id = 'r0'`
      )
      expect((yield* Stream.runCollect(results("job"))).map(({ response }) => response.body)).toEqual([{ first: true }])
      yield* meanwhile(remove("job"))
      expect(yield* progress("job")).toEqual({ total: 0, done: 0, failed: 0, isSubmitted: false })
    }).pipe(Effect.provide(jobs))
  )

  it.live("a database that fails while the tables are created is an error, not a defect", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE VIEW effect_queue_migrations AS SELECT 1 AS other`
      const error = yield* Effect.flip(Layer.build(BatchJobs.layer()))
      expect(error._tag).toBe("SqlError")
    }).pipe(Effect.provide(Sqlite.layer(":memory:")))
  )

  it.live("all characters of ids are kept, and what no database takes is refused", () =>
    Effect.gen(function* () {
      const { submit } = yield* BatchJobs.BatchJobs
      const { provider } = yield* makeProvider()
      const ids = ["\u0000", "\uD800", "\uDFFF", "'); DROP TABLE batch_requests; --", "😀", '"', "\\", "a\nb"]
      yield* submit(
        "job",
        Stream.fromIterable(
          ids.map((custom_id) => ({
            custom_id,
            body: { model: "m", prompt: "\u0000\uD800" },
            url: "/v1/completions" as const
          }))
        )
      )
      yield* work(provider)
      yield* complete("job")
      expect(yield* readIds("job")).toEqual(ids)
      const long = Stream.make({ custom_id: "x".repeat(501), body: {} })
      expect(yield* Effect.flip(submit("job", long))).toMatchObject({ reason: { field: "custom_id" } })
      expect(yield* Effect.flip(submit("", Stream.empty))).toMatchObject({ reason: { field: "job" } })
      expect(yield* Effect.flip(submit("a\u0000", Stream.empty))).toMatchObject({ reason: { field: "job" } })
    }).pipe(Effect.provide(jobs))
  )
})
