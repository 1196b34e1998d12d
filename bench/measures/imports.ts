// What it costs a program to import a provider's module, each time in a fresh process.
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import type { Measure } from "./Measure.ts"
import { Run } from "./rounds.ts"

const execute = promisify(execFile)
const benchFolder = fileURLToPath(new URL("..", import.meta.url))
/** Users import the compiled files, so these are measured; the sources would have their types stripped first. */
const compiledFolder = "results/compiled"

const foundation = "effect: Stream, Schema, HttpClient"
const modulesOf: Readonly<Record<string, ReadonlyArray<string>>> = {
  [foundation]: ["effect/Stream", "effect/Schema", "effect/http/HttpClient"],
  "ours, Ollama": [`./${compiledFolder}/Ollama.js`],
  "ours, LmStudio": [`./${compiledFolder}/LmStudio.js`],
  ollama: ["ollama"],
  openai: ["openai"],
  "ai + ai-sdk-ollama": ["ai", "ai-sdk-ollama"],
  "ai + @ai-sdk/openai-compatible": ["ai", "@ai-sdk/openai-compatible"]
}
const ourModules = ["ours, Ollama", "ours, LmStudio"]

export const imports: Measure = {
  name: "imports",
  title: "Import of a provider module",
  tables: [{ columns: [{ figure: "import", title: "import, ms", digits: 1 }] }],
  claims: ourModules.map((subject) => ({
    level: "must",
    says: `${subject}: at most 1.15 × the parts of Effect it is made of`,
    bound: "at most",
    limit: 1.15,
    value: (median) => median(subject, "import") / median(foundation, "import")
  })),
  tasks: [],
  run: async (bench) => {
    bench.progress("imports: compiling the library")
    const compiling = compileLibrary()
    await Promise.allSettled([compiling])
    const runs = Object.keys(modulesOf).map((subject) => new Run(subject))
    const rounds = bench.quick ? 1 : 15
    // Round 0 fills the caches of the disk.
    for (let round = 0; round <= rounds; round++) {
      for (const run of runs) {
        bench.progress(`imports: ${run.subject}, round ${round} of ${rounds}`)
        await run.attempt(async () => {
          if (ourModules.includes(run.subject)) await compiling
          const milliseconds = await timeImport(modulesOf[run.subject] ?? [])
          if (round > 0) run.add({ import: milliseconds })
        })
      }
    }
    return runs.map((run) => run.row())
  }
}

async function timeImport(modules: ReadonlyArray<string>): Promise<number> {
  const program = `
    const start = performance.now()
    for (const module of ${JSON.stringify(modules)}) await import(module)
    console.log(performance.now() - start)`
  const { stdout } = await execute(process.execPath, ["--input-type=module", "--eval", program], { cwd: benchFolder })
  return Number(stdout)
}

async function compileLibrary(): Promise<void> {
  const compiler = fileURLToPath(import.meta.resolve("typescript/package.json")).replace("package.json", "bin/tsc")
  const project = ["--project", "../tsconfig.build.json", "--outDir", compiledFolder]
  await execute(process.execPath, [compiler, ...project], { cwd: benchFolder })
}
