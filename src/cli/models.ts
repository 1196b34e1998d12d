/** Lists the models of all servers. */
import * as Effect from "effect/Effect"
import type { ModelInfo } from "../ModelInfo.ts"
import * as Discovery from "./discovery.ts"
import * as Output from "./output.ts"
import * as Table from "./table.ts"

export interface Input extends Discovery.Selection {
  readonly json: boolean
}

export const listModels = Effect.fnUntraced(function* (selection: Input) {
  const servers = yield* Discovery.findServers(selection)
  // Several protocols may list the same models at one address.
  const shown = selection.url === undefined ? servers : servers.slice(0, 1)
  if (selection.json) {
    const list = shown.flatMap(({ models, provider }) => models.map((model) => ({ provider: provider.name, ...model })))
    return yield* Output.writeJsonLine(JSON.stringify(list))
  }
  for (const { models, provider } of shown) if (models.length === 0) yield* Output.note(`${provider.name}: no models`)
  yield* Table.print(shown.flatMap(({ models, provider }) => models.map((model) => toColumns(provider.name, model))))
})

const toColumns = (
  server: string,
  { contextLength, id, parameterSize, quantization, sizeBytes }: ModelInfo
): ReadonlyArray<string> => [
  server,
  id,
  parameterSize ?? "",
  quantization ?? "",
  sizeBytes === undefined ? "" : Table.formatSize(sizeBytes),
  contextLength === undefined ? "" : `${contextLength} tokens`
]
