/** What several gateways share: the permits of their hosts, and the address of a Redis. */
import { expect, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Shared from "../../src/cli/serve/shared.ts"
import * as Sources from "../../src/cli/serve/sources.ts"

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
      ""
    ]) {
      const { message } = yield* Effect.flip(Shared.readAddress(text, "--redis"))
      expect(message).toMatch(/^--redis (has a password; REDISCLI_AUTH is|is an address such as redis:)/)
      expect(message).not.toContain("SECRET")
    }
  }).pipe(environment({ REDISCLI_AUTH: "SECRET" }))
)
