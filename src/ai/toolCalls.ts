/** The calls of a model: what runs, what waits for approval, and what the model reads of a call that cannot run. */
import type * as AiError from "effect/ai/AiError"
import type * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type { UiPart } from "../protocol/uiPart.ts"
import * as Json from "../values/json.ts"

/** A call. Its arguments are what the model wrote; `toObject` has read them. */
export interface Call {
  readonly id: string
  readonly name: string
  /** Absent if they are not complete. */
  readonly arguments?: unknown
}

/** What came of a call, as the model reads it. */
export interface Outcome {
  /** A JSON value. */
  readonly result: unknown
  readonly isFailure: boolean
  readonly modelOutput?: ReadonlyArray<Prompt.ToolModelOutputPart> | undefined
}

export type Tools = Record<string, Tool.Any>

export type Failures<T extends Tools> = Tool.HandlerError<T[keyof T]> | AiError.AiError

export type Services<T extends Tools> = Tool.HandlerServices<T[keyof T]>

type Parts<T extends Tools> = Stream.Stream<UiPart, Failures<T>, Services<T>>

/** What becomes of the calls of a turn. */
export interface Calls<T extends Tools> {
  readonly toolkit: Toolkit.WithHandler<T>
  readonly settle: (call: Call, outcome: Outcome) => void
  readonly ask: (call: Call, approvalId: string) => void
}

/** Some models write the arguments as JSON text, or nothing at all for a tool without parameters. */
export const toObject = (value: unknown): unknown => {
  if (typeof value !== "string") return value ?? {}
  if (value.trim() === "") return {}
  const read = Json.parse(value)
  return Json.isObject(read) && Json.findFault(read) === undefined ? read : value
}

/** Runs a call, unless it needs an approval that it does not have. */
export const run = <T extends Tools>(
  calls: Calls<T>,
  call: Call,
  approval: { readonly isApproved: boolean; readonly messages: ReadonlyArray<Prompt.Message> }
): Parts<T> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const { tools } = calls.toolkit
      const tool = Object.hasOwn(tools, call.name) ? tools[call.name] : undefined
      if (tool === undefined) return fail(calls, call, unknownTool(call.name, Object.keys(tools)))
      const decoded = yield* decode<T>(tool, call.arguments)
      if (Result.isFailure(decoded)) return fail(calls, call, decoded.failure)
      if (!approval.isApproved && (yield* needsApproval(tool, decoded.success, call, approval.messages))) {
        return ask(calls, call)
      }
      return handle(calls, call)
    })
  )

/** A call that fails before it runs. */
export const fail = ({ settle }: Pick<Calls<Tools>, "settle">, call: Call, failure: string): Stream.Stream<UiPart> =>
  Stream.sync(() => {
    settle(call, { result: failure, isFailure: true })
    return { _tag: "ToolFailed", ...call, failure }
  })

const ask = ({ ask }: Pick<Calls<Tools>, "ask">, call: Call): Stream.Stream<UiPart> =>
  Stream.sync(() => {
    // The ids of calls are unique in a conversation.
    const approvalId = `approval_${call.id}`
    ask(call, approvalId)
    return { _tag: "ToolApproval", ...call, arguments: call.arguments, approvalId }
  })

const handle = <T extends Tools>({ settle, toolkit }: Calls<T>, call: Call): Parts<T> => {
  const { id, name } = call
  // `decode` has found them valid, and `handle` decodes them again.
  const input = call.arguments as Tool.ParametersEncoded<T[string]>
  const results = Stream.map(
    Stream.unwrap(hideArguments(toolkit.handle(name, input, id))),
    ({ encodedResult, isFailure, modelOutput, preliminary }): UiPart => {
      const result = Json.parse(Json.stringify(encodedResult) ?? "null")
      if (preliminary) return { _tag: "ToolProgress", id, name, result }
      settle(call, { result, isFailure, modelOutput })
      return isFailure ? { _tag: "ToolFailed", ...call, failure: result } : { _tag: "ToolResult", id, name, result }
    }
  )
  return Stream.concat(Stream.succeed<UiPart>({ _tag: "ToolRunning", id, name, arguments: call.arguments }), results)
}

/**
 * `effect/ai` writes the arguments of a call into the span around it. They are text of the model, so they stay out of it here. Spans that the
 * effect begins have the same parent.
 */
const hideArguments = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.updateContext(effect, (context: Context.Context<R>) => {
    const span = Option.getOrUndefined(Context.getOption(context, Tracer.ParentSpan))
    return span?._tag === "Span" ? Context.add(context, Tracer.ParentSpan, withoutParameters(span)) : context
  })

const withoutParameters = (span: Tracer.Span): Tracer.Span => ({
  _tag: span._tag,
  name: span.name,
  spanId: span.spanId,
  traceId: span.traceId,
  parent: span.parent,
  annotations: span.annotations,
  sampled: span.sampled,
  kind: span.kind,
  get status() {
    return span.status
  },
  get attributes() {
    return span.attributes
  },
  get links() {
    return span.links
  },
  end: (time, exit) => span.end(time, exit),
  attribute: (key, value) => {
    if (key !== "parameters") span.attribute(key, value)
  },
  event: (name, time, attributes) => span.event(name, time, attributes),
  addLinks: (links) => span.addLinks(links)
})

const needsApproval = (
  { needsApproval = false }: Tool.Any,
  params: unknown,
  { id }: Call,
  messages: ReadonlyArray<Prompt.Message>
): Effect.Effect<boolean> => {
  const needs =
    typeof needsApproval === "function" ? needsApproval(params, { toolCallId: id, messages }) : needsApproval
  return Effect.isEffect(needs) ? needs : Effect.succeed(needs)
}

/** The arguments, or what the model reads of invalid ones. */
const decode = <T extends Tools>(
  { parametersSchema: schema }: Tool.Any,
  value: unknown
): Effect.Effect<Result.Result<unknown, string>, never, Services<T>> => {
  // A dynamic tool may have a JSON Schema, which nobody validates.
  if (!Schema.isSchema(schema)) return Effect.succeed(Result.succeed(value))
  const decoded = Effect.mapError(Schema.decodeUnknownEffect(schema)(value, { errors: "all" }), ({ issue }) =>
    invalid(issue)
  )
  // `Tool.Any` has lost the services of its schema, which are those of the handlers.
  return Effect.result(decoded) as Effect.Effect<Result.Result<unknown, string>, never, Services<T>>
}

const toStandardIssues = SchemaIssue.makeFormatterStandardSchemaV1()

/** The most faults and tools that a message names, and the longest name in it. */
const maxNamed = 50
const maxFaults = 5
const maxName = 100

/** It does not quote the arguments: what is wrong in them may be long. */
const invalid = (issue: SchemaIssue.Issue): string => {
  const faults = toStandardIssues(issue).issues.slice(0, maxFaults)
  const texts = faults.map(({ message, path = [] }) => {
    const names = path.map((segment) => String(Predicate.isObject(segment) ? segment.key : segment))
    return cut(names.length === 0 ? message : `${names.join(".")}: ${message}`, 4 * maxName)
  })
  return `The arguments are invalid. ${texts.join(". ")}.`
}

const unknownTool = (name: string, names: ReadonlyArray<string>): string =>
  `There is no tool ${JSON.stringify(cut(name, maxName))}. ` +
  (names.length === 0 ? "There are no tools." : `The tools are: ${names.slice(0, maxNamed).join(", ")}.`)

const cut = (text: string, length: number): string => (text.length > length ? `${text.slice(0, length)}…` : text)
