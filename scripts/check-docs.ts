// Every public module has a docstring with @since and every public export a docstring, every example in the docs compiles against the
// sources, blocks of the docs that name a file are parts of it, and links to files lead somewhere.
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { listFiles, root } from "./support/repository.ts"

interface Example {
  readonly file: string
  /** Of its opening fence, counted from 1. */
  readonly line: number
  readonly code: string
}

const read = (file: string): string => readFileSync(join(root, file), "utf8")

/**
 * What is exported from elsewhere is documented there. A schema or service and its type have one docstring. An export has the `@since`
 * of its module unless it has its own.
 */
const findUndocumented = (file: string): ReadonlyArray<string> => {
  const lines = read(file).split("\n")
  const header = lines[0] === "/**" && lines.slice(0, lines.indexOf(" */")).join("\n").includes(" * @since ")
  const exports = lines.flatMap((line, index) => {
    const [, name] = /^export (?!type \{)\w+ (\w+)/.exec(line) ?? []
    const isDocumented = lines[index - 1]?.endsWith(" */") === true
    return name === undefined ? [] : [{ name, isDocumented, text: `${index + 1}: needs a docstring: ${line}` }]
  })
  const documented = new Set(exports.filter(({ isDocumented }) => isDocumented).map(({ name }) => name))
  return [
    ...(header ? [] : ["1: needs a docstring with @since"]),
    ...exports.filter(({ name }) => !documented.has(name)).map(({ text }) => text)
  ].map((text) => `${file}:${text}`)
}

/** Blocks fenced as `ts`, on a page or in a docstring. */
const findExamples = (file: string): ReadonlyArray<Example> =>
  Array.from(
    read(file).matchAll(/^([ \t]*(?:\* )?)```ts\n([^]*?)^\1```/gm),
    ({ 1: margin = "", 2: block = "", index, input }) => ({
      file,
      line: lineAt(input, index),
      code: block.replaceAll(/^.*$/gm, (text) => text.slice(margin.length))
    })
  )

/** Blocks fenced with the path of a file, such as `ts examples/batch.ts`, that are not in that file. White space does not count. */
const findDrift = (page: string): ReadonlyArray<string> =>
  Array.from(read(page).matchAll(/^```\w+ (\S+)\n([^]*?)^```/gm)).flatMap(
    ({ 1: file = "", 2: block = "", index, input }) =>
      existsSync(join(root, file)) && withoutSpace(read(file)).includes(withoutSpace(block))
        ? []
        : [`${page}:${lineAt(input, index)}: differs from ${file}`]
  )

const lineAt = (text: string, index: number): number => text.slice(0, index).split("\n").length

const withoutSpace = (text: string): string => text.replaceAll(/\s+/g, "")

/** Links to files of this repository that are not there. */
const findBrokenLinks = (page: string): ReadonlyArray<string> =>
  Array.from(read(page).matchAll(/\]\((?!\w+:|#)([^)#\s]+)/g)).flatMap(({ 1: target = "", index, input }) =>
    existsSync(join(root, dirname(page), target))
      ? []
      : [`${page}:${lineAt(input, index)}: links to ${target}, which is not there`]
  )

/** Compiles each example as a module of its own, so that it can be copied unchanged. Returns the errors. */
const compile = (examples: ReadonlyArray<Example>): string => {
  const folder = join(root, ".cache/docs")
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  for (const { code, file, line } of examples) {
    // The blank lines above put each line of code where it is on its page.
    writeFileSync(join(folder, `${file.replaceAll("/", "__")}.${line}.ts`), "\n".repeat(line) + code)
  }
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      extends: "../../tsconfig.json",
      compilerOptions: { noUnusedLocals: false, noUnusedParameters: false },
      include: ["."]
    })
  )
  const { error, stdout } = spawnSync("tsc", ["-p", folder, "--pretty", "false"], { cwd: root, encoding: "utf8" })
  if (error !== undefined) throw error
  return stdout.replaceAll(
    /^\.cache\/docs\/(\S+)\.\d+\.ts\((\d+),\d+\)/gm,
    (_, name, line) => `${name.replaceAll("__", "/")}:${line}`
  )
}

const sources = listFiles("src", ".ts").map((file) => `src/${file}`)
const pages = [
  ...readdirSync(root).filter((file) => file.endsWith(".md")),
  ...listFiles("docs", ".md").map((file) => `docs/${file}`),
  "bench/RESULTS.md"
]
const publicModules = sources.filter((file) => /^src\/(testing\/)?[A-Z]\w*\.ts$/.test(file))

const examples = [...pages, ...sources].flatMap(findExamples)
const problems = [
  ...publicModules.flatMap(findUndocumented),
  ...pages.flatMap(findDrift),
  ...pages.flatMap(findBrokenLinks),
  compile(examples)
]
  .join("\n")
  .trim()
console.log(`${publicModules.length} public modules, ${examples.length} examples`)
if (problems !== "") {
  console.error(problems)
  process.exitCode = 1
}
