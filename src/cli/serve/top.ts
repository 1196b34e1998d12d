/** Shows the state of a gateway in a terminal. */
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Record from "effect/Record"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Access from "../access.ts"
import * as Failure from "../failure.ts"
import type * as Flags from "../flags.ts"
import * as Output from "../output.ts"
import * as Table from "../table.ts"
import * as Text from "../text.ts"
import { defaultUrl } from "./listen.ts"
import * as Status from "./status.ts"

/** On a terminal until Ctrl-C, otherwise once. */
export const top = Effect.fnUntraced(function* (input: Flags.Input) {
  const url = input.url ?? defaultUrl
  if (URL.parse(url) === null) return yield* Failure.fail('--url is an address such as "http://127.0.0.1:11435"')
  const { headers } = yield* Access.read(input)
  const key = (yield* Access.variable("LOCAL_LLM_KEY")).trim()
  const read = readStatus(url, {
    ...(key === "" ? {} : { authorization: `Bearer ${key}` }),
    ...Record.map(headers, Redacted.value)
  })
  if (input.json) return yield* Output.writeJson(yield* read)
  const first = yield* read
  if (!process.stdout.isTTY) return yield* Output.write(toText(toLines(first), { columns: 200, rows: Infinity }))
  // The screen of the shell comes back at the end.
  yield* Effect.acquireRelease(Output.write("\u001B[?1049h\u001B[?25l"), () =>
    Effect.ignore(Output.write("\u001B[?25h\u001B[?1049l"))
  )
  const draw = (lines: ReadonlyArray<string>) =>
    Output.write(`\u001B[H\u001B[J${toText(lines, Table.sizeOf(process.stdout))}`)
  // A gateway that is being restarted comes back.
  const lines = Effect.match(read, { onSuccess: toLines, onFailure: ({ message }) => [message] })
  const pause = Effect.raceFirst(Effect.sleep("1 second"), resized)
  yield* draw(toLines(first))
  yield* Effect.forever(Effect.andThen(pause, Effect.flatMap(lines, draw)))
})

/** The terminal has got another size. */
const resized = Effect.callback<void>((resume) => {
  const listener = (): void => resume(Effect.void)
  process.stdout.once("resize", listener)
  return Effect.sync(() => process.stdout.off("resize", listener))
})

const readStatus = Effect.fnUntraced(function* (url: string, headers: Readonly<Record<string, string>>) {
  const fail = (reason: string) => Failure.fail(`the gateway at ${url}: ${reason}`)
  const request = HttpClientRequest.get(new URL("/status", url), {
    headers: { accept: "application/json", ...headers }
  })
  const response = yield* HttpClient.execute(request).pipe(
    Effect.timeout("10 seconds"),
    Effect.catch(() => fail("it does not answer; is it running? local-llm serve starts one"))
  )
  const { status } = response
  if (status === 401) return yield* fail("it needs a key; set LOCAL_LLM_KEY")
  if (status === 403)
    return yield* fail('the key may not see the status; "local-llm keys add NAME --status" makes one that may')
  const json = yield* Effect.catch(response.json, () => fail("this is no status; is it a gateway?"))
  return yield* Effect.catch(decode(json), () => fail("this is no status; is it a gateway?"))
})

const decode = Schema.decodeUnknownEffect(Status.Status)

interface Size {
  readonly columns: number
  readonly rows: number
}

const toLines = (status: Status.Status): ReadonlyArray<string> => [
  summary(status),
  "",
  ...hostLines(status),
  ...failureLines(status)
]

/** As many lines as there is room for. */
const toText = (lines: ReadonlyArray<string>, { columns, rows }: Size): string =>
  lines
    .slice(0, Math.max(1, rows - 1))
    .map((line) => `${Table.cut(Text.toSingleLine(line), columns)}\n`)
    .join("")

const summary = ({ hosts, isDemonstration, upSeconds, waiting }: Status.Status): string => {
  const active = hosts.reduce((sum, host) => sum + host.active, 0)
  const speed = hosts.reduce((sum, host) => sum + host.tokensPerSecond, 0)
  const note = isDemonstration ? " · a demonstration with the FAKE server" : ""
  return `up ${Math.floor(upSeconds / 60)} min · ${active} answered · ${waiting} waiting · ${speed.toFixed(1)} tokens/s${note}`
}

const hostLines = ({ hosts }: Status.Status): ReadonlyArray<string> =>
  Table.align([
    ["HOST", "KIND", "STATE", "ANSWERS", "TOKENS/S", "MODELS IN MEMORY"],
    ...hosts.map(({ active, kind = "?", models, name, permits, status, tokensPerSecond }) => [
      name,
      kind,
      status,
      `${active} of ${permits}`,
      tokensPerSecond.toFixed(1),
      models === undefined
        ? "?"
        : models
            .map(({ id, memoryBytes }) => (memoryBytes === undefined ? id : `${id} (${Table.formatSize(memoryBytes)})`))
            .join(", ")
    ])
  ])

const failureLines = ({ at, failures }: Status.Status): ReadonlyArray<string> =>
  failures.length === 0
    ? []
    : [
        "",
        "LAST FAILURES",
        ...Table.align(
          failures.map((failure) => [
            `${Math.max(0, Math.round((at - failure.at) / 1000))} s ago`,
            failure.host,
            failure.model,
            failure.message
          ])
        )
      ]
