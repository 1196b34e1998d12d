/** What flags and variables say about every request: its headers and its deadlines. */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { Deadlines } from "../CompletionRequest.ts"
import * as Failure from "./failure.ts"

export interface Flags {
  readonly headers?: ReadonlyArray<string>
  readonly firstChunkTimeout?: string | undefined
  readonly idleTimeout?: string | undefined
  readonly totalTimeout?: string | undefined
}

export interface Access {
  /** By name. The values are secrets. */
  readonly headers: Readonly<Record<string, Redacted.Redacted<string>>>
  readonly defaults: { readonly deadlines: Deadlines }
}

export const read = Effect.fnUntraced(function* (flags: Flags): Effect.fn.Return<Access, Failure.CommandFailed> {
  const deadlines = yield* Effect.all({
    firstChunk: readDeadline("first-chunk", flags.firstChunkTimeout),
    idle: readDeadline("idle", flags.idleTimeout),
    total: readDeadline("total", flags.totalTimeout)
  })
  return { headers: yield* readHeaders(flags), defaults: { deadlines } }
})

/** An environment variable. One that is not set is empty. */
export const variable = (name: string): Effect.Effect<string> => Effect.orElseSucceed(Config.String(name), () => "")

/** The variable has a header on each line. A flag replaces the header of its name. */
const readHeaders = Effect.fnUntraced(function* ({ headers = [] }: Flags) {
  const lines = (yield* variable("LOCAL_LLM_HEADERS")).split(/\r?\n/).filter((line) => line.trim() !== "")
  return Object.fromEntries(yield* Effect.forEach([...lines, ...headers], parseHeader))
})

/** A header that is wrong is not quoted: it may be a secret. */
const parseHeader = (text: string) => {
  const [, name, value] = /^([^:]+):([^]*)$/.exec(text) ?? []
  return name === undefined || value === undefined
    ? Failure.fail('a header of --header or LOCAL_LLM_HEADERS is a name, a colon and a value, such as "X-Team: search"')
    : Effect.succeed([name.trim().toLowerCase(), Redacted.make(value.trim())] as const)
}

const readDeadline = Effect.fnUntraced(function* (kind: string, flag: string | undefined) {
  const name = `LOCAL_LLM_${kind.replace("-", "_").toUpperCase()}_TIMEOUT`
  const text = flag ?? (yield* variable(name)).trim()
  if (flag === undefined && text === "") return undefined
  const source = flag === undefined ? name : `--${kind}-timeout`
  const time = yield* parseTime(source, text, "never")
  return Duration.isZero(time) ? yield* Failure.fail(`${source} is more than 0`) : time
})

const units = { ms: Duration.millis, s: Duration.seconds, m: Duration.minutes, h: Duration.hours }

const isUnit = (text = ""): text is keyof typeof units => Object.hasOwn(units, text)

/** A number and its unit, or the word for no end. */
export const parseTime = (source: string, text: string, endless: string) => {
  if (text === endless) return Effect.succeed(Duration.infinity)
  const [, number, unit] = /^(\d{1,6}(?:\.\d{1,3})?)(ms|[smh])$/.exec(text) ?? []
  return isUnit(unit)
    ? Effect.succeed(units[unit](Number(number)))
    : Failure.fail(`${source} is a time such as 90s, 10m or 2h, or ${endless}, not "${text}"`)
}
