import * as Effect from "effect/Effect"
export const top = (_: unknown) => Effect.void
