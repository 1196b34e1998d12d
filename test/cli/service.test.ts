/** The unit for systemd and the container of the guide. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { vi } from "vitest"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "../support/commandLine.ts"

// It starts programs, on a machine that may be busy.
vi.setConfig({ testTimeout: 60_000 })

const page = Fs.readFileSync("docs/gateway.md", "utf8")

const blockOf = (language: string): string => new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``).exec(page)?.[1] ?? ""

const makeFolder = (): string => Fs.mkdtempSync(Path.join(Os.tmpdir(), "local-llm-"))

const hasSystemd = spawnSync("systemd-analyze", ["--version"]).status === 0

describe.skipIf(!hasSystemd)("the unit for systemd", () => {
  it.each(["", " --keys %d/keys.json"])("is valid with the arguments%s", (more) => {
    const file = Path.join(makeFolder(), "local-llm.service")
    Fs.writeFileSync(
      file,
      blockOf("ini").replace(/^ExecStart=.*/m, (line) => line + more)
    )
    const { status, stderr } = spawnSync("systemd-analyze", ["verify", file], { encoding: "utf8" })
    expect([status, stderr]).toEqual([0, ""])
  })
})

describe("the container", () => {
  it.live("passes SIGTERM on to the gateway, which ends with 0", () =>
    Effect.gen(function* () {
      const { url } = yield* FakeServer.make({}, { models: ["m:latest"] })
      // What `npm install -g` does there.
      const folder = makeFolder()
      Fs.writeFileSync(Path.join(folder, "local-llm"), `#!/bin/sh\nexec ${CommandLine.shellCommand([])} "$@"\n`, {
        mode: 0o755
      })
      const [, script = ""] = /^ +command: sh -c "(.*)"$/m.exec(blockOf("yaml")) ?? []
      const command = script
        .replace(/^npm install -g \S+ \S+ &&/, "true &&")
        .replace("http://host.docker.internal:11434", url)
        .replace("--listen 0.0.0.0", "--listen 0.0.0.0:0")
      expect(command).toContain(url)
      const gateway = yield* CommandLine.startShell(command, {
        env: { PATH: `${folder}:${process.env["PATH"]}` }
      })
      yield* gateway.until(({ stdout }) => stdout.includes("OLLAMA_HOST"))
      yield* gateway.kill("SIGTERM")
      expect((yield* gateway.result).code).toBe(0)
    })
  )
})
