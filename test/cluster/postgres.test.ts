import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Net from "node:net"
import * as Postgres from "./postgres.ts"
import * as Process from "./process.ts"

/** Whether something accepts connections there. */
const accepts = (url: string): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const { hostname, port } = new URL(url)
    const socket = Net.connect(Number(port), hostname)
    const end = (isOpen: boolean) => () => {
      socket.destroy()
      resume(Effect.succeed(isOpen))
    }
    socket.once("connect", end(true)).once("error", end(false))
  })

it.live.skipIf(Process.isMissing("postgres"))("PostgreSQL is killed, and comes back at the same address", () =>
  Effect.gen(function* () {
    const postgres = yield* Postgres.make
    expect(yield* accepts(postgres.url)).toBe(true)
    yield* postgres.kill
    expect(yield* accepts(postgres.url)).toBe(false)
    yield* postgres.start
    expect((yield* postgres.output).stderr).toContain("was not properly shut down; automatic recovery in progress")
    expect(yield* accepts(postgres.url)).toBe(true)
  })
)
