/** Anthropic's API: messages, their number of tokens, and the models. */
import * as Effect from "effect/Effect"
import * as Errors from "../protocol/anthropic/errors.ts"
import * as Messages from "../protocol/anthropic/messages.ts"
import * as Models from "../protocol/anthropic/models.ts"
import * as TokenCount from "../TokenCount.ts"
import type { Protocol } from "./gateway.ts"
import * as SharedRoutes from "./sharedRoutes.ts"

/** No server that this package knows speaks it as a client would, so none gets fields that only tune it. */
export const protocol: Protocol = {
  name: "anthropic",
  kinds: [],
  completions: [Messages.messages],
  others: [
    {
      method: "POST",
      path: "/v1/messages/count_tokens",
      handle: ({ body, gateway }) =>
        Effect.flatMap(Effect.fromResult(Messages.decodeCount(body)), (request) =>
          gateway.provider.countTokens(request).pipe(
            // Clients count before they ask, and while the servers are busy.
            Effect.catchIf(
              ({ isRetryable }) => isRetryable,
              () => Effect.fromResult(TokenCount.estimate(request))
            ),
            Effect.map(Messages.encodeCount)
          )
        )
    },
    ...SharedRoutes.models("/v1/models", Models.encodeList, Models.encode)
  ],
  fail: Errors.fail,
  refuse: Errors.encode
}
