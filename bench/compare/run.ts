// npm run compare [-- --check]: what each client does when something goes wrong. Writes docs/comparison.md, or checks it.
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { readFileSync, writeFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { installPackages } from "../../scripts/support/repository.ts"
import { make } from "../../src/testing/FakeServer.ts"
import { fillIn, table } from "../report/page.ts"
import type { Protocol } from "../server/wire.ts"
import { connectSubject, entryOf, subjectsOf, type SubjectName } from "../subjects/catalogue.ts"
import { situations, type Observed, type Situation } from "./situations.ts"

const { values: flags } = parseArgs({ options: { check: { type: "boolean", default: false } } })

// The other clients are installed in this folder and nowhere else, so that the library never depends on them.
installPackages("bench")
// Some clients have an unhandled rejection when they are stopped, and some print what they skip.
process.on("unhandledRejection", () => undefined)
console.warn = () => undefined

/** How long something is waited for that a client may never do. Long, so that a busy machine changes no result. */
const limit = "8 seconds"

/** The client's answer, and whether the server noticed that the client had gone. */
const observe = Effect.fnUntraced(function* (
  subject: SubjectName,
  { answer, enoughBytes = Infinity, stop }: Situation
) {
  const server = yield* make(answer(entryOf(subject).protocol))
  const { read } = yield* Effect.promise(() => connectSubject(subject, server.url))
  const controller = new AbortController()
  let text = ""
  const onText = (part: string): void => {
    text += part
    if (stop === "at the first text" && part !== "") throw new Error("the consumer stops")
  }
  const ending = Effect.promise(() =>
    read("any", onText, controller.signal).then(
      () => "complete" as const,
      () => "failed" as const
    )
  )
  if (stop === "later") {
    const abort = Effect.sync(() => controller.abort())
    const hasRequest = server.until(({ requests }) => requests.length > 0)
    yield* Effect.forkScoped(Effect.andThen(hasRequest, Effect.delay(abort, 300)))
  }
  const hasEnough = server.until(({ requests }) => requests.some(({ bytesWritten }) => bytesWritten >= enoughBytes))
  // The client has a second for what it has received.
  const givenUp = Effect.raceFirst(Effect.sleep(limit), Effect.andThen(hasEnough, Effect.sleep("1 second")))
  const end = yield* Effect.raceFirst(ending, Effect.as(givenUp, "waiting" as const))
  const isCut = server.until(({ requests }) => requests.some(({ outcome }) => outcome === "cut-by-client"))
  const isClosed = stop !== undefined && Option.isSome(yield* Effect.timeoutOption(isCut, "3 seconds"))
  return { text, end, isClosed } satisfies Observed
}, Effect.scoped)

const endings = { complete: "ends as complete", failed: "fails", waiting: "waits" }

async function compare(protocol: Protocol): Promise<string> {
  const subjects = subjectsOf("ours", "peer").filter((subject) => entryOf(subject).protocol === protocol)
  const names = subjects.map((subject) => (entryOf(subject).kind === "ours" ? "effect-local-llm" : subject))
  const rows: Array<ReadonlyArray<string>> = [["", ...names]]
  for (const situation of situations) {
    const row = [situation.title]
    for (const subject of subjects) {
      const observed = await Effect.runPromise(observe(subject, situation))
      const words = situation.describe?.(observed) ?? endings[observed.end]
      row.push(`${situation.isRight(observed) ? "✓" : "✗"} ${words}`)
    }
    rows.push(row)
    console.log(row.join(" | "))
  }
  return table(rows)
}

const page = new URL("../../docs/comparison.md", import.meta.url)
const published = readFileSync(page, "utf8")
let text = published
for (const protocol of ["ndjson", "sse"] as const) text = fillIn(text, protocol, await compare(protocol))
if (!flags.check) writeFileSync(page, text)
else if (text !== published) throw new Error("docs/comparison.md differs from what was observed")
// A client that waits for ever would keep the process.
process.exit()
