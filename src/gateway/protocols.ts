/** The protocols that a gateway speaks. */
import type { Protocol } from "./gateway.ts"

export const protocols: ReadonlyArray<Protocol> = []
