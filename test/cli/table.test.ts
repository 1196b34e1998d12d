/** Rows on a terminal. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Table from "../../src/cli/table.ts"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "../support/commandLine.ts"

describe("the width of text", () => {
  it.each<[text: string, columns: number]>([
    ["", 0],
    ["abc", 3],
    ["é", 1],
    ["e\u0301", 1],
    ["名前", 4],
    ["한국어", 6],
    ["ｆｕｌｌ", 8],
    ["😀", 2],
    ["👩‍👩‍👧", 2],
    ["❤️", 2],
    ["→…█", 3]
  ])("%j is %i", (text, columns) => {
    expect(Table.width(text)).toBe(columns)
  })

  it.each<[text: string, columns: number, cut: string]>([
    ["abcdef", 6, "abcdef"],
    ["abcdef", 4, "abc…"],
    ["名前名前", 5, "名前…"],
    ["名前名前", 6, "名前…"],
    ["👩‍👩‍👧abc", 3, "👩‍👩‍👧…"],
    ["abc", 1, "…"],
    ["abc", 0, ""]
  ])("%j is cut to %i columns: %j", (text, columns, cut) => {
    expect(Table.cut(text, columns)).toBe(cut)
  })
})

describe("a table", () => {
  it("is aligned by the width of its characters, without empty columns", () => {
    const rows = [
      ["a", "", "名前", "1"],
      ["bcd", "", "x", "2"]
    ]
    expect(Table.align(rows)).toEqual(["a    名前  1", "bcd  x     2"])
  })

  it.live.skipIf(!CommandLine.hasTerminals)("is cut to the width of the terminal, and complete in a pipe", () =>
    Effect.gen(function* () {
      const models = ["m:latest", "名前".repeat(30)]
      const server = yield* FakeServer.make({}, { models })
      const env = { OLLAMA_HOST: server.url, TERM: "xterm" }
      const command = `stty cols 40; exec ${CommandLine.shellCommand(["models"])}`
      const script = `script -qec '${command.replaceAll("'", `'\\''`)}' /dev/null`
      const { stdout } = yield* CommandLine.runShell(script, { env })
      const lines = stdout.split("\r\n").filter((line) => line !== "")
      expect(lines).toHaveLength(2)
      for (const line of lines) expect(Table.width(line)).toBeLessThanOrEqual(40)
      const piped = yield* CommandLine.run(["models"], { env })
      expect(piped.stdout.split("\n").map((line) => line.split("\t")[1])).toEqual([...models, undefined])
    })
  )
})
