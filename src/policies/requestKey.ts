/** The key of a request, by which policies limit and count. */
import * as Effect from "effect/Effect"
import type { CompletionRequest } from "../CompletionRequest.ts"
import type { EmbeddingRequest } from "../Embedding.ts"
import { Caller } from "./pool/waitingList.ts"

/** Finds the key of a request, from the request or from the caller that `Pool.caller` names. */
export type KeyOf = (request: CompletionRequest | EmbeddingRequest, caller: Caller) => string

const nameOf: KeyOf = (_, { name }) => name

/** Runs with the caller of the request. */
export const find =
  (keyOf: KeyOf = nameOf) =>
  (request: CompletionRequest | EmbeddingRequest): Effect.Effect<string> =>
    Effect.map(Caller, (caller) => keyOf(request, caller))
