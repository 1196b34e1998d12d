/** The clients of npm, and this package's own. */
import { expect, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { inject } from "vitest"
import { testAll } from "./tests.ts"

it.skipIf("missing" in inject("npm"))("the programs fit the types of the clients", { timeout: 120_000 }, () => {
  const { status, stdout } = spawnSync("tsc", ["-p", import.meta.dirname], { encoding: "utf8" })
  expect(stdout).toBe("")
  expect(status).toBe(0)
})

testAll("npm")
