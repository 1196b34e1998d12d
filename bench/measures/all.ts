import { bundle } from "./bundle.ts"
import { cancellation, capacity, paced } from "./concurrent.ts"
import { imports } from "./imports.ts"
import type { Measure } from "./Measure.ts"
import { memory } from "./memory.ts"
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
  bundle
]
