/** What a gateway leaves behind of a request and its completion: nothing in logs, spans and metrics. */
import { expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import * as Tracer from "effect/Tracer"
import * as MockProvider from "../../src/MockProvider.ts"
import * as Reasons from "../../src/ProviderError.ts"
import * as Gateway from "../support/gateway.ts"

const secret = "hunter2"

/** Whatever is logged and traced meanwhile, as text. */
const observe = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const seen: Array<string> = []
    const logger = Logger.make(({ cause, fiber, message }) => {
      seen.push(JSON.stringify(message), Cause.pretty(cause), JSON.stringify([...fiber.context.mapUnsafe.keys()]))
    })
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        const { end } = span
        span.end = (time, exit) => {
          end.call(span, time, exit)
          const cause = exit._tag === "Failure" ? Cause.pretty(exit.cause) : ""
          seen.push(`span ${span.name}`, JSON.stringify([...span.attributes]), JSON.stringify(span.events), cause)
        }
        return span
      }
    })
    yield* Effect.provideService(Effect.provide(effect, Logger.layer([logger])), Tracer.Tracer, tracer)
    seen.push(JSON.stringify(yield* Metric.snapshot))
    return seen.join("\n")
  })

it.live.each(Object.entries(Gateway.rows))("%s", ([, { body, path }]) =>
  Effect.gen(function* () {
    const failure = MockProvider.fail(new Reasons.StreamError({ description: secret, detail: Redacted.make(secret) }))
    const scripts = [[{ thinking: secret }, secret], [secret, failure], [failure]]
    const seen = yield* observe(
      Effect.forEach(scripts, (script) =>
        Effect.gen(function* () {
          const url = yield* Gateway.serve(yield* MockProvider.make(script))
          const prompt = JSON.parse(JSON.stringify(body).replace(/Once|Why is the sky blue\?/, secret))
          for (const stream of [true, false]) {
            yield* Gateway.ask(`${url}${path}?prompt=${secret}`, { ...prompt, stream })
            // Faults of the request, as well.
            yield* Gateway.ask(url + path, { ...prompt, temperature: secret, max_tokens: secret, options: secret })
            yield* Gateway.ask(url + path, `{"prompt":"${secret}`)
            yield* Gateway.ask(url + path, prompt, { headers: { authorization: `Bearer ${secret}` } })
          }
        })
      )
    )
    expect(seen).toContain("span POST")
    expect(seen).toContain(path)
    expect(seen).not.toContain(secret)
  })
)
