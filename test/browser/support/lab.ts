/** The lab page, driven from a test. */
import * as Effect from "effect/Effect"
import type { Page } from "playwright-core"
import type { FakeServer } from "../../../src/testing/index.ts"
import type { Question, Reading } from "../lab.ts"
import type { PartName } from "./parts.ts"
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
  readonly run: (name: PartName, ...servers: ReadonlyArray<Server>) => Effect.Effect<unknown>
}

type Server = FakeServer.FakeServer["Service"]

/** Opens a page with the lab. */
export const openAt = Effect.fnUntraced(function* (path: string) {
  const { origin } = yield* Pages
  return yield* drive(yield* (yield* Chromium).open(origin + path))
})

export const open = openAt("/lab")

/** Opens the lab in another tab of the same session. */
export const openTab = Effect.fnUntraced(function* ({ page }: LabPage) {
  const tab = yield* Effect.promise(() => page.context().newPage())
  yield* Effect.promise(() => tab.goto(page.url()))
  return yield* drive(tab)
})

const drive = Effect.fnUntraced(function* (page: Page): Effect.fn.Return<LabPage> {
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
            predicate(reading)
              ? Effect.succeed(reading)
              : Effect.delay(
                  Effect.suspend(() => until(predicate)),
                  20
                )
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
