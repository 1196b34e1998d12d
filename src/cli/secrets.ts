/** The values of headers and the tokens, which servers quote in their errors: no message shows them. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Servers from "../servers/servers.ts"

const headersVariable = "LOCAL_LLM_HEADERS"
const tokenVariables = Servers.kinds.map((kind) => Servers.definitions[kind].environment.token)

/** Shorter ones are no secrets, and may be a part of any message. */
const minLength = 4

/** A message without the secrets of this run. They come from the same places as for the requests. */
export const conceal = (message: string): Effect.Effect<string> =>
  Effect.map(Effect.forEach([headersVariable, ...tokenVariables], variable), ([headers = "", ...tokens]) => {
    const values = [...headers.split(/\r?\n/), ...headerFlags(process.argv)].map((header) =>
      header.slice(header.indexOf(":") + 1)
    )
    return [...values, ...tokens].flatMap(toForms).reduce(remove, message)
  })

const variable = (name: string): Effect.Effect<string> => Effect.orElseSucceed(Config.String(name), () => "")

const headerFlags = (args: ReadonlyArray<string>): ReadonlyArray<string> =>
  args.flatMap((arg, index) =>
    args[index - 1] === "--header" ? [arg] : arg.startsWith("--header=") ? [arg.slice("--header=".length)] : []
  )

/** A value, what follows its scheme, such as `Basic`, and both as JSON quotes them. The longest come first. */
const toForms = (value: string): ReadonlyArray<string> => {
  const text = value.trim()
  const forms = [text, text.slice(text.indexOf(" ") + 1).trim()]
  return [...forms, ...forms.map((form) => JSON.stringify(form).slice(1, -1))]
    .filter((form) => form.length >= minLength)
    .toSorted((a, b) => b.length - a.length)
}

/** The text of a server may be cut within a secret. */
const remove = (message: string, secret: string): string => {
  let text = message.replaceAll(secret, "<redacted>")
  for (let length = secret.length - 1; length >= minLength && text.includes("…"); length--) {
    text = text.replaceAll(`${secret.slice(0, length)}…`, "<redacted>…")
  }
  return text
}
