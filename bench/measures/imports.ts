// The time to import a provider's module, each time in a fresh process.
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { entryOf, subjectsOf } from "../subjects/catalogue.ts"
import type { Measure, Target } from "./Measure.ts"
import { takeTurns } from "./turns.ts"

const execute = promisify(execFile)
const cwd = fileURLToPath(new URL("..", import.meta.url))
/** Users import compiled files, so these are measured; the types of the sources would be stripped first. */
const compiledFolder = "results/compiled"

const foundation = "effect: Stream, Schema, HttpClient"
const ours = ["ours, Ollama", "ours, LmStudio"]
const modulesOf: Readonly<Record<string, ReadonlyArray<string>>> = {
  [foundation]: ["effect/Stream", "effect/Schema", "effect/http/HttpClient"],
  ...Object.fromEntries(ours.map((name) => [name, [`./${compiledFolder}/${name.replace("ours, ", "")}.js`]])),
  ...Object.fromEntries(subjectsOf("peer").map((peer) => [peer, entryOf(peer).packages ?? []]))
}

export const imports: Measure = {
  name: "imports",
  title: "Import of a provider module",
  columns: [{ figure: "import", title: "import, ms", digits: 1 }],
  targets: ours.map((subject): Target => {
    return { level: "must", subject, figure: "import", atMost: 1.15, times: foundation }
  }),
  run: async (bench) => {
    bench.progress("imports: compiling the library")
    await compileLibrary()
    return takeTurns(bench, {
      measure: "imports",
      subjects: Object.keys(modulesOf),
      rounds: bench.quick ? 1 : 15,
      // For the caches of the disk.
      warmUp: true,
      turn: async ({ subject }) => ({ import: await timeImport(modulesOf[subject] ?? []) })
    })
  }
}

async function timeImport(modules: ReadonlyArray<string>): Promise<number> {
  const program = `
    const start = performance.now()
    for (const module of ${JSON.stringify(modules)}) await import(module)
    console.log(performance.now() - start)`
  const { stdout } = await execute(process.execPath, ["--input-type=module", "--eval", program], { cwd })
  return Number(stdout)
}

async function compileLibrary(): Promise<void> {
  const project = ["--project", "../tsconfig.build.json", "--outDir", compiledFolder]
  await execute(process.execPath, ["../node_modules/typescript/bin/tsc", ...project], { cwd })
}
