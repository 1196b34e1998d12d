// npm run docs: the API reference with the guides, as a site. Warnings of the generator are errors.
import { execFileSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"

const here = import.meta.dirname

const readJson = (file: string) => JSON.parse(readFileSync(join(here, file), "utf8"))

const isInstalled = Object.entries(readJson("package.json").devDependencies).every(([name, version]) => {
  const manifest = `node_modules/${name}/package.json`
  return existsSync(join(here, manifest)) && readJson(manifest).version === version
})

// The generator needs the API of a compiler older than the one that compiles the library, so both are installed here only.
if (!isInstalled) execFileSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: here, stdio: "inherit" })
const { generate } = await import("./generate.ts")
if (!(await generate())) process.exitCode = 1
