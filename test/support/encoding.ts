/** Requests as they go over the wire. */
import { describe, expect, it } from "@effect/vitest"
import * as Result from "effect/Result"
import type { CompletionRequest } from "../../src/CompletionRequest.ts"
import type { Endpoint } from "../../src/protocol/endpoint.ts"

/** The JSON that a request becomes, or the fields of the reason why it becomes none. */
const toJson = (protocol: Pick<Endpoint<CompletionRequest, unknown>, "encode">, request: CompletionRequest): unknown =>
  Result.match(protocol.encode(request), {
    onFailure: (reason): unknown => ({ ...reason }),
    onSuccess: (body): unknown => JSON.parse(JSON.stringify(body))
  })

/** What a request sets besides the base, and the JSON that it becomes. */
export type Requests<R> = Readonly<Record<string, readonly [request: Partial<R>, json: object]>>

export const checkRequests = <R extends CompletionRequest>(
  name: string,
  protocol: Pick<Endpoint<CompletionRequest, unknown>, "encode">,
  base: R,
  requests: Requests<NoInfer<R>>
): void => {
  describe(name, () => {
    for (const [what, [request, json]] of Object.entries(requests)) {
      it(what, () => expect(toJson(protocol, { model: "m", ...base, ...request })).toEqual(json))
    }
  })
}
