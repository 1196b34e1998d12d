/** Code in colours, by the modes of CodeMirror, which read a line at a time. They are an optional package. */
import * as Result from "effect/Result"
import { createRequire } from "node:module"
import { type Cell, type Style, toCells } from "./cells.ts"

/** Reads the lines of a block of code. */
export interface Highlighter {
  /** The cells of a line. The next line continues after it only if it is complete. */
  readonly read: (line: string, isComplete: boolean) => ReadonlyArray<Cell>
}

/** The part of CodeMirror's `StringStream` that is used here. */
interface Line {
  readonly pos: number
  start: number
  readonly eol: () => boolean
  readonly next: () => unknown
}

/** The part of CodeMirror's `StreamParser` that is used here. */
interface Mode {
  readonly startState?: (indentUnit: number) => {}
  readonly copyState?: (state: unknown) => {}
  readonly blankLine?: (state: unknown, indentUnit: number) => void
  readonly token: (line: Line, state: unknown) => string | null
}

interface Library {
  readonly makeLine: (text: string) => Line
  readonly loadMode: (language: string) => Mode | undefined
}

/** The modes by their modules, each with the other names of its language. */
const modes: Readonly<Record<string, Readonly<Record<string, ReadonlyArray<string>>>>> = {
  clike: {
    c: ["h"],
    cpp: ["c++", "cc", "cxx", "hpp"],
    csharp: ["c#", "cs"],
    dart: [],
    java: [],
    kotlin: ["kt", "kts"],
    objectiveC: ["objc", "objectivec", "objective-c"],
    scala: []
  },
  clojure: { clojure: ["clj"] },
  cmake: { cmake: [] },
  commonlisp: { commonLisp: ["lisp", "commonlisp"] },
  css: { css: [], less: [], sCSS: ["scss"] },
  diff: { diff: ["patch"] },
  dockerfile: { dockerFile: ["dockerfile", "docker"] },
  elm: { elm: [] },
  erlang: { erlang: [] },
  fortran: { fortran: [] },
  go: { go: ["golang"] },
  groovy: { groovy: ["gradle"] },
  haskell: { haskell: ["hs"] },
  http: { http: [] },
  javascript: {
    javascript: ["js", "jsx", "mjs", "cjs", "node"],
    json: ["json5", "jsonc", "jsonl"],
    typescript: ["ts", "tsx", "mts"]
  },
  julia: { julia: ["jl"] },
  lua: { lua: [] },
  mllike: { fSharp: ["f#", "fsharp"], oCaml: ["ocaml", "ml"] },
  nginx: { nginx: [] },
  octave: { octave: ["matlab"] },
  pascal: { pascal: [] },
  perl: { perl: ["pl"] },
  powershell: { powerShell: ["powershell", "ps1", "pwsh"] },
  properties: { properties: ["ini"] },
  protobuf: { protobuf: ["proto"] },
  python: { python: ["py", "python3"] },
  r: { r: [] },
  ruby: { ruby: ["rb"] },
  rust: { rust: ["rs"] },
  scheme: { scheme: [] },
  shell: { shell: ["sh", "bash", "zsh"] },
  sql: { standardSQL: ["sql", "mysql", "postgresql", "sqlite"] },
  stex: { stex: ["latex", "tex"] },
  swift: { swift: [] },
  tcl: { tcl: [] },
  toml: { toml: [] },
  vb: { vb: [] },
  verilog: { verilog: [] },
  vhdl: { vhdl: [] },
  xml: { html: ["htm", "vue"], xml: ["svg"] },
  yaml: { yaml: ["yml"] }
}

/** The module and the name of the mode of each language. */
const findModes = (): ReadonlyMap<string, { readonly module: string; readonly name: string }> =>
  new Map(
    Object.entries(modes).flatMap(([module, modes]) =>
      Object.entries(modes).flatMap(([name, aliases]) =>
        [name, ...aliases].map((language) => [language, { module, name }] as const)
      )
    )
  )

