// Many requests that workers on many machines share, with a PostgreSQL database. On each machine with a model server:
// DATABASE_URL=postgres://user:password@db/jobs node examples/batch-jobs.ts
// And once, from any machine: DATABASE_URL=… node examples/batch-jobs.ts requests.jsonl results.jsonl
import { NodeHttpClient, NodeRuntime, NodeServices } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Config, Console, Effect, Layer, Schedule } from "effect"
import { Pool } from "effect-local-llm"
import * as Batch from "effect-local-llm/Batch"
import * as BatchJobs from "effect-local-llm/BatchJobs"

const database = PgClient.layerConfig({ url: Config.Redacted("DATABASE_URL") })
const jobs = BatchJobs.layer().pipe(Layer.provide(database))

const [input, output = "results.jsonl"] = process.argv.slice(2)

const submit = Effect.fnUntraced(function* (input: string) {
  const jobs = yield* BatchJobs.BatchJobs
  yield* jobs.submit("letters", Batch.readRequests(input))
  yield* jobs.progress("letters").pipe(
    Effect.tap(({ done, failed, total }) => Console.error(`${done} of ${total}, ${failed} failed`)),
    Effect.repeat({ until: ({ done, total }) => done === total, schedule: Schedule.spaced("5 seconds") })
  )
  yield* Batch.writeResults(output, jobs.results("letters"))
})

const hosts = Layer.provide(Pool.layerConfig(), NodeHttpClient.layerUndici)
const worker = BatchJobs.worker({ concurrency: 9 }).pipe(Layer.provide(hosts))

if (input === undefined) Layer.launch(worker).pipe(Effect.provide(jobs), NodeRuntime.runMain)
else submit(input).pipe(Effect.provide([jobs, NodeServices.layer]), NodeRuntime.runMain)
