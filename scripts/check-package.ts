// Packs the package as npm would publish it, and uses it from an empty project as its users do.
import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { findUndocumentedFields } from "./support/fieldDocs.ts"
import { listFiles, root } from "./support/repository.ts"

interface Manifest {
  readonly name: string
  readonly devDependencies: Readonly<Record<string, string>>
}

const { devDependencies, name }: Manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
const folder = mkdtempSync(join(tmpdir(), `${name}-`))
const project = join(folder, "project")
const bin = join(project, "node_modules/.bin/local-llm")
const globalFolder = join(folder, "global")
const globalBin = join(globalFolder, "bin/local-llm")

const step = (title: string, check: () => void): void => {
  const started = performance.now()
  check()
  console.log(`${title} (${((performance.now() - started) / 1000).toFixed(1)} s)`)
}

const attempt = (command: string, args: ReadonlyArray<string>, cwd = root) => {
  const { error, status, stderr, stdout } = spawnSync(command, args, { cwd, encoding: "utf8" })
  if (error !== undefined) throw error
  return { status, stderr, stdout }
}

/** What a command prints is shown only if it fails. */
const run = (command: string, args: ReadonlyArray<string>, cwd = root): string => {
  const { status, stderr, stdout } = attempt(command, args, cwd)
  assert.equal(status, 0, `${command} ${args.join(" ")}\n${stdout}${stderr}`)
  return stdout
}

const npmInstall = ["install", "--no-audit", "--no-fund", "--prefer-offline"]

const install = (...specs: ReadonlyArray<string>): void => {
  run("npm", [...npmInstall, ...specs], project)
}

/** As `npm install -g`, into a folder of its own. */
const installGlobally = (...specs: ReadonlyArray<string>): void => {
  run("npm", [...npmInstall, "--global", "--prefix", globalFolder, ...specs], folder)
}

/** In the version that this repository itself is tested with. */
const tested = (dependency: string): string => `${dependency}@${devDependencies[dependency]}`

/** The imports that fail, each with its error code. */
const importAll = (specifiers: ReadonlyArray<string>): Readonly<Record<string, string>> => {
  const script = `
    const failures = {}
    for (const specifier of ${JSON.stringify(specifiers)}) {
      await import(specifier).catch((error) => { failures[specifier] = error.code ?? String(error) })
    }
    console.log(JSON.stringify(failures))`
  return JSON.parse(run(process.execPath, ["--input-type=module", "--eval", script], project))
}

const checkPackage = (): void => {
  step("packed", () => run("npm", ["pack", "--pack-destination", folder]))
  const tarball = join(folder, readdirSync(folder).find((file) => file.endsWith(".tgz")) ?? "")

  const modules = listFiles("dist", ".js").map((file) => file.replace(/\.js$/, ""))
  const publicModules = modules.filter((module) => /^[A-Z]\w*$/.test(module))
  const entrances = [".", "./testing", ...publicModules.map((module) => `./${module}`)]
  const inside = modules.filter((module) => module.includes("/") && module !== "testing/index")

  step("an editor shows a text for each field of the types", () => {
    const config = join(folder, "declarations.json")
    writeFileSync(config, JSON.stringify({ extends: join(root, "tsconfig.json"), include: [join(root, "dist")] }))
    const described = modules.filter((module) => /^(testing\/)?[A-Z]\w*$/.test(module))
    const files = described.map((module) => join(root, "dist", `${module}.d.ts`))
    assert.deepEqual(findUndocumentedFields(config, files, join(root, "dist")), [])
  })
  step("publint reports no problem", () => run("publint", ["run", tarball, "--strict"]))
  step("the types are not wrong", () =>
    run("attw", [tarball, "--profile", "esm-only", "--no-definitely-typed", "--entrypoints", ...entrances])
  )
  step("it installs beside effect alone, and brings nothing but itself", () => {
    mkdirSync(project)
    writeFileSync(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }))
    install(tarball, tested("effect"))
    const files = run("tar", ["-tzf", tarball]).trim().split("\n")
    const unexpected = files.filter(
      (file) =>
        !/^package\/(package\.json|README\.md|CHANGELOG\.md|LICENSE|src\/(gateway|settings)\.schema\.json|(dist|src)\/[^.]+(\.d)?\.(js|ts)(\.map)?)$/.test(
          file
        )
    )
    assert.deepEqual(unexpected, [])
  })
  step(`all ${entrances.length} subpaths can be imported`, () => {
    assert.deepEqual(importAll(entrances.map((entrance) => name + entrance.slice(1))), {})
  })
  step(`all ${inside.length} files inside cannot`, () => {
    const failures = importAll(inside.map((module) => `${name}/${module}`))
    const open = inside.filter((module) => failures[`${name}/${module}`] !== "ERR_PACKAGE_PATH_NOT_EXPORTED")
    assert.deepEqual(open, [])
  })
  step("the command line names the missing package and how to install it", () => {
    const { status, stderr } = attempt(bin, ["--help"], project)
    assert.equal(status, 1, "it starts without @effect/platform-node; a folder above the temporary one may have it")
    assert.match(stderr, /^local-llm: [^\n]*"npm install @effect\/platform-node"[^\n]*\n$/)
  })
  step("with that package it starts", () => {
    install(tested("@effect/platform-node"))
    assert.match(run(bin, ["--help"], project), /local-llm <subcommand>/)
  })
  step("installed globally, it names the missing package as well", () => {
    installGlobally(tarball)
    const { status, stderr } = attempt(globalBin, ["--help"], folder)
    assert.equal(status, 1)
    assert.match(stderr, /^local-llm: [^\n]*"npm install -g @effect\/platform-node"[^\n]*\n$/)
  })
  step("with that package it starts and sends requests", () => {
    installGlobally(tested("@effect/platform-node"))
    assert.match(run(globalBin, ["--help"], folder), /local-llm <subcommand>/)
    const flags = ["--provider", "ollama", "--url", "http://127.0.0.1:1"]
    const { status, stderr } = attempt(globalBin, ["models", ...flags], folder)
    assert.equal(status, 1)
    assert.match(stderr, /^local-llm: [^\n]*ECONNREFUSED 127\.0\.0\.1:1[^\n]*\n$/)
  })
  step("a program compiles against it and runs", () => {
    install(tested("@types/node"))
    copyFileSync(join(root, "scripts/support/consumer.ts"), join(project, "consumer.ts"))
    const options = "--strict --exactOptionalPropertyTypes --module nodenext --target es2023 --types node".split(" ")
    run("tsc", ["consumer.ts", ...options, "--skipLibCheck", "false"], project)
    assert.equal(run(process.execPath, ["consumer.js"], project), "Rayleigh scattering.\n".repeat(3))
  })
}

try {
  checkPackage()
} catch (error) {
  console.error(error instanceof assert.AssertionError ? error.message : error)
  process.exitCode = 1
} finally {
  rmSync(folder, { recursive: true })
}
