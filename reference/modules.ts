/** The modules in the reference. */
import ts from "typescript"
import * as TypeDoc from "typedoc"

/** The first of each category, by their names. Those that are not named here follow in alphabetical order. */
const first = ["Provider", "CompletionRequest", "StreamingChunk", "Completion", "ProviderError", "Ollama", "LmStudio"]

/** Of the modules, then of what a module exports. */
export const categories: ReadonlyArray<string> = [
  ..."Core Servers Policies Adapters Testing".split(" "),
  ..."services models constructors accessors combinators layers errors options".split(" "),
  ..."validation guards metrics constants".split(" ")
]

/** The public modules in their order, given the files of `src/`. */
export const order = (files: ReadonlyArray<string>): ReadonlyArray<string> => {
  const names = files
    .filter((file) => /^(testing\/)?[A-Z]\w*\.ts$/.test(file))
    .map((file) => file.slice(0, -".ts".length))
  const others = names.filter((name) => !first.includes(name)).toSorted()
  return [...first, ...others].map((name) => `src/${name}.ts`)
}

/**
 * The docstring at the top of a file describes its module, as in Effect's own sources, without the tag `@module`. Its title is the path
 * from which it is imported; `testing` exports its modules by their names.
 */
export const addHeaders = (app: TypeDoc.Application): void => {
  app.converter.on(TypeDoc.Converter.EVENT_CREATE_DECLARATION, (context, reflection) => {
    if (!reflection.kindOf(TypeDoc.ReflectionKind.Module)) return
    reflection.name = `effect-local-llm/${reflection.name.replace(/^src\//, "").replace("testing/", "testing: ")}`
    const file = context.getSymbolFromReflection(reflection)?.declarations?.find(ts.isSourceFile)
    const [statement] = file?.statements ?? []
    const header = statement && context.getNodeComment(statement, false)
    if (header !== undefined) reflection.comment ??= header
  })
}
