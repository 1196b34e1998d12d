/** What may be shown of a JSON value before it is complete, as its Schema says. */
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import type * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"

/** Without `isText`, `field` and `item`, a value is shown when it is complete. */
export interface Shape {
  /** Whether it may be a text, whose beginning is shown. */
  readonly isText: boolean
  /** If it may be an object: the shape of each field; none for one that the object does not have. */
  readonly field: ((key: string) => Shape | undefined) | undefined
  /** If it may be an array: the shape of each item. */
  readonly item: ((index: number) => Shape | undefined) | undefined
  /** The decoded value; none if it is invalid, or needs a service or time to be decoded. */
  readonly decode: (json: unknown) => Option.Option<unknown>
}

export const ofSchema = (schema: Schema.Constraint): Shape => makeOf()(Schema.toCodecJson(schema).ast)

/** Schemas may refer to themselves, so each part becomes a shape once. */
const makeOf = (): ((ast: SchemaAST.AST) => Shape) => {
  const known = new Map<SchemaAST.AST, Shape>()
  const of = (ast: SchemaAST.AST): Shape => {
    const shape = known.get(ast) ?? { ...streamable(ast, of), decode: decoderOf(ast) }
    known.set(ast, shape)
    return shape
  }
  return of
}

const decoderOf = (ast: SchemaAST.AST): Shape["decode"] => {
  let decode: ((json: unknown) => Exit.Exit<unknown, unknown>) | undefined
  return (json) => {
    decode ??= Schema.decodeUnknownExit(Schema.make<Schema.Codec<unknown>>(ast))
    return Exit.getSuccess(decode(json))
  }
}

type Streamable = Omit<Shape, "decode">

const nothing: Streamable = { isText: false, field: undefined, item: undefined }

const streamable = (ast: SchemaAST.AST, of: (ast: SchemaAST.AST) => Shape): Streamable => {
  // It is another value than its JSON form.
  if (ast.encoding !== undefined) return nothing
  switch (ast._tag) {
    case "String":
      return { ...nothing, isText: true }
    case "Objects":
      return { ...nothing, field: fieldsOf(ast, of) }
    case "Arrays":
      return { ...nothing, item: itemsOf(ast, of) }
    case "Suspend":
      return of(ast.thunk())
    case "Union": {
      // With several alternatives it is not known which one it will be.
      const [only, ...others] = ast.types.filter(({ _tag }) => !empty.has(_tag))
      return only === undefined || others.length > 0 ? nothing : of(only)
    }
    default:
      return nothing
  }
}

const empty: ReadonlySet<string> = new Set(["Null", "Undefined", "Void", "Never"])

const fieldsOf = (
  { indexSignatures, propertySignatures }: SchemaAST.Objects,
  of: (ast: SchemaAST.AST) => Shape
): Shape["field"] => {
  const types = new Map<PropertyKey, SchemaAST.AST>(propertySignatures.map(({ name, type }) => [name, type]))
  const [rest, ...others] = indexSignatures
  const isRecord = rest?.parameter._tag === "String" && rest.parameter.encoding === undefined && others.length === 0
  return (key) => {
    const type = types.get(key) ?? (isRecord ? rest.type : undefined)
    return type && of(type)
  }
}

const itemsOf =
  ({ elements, rest }: SchemaAST.Arrays, of: (ast: SchemaAST.AST) => Shape): Shape["item"] =>
  (index) => {
    const type = elements[index] ?? (rest.length === 1 ? rest[0] : undefined)
    return type && of(type)
  }

/** Whether a value may become another one while more of it arrives. */
export const isPartOf = (part: unknown, whole: unknown): boolean => {
  if (Predicate.isString(part)) return Predicate.isString(whole) && whole.startsWith(part)
  if (Array.isArray(part))
    return Array.isArray(whole) && part.every((item, i) => i < whole.length && isPartOf(item, whole[i]))
  if (!isPlain(part)) return Equal.equals(part, whole)
  return (
    isPlain(whole) &&
    Object.entries(part).every(([key, value]) => Object.hasOwn(whole, key) && isPartOf(value, whole[key]))
  )
}

const isPlain = (value: unknown): value is Record<string, unknown> =>
  Predicate.isObject(value) && Object.getPrototypeOf(value) === Object.prototype
