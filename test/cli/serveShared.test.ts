/** What several gateways share: the permits of their hosts, and the address of a Redis. */
import { expect, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Net from "node:net"
import * as Redis from "../../src/cli/serve/redis.ts"
import * as Shared from "../../src/cli/serve/shared.ts"
import * as Sources from "../../src/cli/serve/sources.ts"
import * as Limits from "../../src/policies/limits.ts"

const Count = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 40 }))

it.prop(
  "each gateway gets a permit of each host at least, and all of them no more than the host has, if it has enough",
  { gateways: Count, permits: Count },
  ({ gateways, permits }) => {
    const part = Sources.share(permits, gateways)
    expect(part).toBeGreaterThanOrEqual(1)
    if (permits < gateways) return expect(part).toBe(1)
    expect(part * gateways).toBeLessThanOrEqual(permits)
    expect((part + 1) * gateways).toBeGreaterThan(permits)
  }
)

const environment = (variables: Readonly<Record<string, string>>) =>
  Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown(variables))

it.effect("the password of Redis comes from its variable, and is shown nowhere", () =>
  Effect.gen(function* () {
    const address = yield* Shared.readAddress("rediss://ann@cache:6380/2", "--redis")
    expect(address.url).toBe("rediss://ann@cache:6380/2")
    expect(Redacted.value(address.password ?? Redacted.make(""))).toBe("SECRET")
    expect(JSON.stringify(address)).not.toContain("SECRET")
    for (const text of [
      "redis://ann:SECRET@cache",
      "redis://:SECRET@cache:1",
      "http://cache",
      "cache:6379",
      "redis://",
      "redis://cache/name",
      "redis://cache:99999",
      ""
    ]) {
      const { message } = yield* Effect.flip(Shared.readAddress(text, "--redis"))
      expect(message).toMatch(/^--redis (has a password; REDISCLI_AUTH is|is an address such as redis:)/)
      expect(message).not.toContain("SECRET")
    }
  }).pipe(environment({ REDISCLI_AUTH: "SECRET" }))
)

it.live.each([
  { answer: "-WRONGPASS invalid username-password pair or user is disabled.\r\n", code: "WRONGPASS" },
  { answer: "-LOADING Redis is loading the dataset in memory\r\n", code: "LOADING" },
  { answer: undefined, code: "ECONNREFUSED" }
])("the log says why Redis does not answer: $code", ({ answer, code }) =>
  Effect.gen(function* () {
    const server = Net.createServer((socket) =>
      socket
        .on("error", () => undefined)
        .on("data", (bytes) => {
          for (const _ of String(bytes).matchAll(/\*\d+\r\n/g)) socket.write(answer ?? "")
        })
    )
    const port = yield* Effect.callback<number>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
      })
    })
    const close = Effect.sync(() => server.close())
    if (answer === undefined) yield* close
    else yield* Effect.addFinalizer(() => close)
    const { limiter } = yield* Redis.make({ url: `redis://127.0.0.1:${port}`, password: Redacted.make("SECRET") })
    const logged: Array<unknown> = []
    const limits = yield* Limits.make({ limiter, onStoreError: "memory" })
    yield* Effect.scoped(limits.admit("key", { requestsPerMinute: 1 }, false)).pipe(
      Effect.provide(Logger.layer([Logger.make(({ message }) => void logged.push(message))]))
    )
    expect(String(logged)).toContain(`does not answer (${code}); each process counts by itself`)
  })
)
