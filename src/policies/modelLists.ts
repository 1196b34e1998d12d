/** The lists of models of several providers as one. */
import type { ModelInfo } from "../ModelInfo.ts"

/** The models of all lists, each name once. */
export const union = (lists: ReadonlyArray<ReadonlyArray<ModelInfo>>): ReadonlyArray<ModelInfo> => {
  const found = new Map<string, ModelInfo>()
  for (const info of lists.flat()) if (!found.has(info.id)) found.set(info.id, info)
  return [...found.values()]
}
