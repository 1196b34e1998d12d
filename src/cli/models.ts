/** Lists the models of all servers. */
import * as Effect from "effect/Effect"
import type { ModelInfo } from "../ModelInfo.ts"
import * as Discovery from "./discovery.ts"
import * as Output from "./output.ts"
import * as Text from "./text.ts"

export const listModels = Effect.fnUntraced(function* (selection: Discovery.Selection) {
  const [servers, failures] = yield* Discovery.findServers(selection)
  if (servers.length === 0) return yield* Discovery.nothingFound(failures)
  if (selection.url === undefined) yield* Discovery.noteFailures(failures)
  const clean = process.stdout.isTTY ? Text.toSingleLine : (text: string) => text
  // Several protocols may list the same models at one address.
  const shown = selection.url === undefined ? servers : servers.slice(0, 1)
  for (const { models, provider } of shown) {
    if (models.length === 0) yield* Output.note(`${provider.name}: no models`)
    const rows = models.map((model) => columns(provider.name, model).map(clean))
    for (const line of align(rows)) yield* Output.write(`${line}\n`)
  }
})

const columns = (
  server: string,
  { contextLength, id, parameterSize, quantization, sizeBytes }: ModelInfo
): ReadonlyArray<string> => [
  server,
  id,
  parameterSize ?? "",
  quantization ?? "",
  sizeBytes === undefined ? "" : formatSize(sizeBytes),
  contextLength === undefined ? "" : `${contextLength} tokens`
]

const formatSize = (bytes: number): string =>
  bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`

const align = (rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => {
  const widths = rows.reduce<ReadonlyArray<number>>(
    (widths, row) => row.map((text, column) => Math.max(text.length, widths[column] ?? 0)),
    []
  )
  return rows.map((row) =>
    row
      .map((text, column) => text.padEnd(widths[column] ?? 0))
      .filter((text) => text !== "")
      .join("  ")
      .trimEnd()
  )
}
