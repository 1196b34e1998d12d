/** The lab page, driven from a test. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Page } from "playwright-core"
import type { FakeServer } from "../../../src/testing/index.ts"
import type { Question, Reading } from "../lab.ts"
import type * as Policies from "./policies.ts"
import { Chromium, Pages } from "./chromium.ts"

export interface Asked {
  /** How the reading stands now. */
  readonly look: Effect.Effect<Reading>
  /** Waits until the reading satisfies the predicate. */
  readonly until: (predicate: (reading: Reading) => boolean) => Effect.Effect<Reading>
  /** Waits until it is over. */
  readonly end: Effect.Effect<Reading>
  readonly stop: Effect.Effect<void>
}

export interface LabPage {
  readonly page: Page
  readonly ask: (question: Question) => Effect.Effect<Asked>
  /** Asks, and waits for the end. */
  readonly read: (question: Question) => Effect.Effect<Reading>
  readonly run: (name: keyof typeof Policies, ...servers: ReadonlyArray<Server>) => Effect.Effect<unknown>
}

type Server = FakeServer.FakeServer["Service"]

export const open: Effect.Effect<LabPage, never, Chromium | Pages | Scope.Scope> = Effect.gen(function* () {
  const { origin } = yield* Pages
  const page = yield* (yield* Chromium).open(`${origin}/lab`)
  yield* Effect.promise(() => page.waitForFunction(() => "lab" in globalThis))

  const ask = (question: Question) =>
    Effect.map(
      Effect.promise(() => page.evaluate((question) => lab.ask(question), question)),
      (number): Asked => {
        const look = Effect.promise(() => page.evaluate((number) => lab.look(number), number)).pipe(
          Effect.flatMap((reading) => (reading === undefined ? Effect.die("no such reading") : Effect.succeed(reading)))
        )
        const until = (predicate: (reading: Reading) => boolean): Effect.Effect<Reading> =>
          Effect.flatMap(look, (reading) =>
            predicate(reading) ? Effect.succeed(reading) : Effect.delay(Effect.suspend(() => until(predicate)), 20)
          )
        return {
          look,
          until,
          end: until(({ outcome }) => outcome !== "reading"),
          stop: Effect.promise(() => page.evaluate((number) => lab.stop(number), number))
        }
      }
    )

  return {
    page,
    ask,
    read: (question) => Effect.flatMap(ask(question), ({ end }) => end),
    run: (name, ...servers) => {
      const urls = servers.map(({ url }) => url)
      return Effect.promise(() => page.evaluate(({ name, urls }) => lab.run(name, urls), { name, urls }))
    }
  }
})
