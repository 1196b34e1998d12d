/**
 * Schemas and services, each of which is a value and a type of one name. A docstring is on one of the two, since editors show both
 * together. Here each has a page: the type gets the docstring and the fields, the value a sentence that refers to the type.
 */
import ts from "typescript"
import * as TypeDoc from "typedoc"

const { ReflectionKind } = TypeDoc

export const simplify = (app: TypeDoc.Application): void => {
  app.converter.on(TypeDoc.Converter.EVENT_CREATE_DECLARATION, showTypeOfSchema)
  app.converter.on(TypeDoc.Converter.EVENT_RESOLVE_BEGIN, ({ project }: TypeDoc.Context) => {
    for (const module of project.getChildrenByKind(ReflectionKind.Module)) {
      for (const each of module.children ?? []) {
        if (each.kindOf(ReflectionKind.ClassOrInterface)) hideSchema(project, each)
        const type = each.kindOf(ReflectionKind.Variable) ? findType(module, each) : undefined
        if (type !== undefined) describePair(each, type)
      }
      // Tags alone are no docstring; without it, `notDocumented` reports the export.
      for (const each of module.children ?? []) if (each.comment && !hasText(each.comment)) delete each.comment
    }
  })
}

/** `type Reason = typeof Reason.Type` says nothing to a reader: the members of the union do. */
const showTypeOfSchema = (context: TypeDoc.Context, reflection: TypeDoc.DeclarationReflection): void => {
  const declaration = context.getSymbolFromReflection(reflection)?.declarations?.find(ts.isTypeAliasDeclaration)
  if (!reflection.kindOf(ReflectionKind.TypeAlias) || !declaration || !ts.isTypeQueryNode(declaration.type)) return
  reflection.comment?.modifierTags.add("@useDeclaredType")
}

/** The fields of a class or interface that is derived from a schema, without how they are derived. */
const hideSchema = (project: TypeDoc.ProjectReflection, type: TypeDoc.DeclarationReflection): void => {
  const isSchema = ({ name }: TypeDoc.ReferenceType): boolean => /^(Schema\.|TaggedReason<)/.test(name)
  if (!type.children?.some(({ inheritedFrom }) => inheritedFrom && isSchema(inheritedFrom))) return
  for (const base of type.extendedTypes ?? []) project.removeTypeReflections(base)
  delete type.extendedTypes
  const constructor = type.children.find((member) => member.kindOf(ReflectionKind.Constructor))
  if (constructor !== undefined) project.removeReflection(constructor)
  for (const member of type.children) {
    delete member.inheritedFrom
    delete member.overwrites
    delete member.getSignature?.overwrites
    delete member.defaultValue
    if (member.name === "_tag")
      member.comment ??= new TypeDoc.Comment([{ kind: "text", text: "The name of the class." }])
  }
}

const findType = (module: TypeDoc.DeclarationReflection, value: TypeDoc.DeclarationReflection) =>
  module.children?.find(
    (child) => child.name === value.name && child.kindOf(ReflectionKind.ClassOrInterface | ReflectionKind.TypeAlias)
  )

const describePair = (value: TypeDoc.DeclarationReflection, type: TypeDoc.DeclarationReflection): void => {
  const documented = [value.comment, type.comment].find((comment) => comment !== undefined && hasText(comment))
  if (documented === undefined) return
  const isService = value.type instanceof TypeDoc.ReferenceType && value.type.name === "Service"
  const text = isService ? "The service, to get it from the context or to provide it: " : "The schema of "
  const short = documented.clone()
  short.summary = [
    { kind: "text", text },
    { kind: "inline-tag", tag: "@link", text: type.name, target: type },
    { kind: "text", text: "." }
  ]
  short.blockTags = short.blockTags.filter(({ tag }) => tag === "@since" || tag === "@category")
  type.comment = documented
  value.comment = short
  // The fields are on the page of the type.
  if (value.type instanceof TypeDoc.ReferenceType && !isService) {
    for (const field of value.type.typeArguments ?? []) value.project.removeTypeReflections(field)
    delete value.type.typeArguments
  }
}

const hasText = ({ summary }: TypeDoc.Comment): boolean => summary.some(({ text }) => text.trim() !== "")