/** The package is loaded with the first block of code, so that other answers do not pay for it. */
const load = (): Library | undefined =>
  Result.getOrUndefined(
    Result.try((): Library => {
      const require = createRequire(import.meta.url)
      const { StringStream } = createRequire(require.resolve("@codemirror/legacy-modes/package.json"))(
        "@codemirror/streamparser"
      )
      const known = findModes()
      return {
        makeLine: (text) => new StringStream(text, 4, 2),
        loadMode: (language) => {
          const found = known.get(language)
          if (found === undefined) return undefined
          const mode: Mode = require(`@codemirror/legacy-modes/mode/${found.module}`)[found.name]
          return mode
        }
      }
    })
  )

/** Makes highlighters by the name of a language. `undefined` without the package, or for an unknown language. */
export const makeHighlighters = (): ((language: string) => Highlighter | undefined) => {
  let library: Library | undefined
  let isLoaded = false
  return (language) => {
    if (language === "") return undefined
    if (!isLoaded) library = load()
    isLoaded = true
    const mode = Result.getOrUndefined(Result.try(() => library?.loadMode(language)))
    return library === undefined || mode === undefined ? undefined : makeHighlighter(library, mode)
  }
}

const makeHighlighter = ({ makeLine }: Library, mode: Mode): Highlighter => {
  let state = mode.startState?.(2) ?? {}
  let isBroken = false
  return {
    read: (text, isComplete) => {
      if (isBroken) return toCells(text)
      const copy = copyState(mode, state)
      const cells = Result.try(() => readLine(mode, makeLine(text), text, copy))
      if (Result.isFailure(cells)) {
        isBroken = true
        return toCells(text)
      }
      if (isComplete) state = copy
      return cells.success
    }
  }
}

const copyState = ({ copyState }: Mode, state: unknown): {} => {
  if (copyState !== undefined) return copyState(state)
  const entries = Object.entries(Object(state)).map(([key, value]) => [key, Array.isArray(value) ? [...value] : value])
  return Object.fromEntries(entries)
}

/** A mode may return no text a few times, to change its state. */
const maxEmptyTokens = 10

const readLine = (mode: Mode, line: Line, text: string, state: unknown): ReadonlyArray<Cell> => {
  if (text === "") mode.blankLine?.(state, 2)
  const cells: Array<Cell> = []
  let empty = 0
  while (!line.eol()) {
    line.start = line.pos
    const style = mode.token(line, state)
    if (line.pos === line.start && ++empty > maxEmptyTokens) line.next()
    if (line.pos > line.start) empty = 0
    cells.push(...toCells(text.slice(line.start, line.pos), toStyle(style)))
  }
  return cells
}

const styles: Readonly<Record<string, Style>> = {
  keyword: "35",
  controlKeyword: "35",
  operatorKeyword: "35",
  comment: "2",
  quote: "2",
  string: "32",
  character: "32",
  regexp: "32",
  inserted: "32",
  deleted: "31",
  number: "33",
  integer: "33",
  float: "33",
  atom: "33",
  bool: "33",
  null: "33",
  unit: "33",
  def: "34",
  typeName: "36",
  type: "36",
  className: "36",
  builtin: "36",
  tag: "34",
  tagName: "34",
  tagname: "34",
  attribute: "36",
  attributeName: "36",
  propertyName: "36",
  meta: "36",
  header: "1",
  heading: "1"
}

/** The name of a token is one of CodeMirror's tags, with modifiers after dots. */
const toStyle = (name: string | null): Style => {
  for (const part of (name ?? "").split(" ")) {
    const [tag = "", ...modifiers] = part.split(".")
    if (tag === "variableName" && modifiers.includes("definition")) return "34"
    if (tag === "variableName" && modifiers.includes("standard")) return "36"
    const style = styles[tag]
    if (style !== undefined) return style
  }
  return ""
}
