// An engine of workflows in one process, whose state is in a file.
import { NodeCrypto } from "@effect/platform-node"
import { Config, Effect, Layer } from "effect"
import { ClusterWorkflowEngine, SingleRunner } from "effect/cluster"
import * as Sqlite from "./sqlite.ts"

const filename = Config.String("JOBS").pipe(Config.withDefault("jobs.sqlite"))

export const layer = ClusterWorkflowEngine.layer.pipe(
  Layer.provide(SingleRunner.layer()),
  Layer.provide(Layer.unwrap(Effect.map(filename, Sqlite.layer))),
  Layer.provide(NodeCrypto.layer)
)
