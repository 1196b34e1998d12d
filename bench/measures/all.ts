import { bulk } from "./bulk.ts"
import { cancellation } from "./cancellation.ts"
import { capacity } from "./capacity.ts"
import { firstChunk } from "./firstChunk.ts"
import { imports } from "./imports.ts"
import type { Measure } from "./Measure.ts"
import { memory } from "./memory.ts"
import { paced } from "./paced.ts"
import { smallAnswer } from "./smallAnswer.ts"

/** In the order of the page. */
export const measures: ReadonlyArray<Measure> = [
  memory,
  firstChunk,
  bulk,
  paced,
  capacity,
  smallAnswer,
  cancellation,
  imports
]
