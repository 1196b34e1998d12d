// npm run compare [-- --check]: what each client does when something goes wrong. Writes docs/comparison.md, or checks it.
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { execFileSync } from "node:child_process"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { make, type FakeServer } from "../../src/testing/FakeServer.ts"
import { fillIn } from "../report/fillIn.ts"
import type { Protocol } from "../server/wire.ts"
import type { Read } from "../subjects/catalogue.ts"
import { clients } from "./clients.ts"
import { situations, type Observed, type Situation } from "./situations.ts"

const { values: flags } = parseArgs({ options: { check: { type: "boolean", default: false } } })

if (!existsSync(new URL("../node_modules/ollama", import.meta.url))) {
  execFileSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: new URL("..", import.meta.url), stdio: "inherit" })
}
// Some clients have an unhandled rejection when they are stopped, and some print what they skip.
process.on("unhandledRejection", () => undefined)
console.warn = () => undefined

/** How long something is waited for that a client may never do. Long, so that a busy machine changes no result. */
const limit = "8 seconds"

/** The client's answer, and whether the server noticed that the client had gone. */
const observe = (
  connect: (url: string) => Promise<Read>,
  protocol: Protocol,
  situation: Situation
): Promise<Observed> =>
  Effect.gen(function* () {
    const server = yield* make(situation.answer(protocol))
    const read = yield* Effect.promise(() => connect(server.url))
    const answer = yield* drive(read, situation, server)
    if (situation.stop === undefined) return { ...answer, isClosed: false }
    const isCut = server.until(({ requests }) => requests.some(({ outcome }) => outcome === "cut-by-client"))
    return { ...answer, isClosed: Option.isSome(yield* Effect.timeoutOption(isCut, "3 seconds")) }
  }).pipe(Effect.scoped, Effect.runPromise)

const drive = Effect.fn(function* (
  read: Read,
  { enoughBytes = Infinity, stop }: Situation,
  server: FakeServer["Service"]
) {
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
    yield* Effect.forkScoped(
      Effect.andThen(
        server.until(({ requests }) => requests.length > 0),
        Effect.delay(abort, 300)
      )
    )
  }
  const hasEnough = server.until(({ requests }) => requests.some(({ bytesWritten }) => bytesWritten >= enoughBytes))
  // The client has a second for what it has received.
  const givenUp = Effect.raceFirst(Effect.sleep(limit), Effect.andThen(hasEnough, Effect.sleep("1 second")))
  const end = yield* Effect.raceFirst(ending, Effect.as(givenUp, "waiting" as const))
  return { end, text }
})

const endings = { complete: "ends as complete", failed: "fails", waiting: "waits" }

async function compare(protocol: Protocol): Promise<string> {
  const names = Object.keys(clients[protocol])
  const rows: Array<ReadonlyArray<string>> = [
    ["", ...names],
    ["---", ...names.map(() => "---")]
  ]
  for (const situation of situations) {
    const row = [situation.title]
    for (const connect of Object.values(clients[protocol])) {
      const observed = await observe(connect, protocol, situation)
      const words = situation.describe?.(observed) ?? endings[observed.end]
      row.push(`${situation.isRight(observed) ? "✓" : "✗"} ${words}`)
    }
    rows.push(row)
    console.log(row.join(" | "))
  }
  return formatTable(rows)
}

/** With columns of equal width, as the formatter of the repository leaves them. */
function formatTable(rows: ReadonlyArray<ReadonlyArray<string>>): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? []
  const pad = (cell: string, column: number) => cell.padEnd(widths[column] ?? 0, cell === "---" ? "-" : " ")
  return rows.map((row) => `| ${row.map(pad).join(" | ")} |`).join("\n")
}

const page = new URL("../../docs/comparison.md", import.meta.url)
const published = readFileSync(page, "utf8")
let text = published
for (const protocol of ["ndjson", "sse"] as const) text = fillIn(text, protocol, await compare(protocol))
if (!flags.check) writeFileSync(page, text)
else if (text !== published) throw new Error("docs/comparison.md differs from what was observed")
// A client that waits for ever would keep the process.
process.exit()
