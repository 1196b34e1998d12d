/** Invalid options of a cluster name the field. */
import { expect, it } from "@effect/vitest"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Cluster from "../../../src/Cluster.ts"
import type { ProviderError } from "../../../src/ProviderError.ts"

const base = Layer.merge(Cluster.layerMemory, NodeHttpClient.layerUndici)

/** As a program without types may give them. */
const untyped = (value: unknown): never => value as never

const fieldOf = <A, R>(effect: Effect.Effect<A, ProviderError, R>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => (reason._tag === "InvalidRequest" ? reason.field : reason._tag))

it.effect("options of gateways and schedulers", () =>
  Effect.gen(function* () {
    const invalid: ReadonlyArray<readonly [options: unknown, field: string]> = [
      [{ pool: 3 }, "pool"],
      [{ pool: "" }, "pool"],
      [{ connect: "http://a" }, "connect"],
      [{ maxWaiting: -1 }, "maxWaiting"],
      [{ defaults: { temperature: "hot" } }, "defaults.temperature"],
      [{ host: "one" }, "host"],
      [null, "options"]
    ]
    for (const [options, field] of invalid) {
      expect(yield* fieldOf(Layer.build(Cluster.layer(untyped(options)))), JSON.stringify(options)).toBe(field)
    }
    for (const takeoverDelay of ["soon", -1, "-1 second", {}]) {
      const layer = Cluster.layerScheduler(untyped({ takeoverDelay }))
      expect(yield* fieldOf(Layer.build(layer)), String(takeoverDelay)).toBe("takeoverDelay")
    }
    expect(yield* fieldOf(Layer.build(Cluster.layerScheduler(untyped({ maxWaiting: "many" }))))).toBe("maxWaiting")
  }).pipe(Effect.provide(base))
)

it.effect("hosts that join, whose address goes through the cluster without a password", () =>
  Effect.gen(function* () {
    const valid = { url: "http://gpu-1:11434", kind: "ollama" }
    const invalid: ReadonlyArray<readonly [host: unknown, field: string]> = [
      [{ ...valid, url: 1 }, "url"],
      [{ ...valid, url: "" }, "url"],
      [{ ...valid, url: "ftp://gpu-1" }, "url"],
      [{ ...valid, url: "http://me:secret@gpu-1:11434" }, "url"],
      [{ ...valid, kind: "other" }, "kind"],
      [{ ...valid, name: "" }, "name"],
      [{ ...valid, permits: 0 }, "permits"],
      [{ ...valid, permits: 1.5 }, "permits"],
      [{ ...valid, oneModelAtATime: "yes" }, "oneModelAtATime"],
      [{ url: valid.url }, "kind"],
      [undefined, "options"]
    ]
    for (const [host, field] of invalid) {
      const error = yield* Effect.flip(Cluster.join(untyped(host)))
      expect(yield* fieldOf(Effect.fail(error)), JSON.stringify(host)).toBe(field)
      expect(JSON.stringify(error) + error.message).not.toContain("secret")
    }
    expect(yield* fieldOf(Cluster.join(untyped(valid), untyped({ pool: 1 })))).toBe("pool")
  }).pipe(Effect.provide(base))
)
