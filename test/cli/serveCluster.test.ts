/** What `serve` and `join` are told of a cluster, before they reach its database. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Join from "../../src/cli/serve/join.ts"
import * as Sources from "../../src/cli/serve/sources.ts"

const none = {
  cluster: undefined,
  config: undefined,
  gateways: undefined,
  hosts: [],
  permits: undefined,
  pool: undefined,
  provider: undefined,
  url: undefined
}
const cluster = "postgres://me@db/llm"

it.effect("flags of own hosts and a cluster exclude each other", () =>
  Effect.gen(function* () {
    expect(yield* Sources.readCluster({ ...none, cluster })).toEqual({ url: cluster, pool: undefined })
    expect(yield* Sources.readCluster({ ...none, permits: 8, gateways: 2 })).toBeUndefined()
    const messages = yield* Effect.forEach(
      [
        { ...none, cluster, hosts: ["gpu-1"] },
        { ...none, cluster, permits: 8 },
        { ...none, cluster, gateways: 2 },
        { ...none, cluster, provider: "ollama" as const },
        { ...none, pool: "large" }
      ],
      (input) => Effect.map(Effect.flip(Sources.readCluster(input)), ({ message }) => message)
    )
    expect(messages[0]).toMatch(/--cluster excludes --host/)
    for (const message of messages.slice(1, 4)) expect(message).toMatch(/--cluster excludes --permits/)
    expect(messages[4]).toBe("--pool needs --cluster")
  })
)

it.effect("an address that others cannot use is refused, and one of the machine itself is announced by its name", () =>
  Effect.gen(function* () {
    for (const listen of ["0.0.0.0:1", "[::]:1"]) {
      const { message } = yield* Effect.flip(Join.readAddress(listen))
      expect(message).toMatch(/^others do not reach this machine by/)
    }
    const address = yield* Join.readAddress("gpu-1")
    expect(address).toEqual({ host: "gpu-1", port: 11436 })
    for (const url of ["http://127.0.0.1:11434", "localhost:11434", "http://[::1]:11434"]) {
      expect(Join.announce({ url }, address).url).toBe("http://gpu-1:11434/")
      expect(Join.announce({ url }, yield* Join.readAddress(undefined)).url).toBe(url)
    }
    expect(Join.announce({ url: "http://gpu-2:11434" }, address).url).toBe("http://gpu-2:11434")
  })
)
