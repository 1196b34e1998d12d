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

/** The modes, each after its module if that has another name, and before the other names of its language. */
const modes = `
  clike/c h, clike/cpp c++ cc cxx hpp, clike/csharp c# cs, clike/dart, clike/java, clike/kotlin kt kts,
  clike/objectiveC objc objectivec objective-c, clike/scala, clojure clj, cmake, commonlisp/commonLisp lisp commonlisp,
  css, css/less, css/sCSS scss, diff patch, dockerfile/dockerFile dockerfile docker, elm, erlang, fortran, go golang,
  groovy gradle, haskell hs, http, javascript js jsx mjs cjs node, javascript/json json5 jsonc jsonl,
  javascript/typescript ts tsx mts, julia jl, lua, mllike/fSharp f# fsharp, mllike/oCaml ocaml ml, nginx,
  octave matlab, pascal, perl pl, powershell/powerShell powershell ps1 pwsh, properties ini, protobuf proto,
  python py python3, r, ruby rb, rust rs, scheme, shell sh bash zsh, sql/standardSQL sql mysql postgresql sqlite,
  stex latex tex, swift, tcl, toml, vb, verilog, vhdl, xml/html htm vue, xml svg, yaml yml
`

/** The module and the name of the mode of a language. */
const findMode = (language: string): readonly [module: string, name: string] | undefined => {
  for (const words of modes.trim().split(/,\s+/)) {
    const [path = "", ...aliases] = words.split(" ")
    const [module = "", name = module] = path.split("/")
    if (name === language || aliases.includes(language)) return [module, name]
  }
  return undefined
}

/** The package is loaded with the first block of code, so that other answers do not pay for it. */
const load = (): Library | undefined =>
  Result.getOrUndefined(
    Result.try((): Library => {
      const require = createRequire(import.meta.url)
      const { StringStream } = createRequire(require.resolve("@codemirror/legacy-modes/package.json"))(
        "@codemirror/streamparser"
      )
      return {
        makeLine: (text) => new StringStream(text, 4, 2),
        loadMode: (language) => {
          const [module, name = ""] = findMode(language) ?? []
          if (module === undefined) return undefined
          const mode: Mode = require(`@codemirror/legacy-modes/mode/${module}`)[name]
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

/** The tags of each style. */
const tags: Readonly<Record<Style, string>> = {
  1: "header heading",
  2: "comment quote",
  31: "deleted",
  32: "string character regexp inserted",
  33: "number integer float atom bool null unit",
  34: "def tag tagName tagname",
  35: "keyword controlKeyword operatorKeyword",
  36: "typeName type className builtin attribute attributeName propertyName meta"
}

const styles: ReadonlyMap<string, Style> = new Map(
  Object.entries(tags).flatMap(([style, names]) => names.split(" ").map((name) => [name, style] as const))
)

/** The name of a token is one of CodeMirror's tags, with modifiers after dots. */
const toStyle = (name: string | null): Style => {
  for (const part of (name ?? "").split(" ")) {
    const [tag = "", ...modifiers] = part.split(".")
    if (tag === "variableName" && modifiers.includes("definition")) return "34"
    if (tag === "variableName" && modifiers.includes("standard")) return "36"
    const style = styles.get(tag)
    if (style !== undefined) return style
  }
  return ""
}
