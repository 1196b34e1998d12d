// Answers many prompts on many hosts, into a file. Run it again to go on where it stopped, and to ask failed prompts again:
// OLLAMA_HOSTS=gpu-1,gpu-2 MODEL=llama3.2 node examples/batch.ts prompts.jsonl answers.jsonl
import { NodeHttpClient, NodeRuntime, NodeServices } from "@effect/platform-node"
import { Config, Console, Effect, FileSystem, Layer, Option, Schedule, Schema, Stream, SubscriptionRef } from "effect"
import { Ndjson } from "effect/encoding"
import { Completion, Pool, Provider, Retry } from "effect-local-llm"

const { optional, String, Struct } = Schema
const Prompt = Struct({ id: String, prompt: String })
const Entry = Struct({ id: String, answer: optional(Completion.Completion), error: optional(String) })
const counts = { before: 0, answered: 0, failed: 0 }
const [promptsFile = "prompts.jsonl", answersFile = "answers.jsonl"] = process.argv.slice(2)

const ask = ({ id, prompt }: typeof Prompt.Type) =>
  Provider.Provider.use(({ complete }) => complete({ messages: [{ role: "user", content: prompt }] })).pipe(
    // While every host is off, the batch waits.
    Effect.retry({
      schedule: Schedule.spaced("5 seconds"),
      while: ({ reason }) => reason._tag === "AllProvidersFailed"
    }),
    Effect.map((answer): typeof Entry.Type => ({ id, answer })),
    // Without the model no prompt has an answer, so that ends the batch. Any other failure is an entry in the file.
    Effect.catchIf(
      ({ reason }) => reason._tag !== "ModelNotAvailable",
      ({ message }) => Effect.succeed({ id, error: message })
    )
  )

/** A line that is no prompt is reported and left out. */
const decodePrompt = (line: string, number: number) =>
  Schema.decodeEffect(Schema.fromJsonString(Prompt))(line).pipe(
    Effect.tapError(() => Console.error(`${promptsFile}, line ${number}: expected {"id": "…", "prompt": "…"}`))
  )

/** Asks what is not done yet. Each entry is written as soon as it is there. */
const answerAll = (fs: FileSystem.FileSystem, done: Set<string>, concurrency: number) =>
  fs.stream(promptsFile).pipe(
    Stream.decodeText,
    Stream.splitLines,
    Stream.zipWithIndex,
    Stream.filter(([line]) => line.trim() !== ""),
    Stream.mapEffect(([line, index]) => Effect.result(decodePrompt(line, index + 1))),
    Stream.filterMap((prompt) => prompt),
    Stream.filter(({ id }) => !done.has(id)),
    Stream.mapEffect(ask, { concurrency, unordered: true }),
    Stream.tap(({ error }) => Effect.sync(() => (error === undefined ? counts.answered++ : counts.failed++))),
    Stream.pipeThroughChannel(Ndjson.encodeSchema(Entry)()),
    Stream.run(fs.sink(answersFile, { flag: "a" }))
  )

const program = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  yield* fs.writeFileString(answersFile, "", { flag: "a" })
  const text = Stream.decodeText(fs.stream(answersFile))
  const done = yield* text.pipe(
    Stream.splitLines,
    // A program that was killed may have left half a line, which is no entry.
    Stream.filterMap((line) => Schema.decodeResult(Schema.fromJsonString(Entry))(line)),
    Stream.filter(({ error }) => error === undefined),
    Stream.runFold(
      () => new Set<string>(),
      (ids, { id }) => ids.add(id)
    )
  )
  const end = yield* Stream.runLast(text)
  if (Option.isSome(end) && !end.value.endsWith("\n")) yield* fs.writeFileString(answersFile, "\n", { flag: "a" })

  const state = SubscriptionRef.get((yield* Pool.Pool).state)
  // All permits are used, and one request waits for the next.
  const concurrency = (yield* state).hosts.reduce((sum, { permits }) => sum + permits, 1)
  counts.before = done.size
  const report = Effect.flatMap(state, ({ hosts }) =>
    Console.error(
      JSON.stringify({ ...counts, off: hosts.filter(({ status }) => status === "off").map(({ name }) => name) })
    )
  )
  yield* Effect.forkScoped(Effect.repeat(report, Schedule.spaced("5 seconds")))
  yield* answerAll(fs, done, concurrency)
  yield* report
})

const pool = Pool.layerConfig({ defaults: { model: Config.String("MODEL") } })
const live = Retry.layer().pipe(Layer.provideMerge(pool), Layer.provide(NodeHttpClient.layerUndici))
program.pipe(Effect.scoped, Effect.provide([live, NodeServices.layer]), NodeRuntime.runMain)
