// Answers many requests on many hosts, from a file of OpenAI's batch form into another. Run it again to do what is missing:
// OLLAMA_HOSTS=gpu-1,gpu-2 node examples/batch.ts requests.jsonl results.jsonl
import { NodeHttpClient, NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { Pool, Retry } from "effect-local-llm"
import * as Batch from "effect-local-llm/Batch"

const [input = "requests.jsonl", output = "results.jsonl"] = process.argv.slice(2)

const batch = Batch.run({
  input,
  output,
  concurrency: 9,
  onProgress: ({ done, failed, total }) => Console.error(`${done} of ${total}, ${failed} failed`)
})

const live = Retry.layer().pipe(Layer.provideMerge(Pool.layerConfig()), Layer.provide(NodeHttpClient.layerUndici))
batch.pipe(Effect.provide([live, NodeServices.layer]), NodeRuntime.runMain)
