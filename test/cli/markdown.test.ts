/** Answers of the command on a pseudo-terminal, as an emulator shows them. */
import { describe, expect, it, vi } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { execFileSync } from "node:child_process"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "../support/commandLine.ts"
import * as Screen from "../support/screen.ts"

// A program starts in each of them.
vi.setConfig({ testTimeout: 60_000 })

const code = `def f(x):\n    return "${"long ".repeat(40)}end"\n\n\tx = [1]`

const answer = `# Why

Air scatters **blue light** far more than *red light*, and 天空看起来是蓝色的，因为空气散射蓝光比红光强得多。

- one
  - nested \`item\` with a text that is long enough to wrap at eighty columns, under itself

\`\`\`python
${code}
\`\`\`

| Name | Size |
|------|-----:|
| sky  | 1 |
| a longer name | 22 |
`

/** Tokens of a model end anywhere. */
const pieces = answer.match(/[^]{1,5}/g) ?? []

/** Starts it on a terminal with so many columns, which an emulator shows. */
const startOn = Effect.fnUntraced(function* (
  columns: number,
  script: FakeServer.Script,
  {
    args = [],
    env = {}
  }: { readonly args?: ReadonlyArray<string>; readonly env?: Readonly<Record<string, string>> } = {}
) {
  const server = yield* FakeServer.make(script, { models: ["m"] })
  const before = `stty cols ${columns} rows 50; tty; exec ${CommandLine.shellCommand(["Why?", "--quiet", ...args])}`
  const program = yield* CommandLine.startShell('exec script -qec "$ANSWER" /dev/null', {
    env: { TERM: "xterm", OLLAMA_HOST: server.url, ANSWER: before, ...env }
  })
  const screen = Screen.make({ columns, rows: 50 })
  const read = Effect.map(program.output, ({ stdout }) => stdout.replace(/^[^\n]*\n/, ""))
  const show = Effect.gen(function* () {
    yield* screen.write(yield* read)
    return { rows: yield* screen.rows, lines: yield* screen.lines, styles: yield* screen.styles }
  })
  const terminal = Effect.map(program.output, ({ stdout }) => stdout.split(/\r?\n/)[0] ?? "")
  return { program, read, screen, show, terminal }
})

describe.skipIf(!CommandLine.hasTerminals)("an answer on a terminal", () => {
  it.live.each([40, 80, 200])("wraps and is styled in %i columns", (columns) =>
    Effect.gen(function* () {
      const { program, show } = yield* startOn(columns, { pieces })
      expect((yield* program.result).code).toBe(0)
      const { lines, rows, styles } = yield* show
      const text = rows.join("\n")
      const words = answer.replaceAll(/```|[*`#|-]|:\s/g, " ").match(/[\w,"]+(?=\s)/g) ?? []
      for (const word of words) expect(text).toContain(word)
      expect(text).not.toContain("**")
      expect(styles.join("\n")).toMatch(/bbbb bbbbb/)
      // No row is divided by the terminal, except in code, and none ends with a space.
      expect(lines.join("\n")).toContain(`\`\`\`python\n${code.replace("\t", "        ")}\n\`\`\``)
      const isCode = (row: string) => row.includes("long ")
      for (const row of rows.filter((row) => !isCode(row))) expect(row).toBe(row.trimEnd())
      expect(rows.filter((row) => row.includes("│")).map((row) => row.indexOf("│"))).toEqual([14, 14, 14])
    })
  )

  it.live("goes on in the new width after a resize", () =>
    Effect.gen(function* () {
      const isResized = yield* Deferred.make<void>()
      const { program, read, screen, terminal } = yield* startOn(80, {
        pieces: Stream.concat(
          Stream.fromIterable("The sky is blue because air scatters ".match(/.{1,4}/g) ?? []),
          Stream.fromIterable("blue light far more than red light, and so on.".match(/.{1,4}/g) ?? []).pipe(
            Stream.onStart(Deferred.await(isResized))
          )
        )
      })
      yield* program.until(({ stdout }) => stdout.includes("scatters"))
      const before = yield* read
      yield* screen.write(before)
      execFileSync("stty", ["-F", yield* terminal, "cols", "45"])
      yield* screen.resize(45)
      // The signal takes a moment.
      yield* Effect.sleep("300 millis")
      yield* Deferred.succeed(isResized, undefined)
      yield* program.result
      yield* screen.write((yield* read).slice(before.length))
      expect(yield* screen.rows).toEqual([
        "The sky is blue because air scatters blue",
        "light far more than red light, and so on."
      ])
    })
  )

  it.live("of which a table is cut shows all of it, and the error on a line of its own", () =>
    Effect.gen(function* () {
      const table = "| Name | Size |\n|---|---|\n| sky | 1 |\n| clouds | 2"
      const script: FakeServer.Script = { pieces: [...table, { error: "no" }] }
      const { program, show } = yield* startOn(80, script)
      expect((yield* program.result).code).toBe(1)
      const { lines, rows } = yield* show
      expect(rows.slice(0, 4)).toEqual(["Name   │ Size", "───────┼─────", "sky    │ 1", "clouds │ 2"])
      expect(lines.at(-1)).toMatch(/^local-llm: /)
    })
  )

  it.live.each([
    { args: ["--raw"], env: {} },
    { args: [], env: { TERM: "dumb" } }
  ])("is as the model writes it with %j", ({ args, env }) =>
    Effect.gen(function* () {
      const { program, read } = yield* startOn(40, { pieces }, { args, env })
      yield* program.result
      expect((yield* read).replaceAll("\r\n", "\n")).toBe(`${answer}\n`)
    })
  )

  it.live("has its marks and wraps without colours", () =>
    Effect.gen(function* () {
      const { program, read, show } = yield* startOn(40, { pieces }, { env: { NO_COLOR: "1" } })
      yield* program.result
      expect(yield* read).not.toMatch(/\[[\d;]+m/)
      const { rows } = yield* show
      expect(rows.slice(0, 4)).toEqual([
        "# Why",
        "",
        "Air scatters **blue light** far more",
        "than *red light*, and 天空看起来是蓝色"
      ])
    })
  )
})
