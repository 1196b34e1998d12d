import * as Effect from "effect/Effect"
export const serve = (_: unknown) => Effect.void
