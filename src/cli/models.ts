/** What there is to ask. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import type { ModelInfo } from "../ModelInfo.ts"
import * as Discovery from "./discovery.ts"
import * as Terminal from "./terminal.ts"

export const listModels = Effect.fnUntraced(function* (wish: Discovery.Wish) {
  const [servers, failures] = yield* Discovery.findServers(wish)
  if (servers.length === 0) return yield* Discovery.nothingFound(failures)
  for (const { message } of failures) yield* Terminal.note(Terminal.dim(message))
  for (const { models, provider } of servers) {
    if (models.length === 0) yield* Terminal.note(`${provider.name}: no models`)
    for (const line of align(models.map((model) => columns(provider.name, model)))) yield* Console.log(line)
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
  const width = (column: number) => Math.max(...rows.map((row) => row[column]?.length ?? 0))
  return rows.map((row) =>
    row
      .map((text, column) => text.padEnd(width(column)))
      .filter((text) => text !== "")
      .join("  ")
      .trimEnd()
  )
}
