/** What a command loads before it does something. */
import { expect, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"

// It compiles all modules that are loaded.
vi.setConfig({ testTimeout: 60_000 })

const hook = `import { registerHooks } from "node:module"
registerHooks({ load: (url, context, next) => (process.stderr.write(url + "\\n"), next(url, context)) })`

/** The modules that a command loads, from the sources. */
const load = (args: ReadonlyArray<string>) =>
  Effect.callback<string>((resume) => {
    const flags = ["--import", `data:text/javascript,${encodeURIComponent(hook)}`, "src/cli/main.ts"]
    execFile(process.execPath, [...flags, ...args], { maxBuffer: 1e8 }, (_, _out, stderr) =>
      resume(Effect.succeed(stderr))
    ).stdin?.end()
  })

const ofOthers = /\/undici\/|\/src\/policies\/pool\/|\/src\/cli\/(?:serve|conversation\/conversation|batch|models)\b/

it.live.each([
  [["--help"], "/src/cli/commands.ts", /\/src\/(?:protocol|http|policies)\/|\/src\/servers\/(?!kinds)/],
  [["--provider", "ollama", "--url", "http://127.0.0.1:1", "-m", "m", "Why?"], "/src/cli/answer.ts", ofOthers]
] as const)("%j loads nothing of other commands", ([args, own, others]) =>
  Effect.gen(function* () {
    const modules = yield* load(args)
    expect(modules).toContain(own)
    expect(modules.split("\n").filter((url) => others.test(url))).toEqual([])
  })
)

it.live.each([["batch", "requests.jsonl", "--out", "results.jsonl"], ["batch-worker"]])(
  "%j keeps its connections",
  (args) =>
    Effect.gen(function* () {
      expect(yield* load([...args, "--provider", "ollama", "--url", "http://127.0.0.1:1"])).toContain("/undici/")
    })
)
