/** Whether an editor shows a text for each field of the published types. */
import type { Checker, Symbol, Type } from "typescript/unstable/sync"
import { API, SignatureKind, SymbolFlags } from "typescript/unstable/sync"

/**
 * The fields without a docstring of all types that can be reached from what these declarations export: options, results, values of
 * schemas. `folder` has all declarations of the package, `project` is a tsconfig.json that includes them.
 */
export const findUndocumentedFields = (
  project: string,
  files: ReadonlyArray<string>,
  folder: string
): ReadonlyArray<string> => {
  const api = new API()
  try {
    const { checker, program } = api.updateSnapshot({ openProjects: [project] }).getProjects()[0] ?? {}
    if (checker === undefined) return [`${project}: cannot be opened`]
    const find = makeFind(checker, folder)
    return files.flatMap((file) => {
      const source = program?.getSourceFile(file)
      const module = source && checker.getSymbolAtLocation(source)
      return module === undefined ? [`${file}: cannot be read`] : find(module)
    })
  } finally {
    api.close()
  }
}

const makeFind = (checker: Checker, folder: string): ((module: Symbol) => ReadonlyArray<string>) => {
  const seen = new Set<number>()

  const visitType = (type: Type | undefined, place: string): ReadonlyArray<string> => {
    if (type === undefined || seen.has(type.id)) return []
    seen.add(type.id)
    if (type.isUnionType()) return type.getTypes().flatMap((member) => visitType(member, place))
    if (!type.isObjectType() && !type.isIntersectionType()) return []
    const parts = [...(type.isTypeReference() ? checker.getTypeArguments(type) : []), ...signatureTypes(type)]
    return [
      ...parts.flatMap((part) => visitType(part, place)),
      ...checker.getPropertiesOfType(type).flatMap((field) => visitField(field, place))
    ]
  }

  const signatureTypes = (type: Type): ReadonlyArray<Type | undefined> =>
    [SignatureKind.Call, SignatureKind.Construct]
      .flatMap((kind) => checker.getSignaturesOfType(type, kind))
      .flatMap((signature) =>
        checker.getTypeOfSymbol(signature.getParameters()).concat(checker.getReturnTypeOfSignature(signature))
      )

  const visitField = (field: Symbol, place: string): ReadonlyArray<string> => {
    const isOurs = field.declarations.some(({ path }) => path.toLowerCase().startsWith(folder.toLowerCase()))
    // A schema is of Effect; the type of its values is a field of it.
    if (!isOurs && field.name !== "Type") return []
    const path = `${place}.${field.name}`
    const isDocumented = !isOurs || isInherent(field) || checker.getDocumentationCommentOfSymbol(field) !== ""
    return [...(isDocumented ? [] : [path]), ...visitType(checker.getTypeOfSymbol(field), path)]
  }

  return (module) =>
    checker
      .getExportsOfModule(module)
      .flatMap((symbol) =>
        [checker.getDeclaredTypeOfSymbol(symbol), checker.getTypeOfSymbol(symbol)].flatMap((type) =>
          visitType(type, symbol.name)
        )
      )
}

/** The tag of a class, and the message of an error, for which the compiler takes the text of JavaScript's own, which has none. */
const isInherent = ({ flags, name }: Symbol): boolean =>
  name === "_tag" || (name === "message" && (flags & SymbolFlags.Accessor) !== 0)
