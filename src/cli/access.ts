/** What flags and variables say about every request: its headers and its deadlines. */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { Deadlines } from "../CompletionRequest.ts"
import * as Time from "./time.ts"

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

export const read = Effect.fnUntraced(function* (flags: Flags): Effect.fn.Return<Access, Time.WrongValue> {
  return { headers: yield* readHeaders(flags), defaults: { deadlines: yield* readDeadlines(flags) } }
})

const variable = (name: string): Effect.Effect<string> => Effect.orElseSucceed(Config.String(name), () => "")

/** The variable has a header on each line. A flag replaces the header of its name. */
const readHeaders = Effect.fnUntraced(function* ({ headers = [] }: Flags) {
  const lines = (yield* variable("LOCAL_LLM_HEADERS")).split(/\r?\n/).filter((line) => line.trim() !== "")
  const entries = yield* Effect.forEach([...lines, ...headers], parseHeader)
  return Object.fromEntries(entries)
})

/** A header that is wrong is not quoted: it may be a secret. */
const parseHeader = (text: string) => {
  const colon = text.indexOf(":")
  return colon < 1
    ? Effect.fail(
        new Time.WrongValue({
          message: 'a header of --header or LOCAL_LLM_HEADERS is a name, a colon and a value, such as "X-Team: search"'
        })
      )
    : Effect.succeed([text.slice(0, colon).trim().toLowerCase(), Redacted.make(text.slice(colon + 1).trim())] as const)
}

const readDeadlines = (flags: Flags): Effect.Effect<Deadlines, Time.WrongValue> =>
  Effect.all({
    firstChunk: readTime("first-chunk", flags.firstChunkTimeout),
    idle: readTime("idle", flags.idleTimeout),
    total: readTime("total", flags.totalTimeout)
  })

const readTime = Effect.fnUntraced(function* (kind: string, flag: string | undefined) {
  const name = `LOCAL_LLM_${kind.replace("-", "_").toUpperCase()}_TIMEOUT`
  const text = flag ?? (yield* variable(name)).trim()
  if (flag === undefined && text === "") return undefined
  const source = flag === undefined ? name : `--${kind}-timeout`
  const time = yield* Time.parse(source, text, "never")
  if (Duration.isZero(time)) return yield* new Time.WrongValue({ message: `${source} is more than 0` })
  return time
})
