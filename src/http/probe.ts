/** Asks an address whether a server of one kind is there. Sends no token. */
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as BaseUrl from "../values/baseUrl.ts"
import * as Json from "../values/json.ts"
import * as BoundedText from "./boundedText.ts"
import { networkError } from "./networkError.ts"
import * as Transport from "./transport.ts"

/** A path whose response only this server gives, and how it is recognised. */
export interface Identity {
  readonly path: string
  readonly matches: (response: Response) => boolean
}

interface Response {
  /** The header `server`. */
  readonly server: string | undefined
  readonly body: unknown
}

/** `none`: another response, or none. `refused`: nothing accepts connections there. */
export type Result = "match" | "none" | "refused"

/** The response of a server is short. Another program may send anything. */
const maxBytes = 64 * 1024

export const send = (
  url: string,
  address: BaseUrl.Defaults,
  { matches, path }: Identity
): Effect.Effect<Result, never, HttpClient.HttpClient> =>
  Effect.gen(function* () {
    const client = HttpClient.withScope(yield* HttpClient.HttpClient)
    const baseUrl = yield* Effect.fromResult(BaseUrl.parse(url, address))
    const { headers, stream } = yield* client.get(`${baseUrl}${path}`, { headers: { accept: "application/json" } })
    const text = BoundedText.whole(stream, { maxBytes, toReason: networkError })
    const body = yield* Effect.orElseSucceed(Effect.map(text, Json.parse), () => undefined)
    return matches({ server: headers["server"], body }) ? ("match" as const) : ("none" as const)
  }).pipe(
    Effect.catch((error) => Effect.succeed<Result>(networkError(error).kind === "refused" ? "refused" : "none")),
    Transport.withRequestOptions,
    Effect.scoped
  )
