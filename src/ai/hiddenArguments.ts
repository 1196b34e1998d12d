/** `effect/ai` writes the arguments of a call into the span around it. They are text of the model, so they stay out of it here. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"

/** Spans that the effect begins have the same parent. */
export const hide = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
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
