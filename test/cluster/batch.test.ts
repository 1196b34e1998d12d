/** A job that many workers share, on a real PostgreSQL: each request has one result, whatever was killed. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Fs from "node:fs"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as Files from "../support/batch.ts"
import * as CommandLine from "../support/commandLine.ts"
import * as Postgres from "./postgres.ts"
import * as Process from "./process.ts"

/** The larger one is run by hand: 10,000 requests, 20 kills. */
const requests = Number(process.env["BATCH_REQUESTS"] ?? 400)
const kills = Number(process.env["BATCH_KILLS"] ?? 4)
const seed = process.env["BATCH_SEED"] ?? "batch"

const hasEnded = ({ result }: CommandLine.Running) => Effect.map(Effect.timeoutOption(result, 0), Option.isSome)

/** Counts its answers. */
const makeServer = Effect.fnUntraced(function* (answer: FakeServer.Answer) {
  let count = 0
  const { url } = yield* FakeServer.make(() => {
    count++
    return answer
  })
  return { url, answered: () => count }
})

describe("batch with workers", () => {
  it.live.skipIf(Process.isMissing("postgres"))(
    "workers, the submitting program and the database are killed at random: each request has one result",
    () =>
      Effect.gen(function* () {
        const postgres = yield* Postgres.make
        const server = yield* makeServer({ text: "An answer", delay: { between: "2 millis" } })
        const { file, out } = Files.writeRequests(requests)
        const env = { LOCAL_LLM_CLUSTER: postgres.url }
        const submit = CommandLine.start(["batch", file, "--out", out, "--json"], { env })
        const servers = ["--url", server.url, "--provider", "ollama", "-m", "m"]
        const work = CommandLine.start(["batch-worker", ...servers, "--concurrency", "3"], { env })

        let submitting = yield* submit
        const workers = [yield* work, yield* work, yield* work]
        for (let kill = 1; kill <= kills; kill++) {
          // Each part of the job has its kill.
          const enough = (kill * requests) / (kills + 1)
          while (server.answered() < enough) {
            yield* Effect.sleep("50 millis")
            // It ends if the database is killed while it starts.
            if (yield* hasEnded(submitting)) submitting = yield* submit
          }
          const victim = yield* Random.nextIntBetween(0, workers.length + 2)
          const worker = workers[victim]
          if (worker !== undefined) {
            yield* worker.kill("SIGKILL")
            workers[victim] = yield* work
          } else if (victim === workers.length) {
            yield* submitting.kill("SIGKILL")
            submitting = yield* submit
          } else {
            yield* postgres.kill
            yield* postgres.start
          }
        }
        let result = yield* submitting.result
        if (result.code !== 0) result = yield* Effect.flatMap(submit, ({ result }) => result)
        expect(result.code).toBe(0)
        expect(JSON.parse(result.stdout)).toEqual({ total: requests, done: requests, failed: 0, waiting: 0 })
        const ids = Files.readIds(out)
        expect(ids).toEqual(Array.from({ length: requests }, (_, index) => `r${index}`))
      }).pipe(Random.withSeed(seed)),
    1_800_000
  )

  it.live.skipIf(Process.isMissing("postgres"))("a worker that is stopped gives its requests to others at once", () =>
    Effect.gen(function* () {
      const postgres = yield* Postgres.make
      const slow = yield* makeServer({ text: "A long answer of many words", delay: { between: "10 seconds" } })
      const fast = yield* makeServer({ text: "Yes" })
      const { file, out } = Files.writeRequests(6)
      const env = { LOCAL_LLM_CLUSTER: postgres.url }
      const work = (url: string) =>
        CommandLine.start(["batch-worker", "--url", url, "--provider", "ollama", "-m", "m"], { env })
      const stopped = yield* work(slow.url)
      const submitting = yield* CommandLine.start(["batch", file, "--out", out, "--job", "six"], { env })
      while (slow.answered() < 4) yield* Effect.sleep("50 millis")
      yield* stopped.kill("SIGTERM")
      expect((yield* stopped.result).code).toBe(143)
      yield* work(fast.url)
      expect((yield* submitting.result).code).toBe(0)
      expect(Files.readIds(out)).toHaveLength(6)
      expect(fast.answered()).toBe(6)
    })
  )

  it.live.skipIf(Process.isMissing("postgres"))(
    "a job that nobody answers is removed, and the program that waits for it does not take that for its end",
    () =>
      Effect.gen(function* () {
        const postgres = yield* Postgres.make
        const { file, out } = Files.writeRequests(6)
        const env = { LOCAL_LLM_CLUSTER: postgres.url }
        const submitting = yield* CommandLine.start(["batch", file, "--out", out, "--job", "six"], { env })
        const remove = CommandLine.run(["batch-remove", "six"], { env })
        const removed = yield* Effect.repeat(remove, { until: ({ code }) => code === 0 })
        expect(removed.stderr).toContain('removed the job "six"')
        const result = yield* submitting.result
        expect(result.code).toBe(1)
        expect(result.stderr).toContain('the job "six" was removed')
        expect(Fs.existsSync(out)).toBe(false)
        expect((yield* remove).stderr).toContain('there is no job "six"')
      })
  )

  it.live.each([
    { flags: ["--cluster", "postgres://me:secret@127.0.0.1/db"], error: "PGPASSWORD" },
    { flags: ["--cluster", "gpu-1"], error: "postgres://user@host/database" },
    { flags: ["--cluster", "postgres://me@127.0.0.1:1/db"], error: "the database: connect ECONNREFUSED" },
    { flags: ["--job", "six"], error: "--job needs --cluster" }
  ])("an address that is of no use is an error: $flags", ({ error, flags }) =>
    Effect.gen(function* () {
      const { file, out } = Files.writeRequests(1)
      const { code, stderr } = yield* CommandLine.run(["batch", file, "--out", out, ...flags])
      expect(code).toBe(1)
      expect(stderr).toContain(error)
      expect(stderr).not.toContain("secret")
    })
  )
})
