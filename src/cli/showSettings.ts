/** Shows the settings and where each comes from. */
import * as Effect from "effect/Effect"
import { fileURLToPath } from "node:url"
import type * as Flags from "./flags.ts"
import * as Output from "./output.ts"
import * as Settings from "./settings.ts"
import * as Table from "./table.ts"

const schema = fileURLToPath(new URL("../../src/settings.schema.json", import.meta.url))

export const showSettings = Effect.fnUntraced(function* ({ json }: Flags.Input) {
  const { file, path, variables } = yield* Settings.read
  const settings = Settings.merge([variables, file])
  const rows = Settings.names.map((name) => ({
    name,
    value: settings[name],
    source:
      settings[name] === undefined ? "default" : settings[name] === variables[name] ? Settings.variableOf(name) : "file"
  }))
  if (json) return yield* Output.writeJson({ file: path ?? null, schema, settings: rows })
  yield* Output.note(`the file of the settings: ${path ?? "none, since no folder for it is known"}`)
  yield* Output.dimNote(`its schema for editors: ${schema}`)
  yield* Table.print(rows.map(({ name, source, value = "" }) => [name, toText(value), source]))
})

const toText = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value))
