import { cluster } from "./cluster.ts"
import { cancellation, capacity, paced } from "./concurrent.ts"
import { gateway } from "./gateway.ts"
import type { Measure } from "./Measure.ts"
import { memory } from "./memory.ts"
import { bundle, imports } from "./modules.ts"
import { bulk, firstChunk, smallAnswer } from "./single.ts"

/** In the order of the page. */
export const measures: ReadonlyArray<Measure> = [
  memory,
  firstChunk,
  bulk,
  paced,
  capacity,
  smallAnswer,
  cancellation,
  imports,
  bundle,
  gateway,
  cluster
]

export function measureNamed(name: string): Measure {
  const measure = measures.find((candidate) => candidate.name === name)
  if (measure === undefined) throw new Error(`no measure ${name}; there are ${measures.map((each) => each.name)}`)
  return measure
}
