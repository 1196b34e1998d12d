/** The route of OpenAI's API for responses. */
import * as Result from "effect/Result"
import type { CompletionRoute } from "../served.ts"
import * as Request from "./responsesRequest.ts"
import * as Writer from "./responsesWriter.ts"

/** `POST /v1/responses`. Nothing is stored, whatever `store` says. */
export const responses: CompletionRoute = {
  path: "/v1/responses",
  framing: Writer.framing,
  decode: (body) =>
    Result.map(Request.decode(body), ({ echo, ...received }) => ({
      ...received,
      isThinkOptional: true,
      makeWriter: (context) => Writer.makeWriter(context, echo),
      encode: (completion, context) => Writer.encode(completion, context, echo)
    }))
}
