/** Asks an address whether a server of one kind is there. Sends no token. */
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as BaseUrl from "../values/baseUrl.ts"
import { networkError } from "./networkError.ts"
import * as Transport from "./transport.ts"
import * as BoundedText from "./boundedText.ts"
import * as Json from "../values/json.ts"

/** A path whose answer only this server gives, and how it is recognised. */
export interface Identity {
  readonly path: string
  readonly isIts: (answer: Answer) => boolean
}

interface Answer {
  readonly server: string | undefined
  readonly body: unknown
}

export type Sign = "given" | "none" | "refused"

/** A sign is short. Another program may send anything. */
const maxBytes = 64 * 1024

export const ask = (
  url: string,
  address: BaseUrl.Defaults,
  { isIts, path }: Identity
): Effect.Effect<Sign, never, HttpClient.HttpClient> =>
  Effect.gen(function* () {
    const client = HttpClient.withScope(yield* HttpClient.HttpClient)
    const baseUrl = yield* Effect.fromResult(BaseUrl.parse(url, address))
    const { headers, stream } = yield* client.get(`${baseUrl}${path}`, { headers: { accept: "application/json" } })
    const text = BoundedText.whole(stream, { maxBytes, toReason: networkError })
    const body = yield* Effect.orElseSucceed(Effect.map(text, Json.parse), () => undefined)
    return isIts({ server: headers["server"], body }) ? ("given" as const) : ("none" as const)
  }).pipe(
    Effect.catch((error) => Effect.succeed<Sign>(networkError(error).kind === "refused" ? "refused" : "none")),
    Transport.withRequestOptions,
    Effect.scoped
  )
