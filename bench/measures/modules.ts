// What a module costs before it does anything: the time to import it on Node, and its size in a page.
import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import { gzipSync } from "node:zlib"
import { bundle as bundlePage } from "../../scripts/support/bundle.ts"
import type { Measure, Target } from "./Measure.ts"

const cwd = join(import.meta.dirname, "..")
/** Users import compiled files, so these are measured; the types of the sources would be stripped first. */
const compiledFolder = "results/compiled"

const foundation = "effect: Stream, Schema, HttpClient"
const ours = ["ours, Ollama", "ours, LmStudio"]
const effectAi = "ours, Ollama, effect/ai"

/** The page, which asks and shows each text when it comes, and the modules that are imported, if that is measured. */
const subjects: Readonly<Record<string, readonly [page: string, ...modules: ReadonlyArray<string>]>> = {
  [foundation]: ["effect", "effect/Stream", "effect/Schema", "effect/http/HttpClient"],
  "ours, Ollama": ["ours-ollama", `./${compiledFolder}/Ollama.js`],
  "ours, LmStudio": ["ours-lmstudio", `./${compiledFolder}/LmStudio.js`],
  [effectAi]: ["ours-effect-ai"],
  ollama: ["ollama", "ollama"],
  openai: ["openai", "openai"],
  "ai + ai-sdk-ollama": ["ai-ollama", "ai", "ai-sdk-ollama"],
  "ai + @ai-sdk/openai-compatible": ["ai-openai-compatible", "ai", "@ai-sdk/openai-compatible"]
}

const execute = promisify(execFile)

/** Each time in a fresh process. */
export const imports: Measure = {
  name: "imports",
  title: "Import of a provider module",
  columns: [{ figure: "import", title: "import, ms", digits: 1 }],
  targets: ours.map((subject): Target => {
    return { level: "must", subject, figure: "import", atMost: 1.15, times: foundation }
  }),
  subjects: Object.keys(subjects).filter((subject) => subject !== effectAi),
  rounds: 10,
  // For the caches of the disk.
  warmUp: true,
  open: async (bench) => {
    bench.progress("imports: compiling the library")
    const project = ["--project", "../tsconfig.build.json", "--outDir", compiledFolder]
    await execute(process.execPath, ["../node_modules/typescript/bin/tsc", ...project], { cwd })
    const turn = async function* (subject: string) {
      const [, ...modules] = subjects[subject] ?? [""]
      const program = `
        const start = performance.now()
        for (const module of ${JSON.stringify(modules)}) await import(module)
        console.log(performance.now() - start)`
      const { stdout } = await execute(process.execPath, ["--input-type=module", "--eval", program], { cwd })
      yield { import: Number(stdout) }
    }
    return { turn }
  }
}

/** Bundled and minified for browsers. The same on every machine. */
export const bundle: Measure = {
  name: "bundle",
  title: "Size of a page",
  columns: [
    { figure: "minified", title: "minified, KB", digits: 1 },
    { figure: "gzipped", title: "gzipped, KB", digits: 1 },
    { figure: "added", title: "gzipped, above Effect, KB", digits: 1 }
  ],
  targets: [
    ...ours.map((subject): Target => {
      return { level: "must", subject, figure: "gzipped", what: "KB", atMost: 50, above: foundation }
    }),
    ...ours.map((subject): Target => ({ level: "goal", subject, figure: "gzipped", atMost: 1, times: "openai" })),
    { level: "must", subject: effectAi, figure: "gzipped", atMost: 0.5, times: "ai + ai-sdk-ollama" }
  ],
  subjects: Object.keys(subjects),
  rounds: 1,
  open: async () => {
    const effect = await measurePage(foundation)
    const turn = async function* (subject: string) {
      const size = await measurePage(subject)
      yield subject.startsWith("ours") ? { ...size, added: size.gzipped - effect.gzipped } : size
    }
    return { turn }
  }
}

async function measurePage(subject: string): Promise<{ readonly minified: number; readonly gzipped: number }> {
  const [page] = subjects[subject] ?? [""]
  const { code, nodeModules } = await bundlePage({ file: join(cwd, `pages/${page}.js`) }, { minify: true })
  if (nodeModules.length > 0) throw new Error(`does not run in a browser: ${nodeModules.join(", ")}`)
  return { minified: Buffer.byteLength(code) / 1000, gzipped: gzipSync(code).length / 1000 }
}
