/** OpenAI's API: chats, plain completions, embeddings and models; and LM Studio's routes, by which tools recognise it. */
import * as Responses from "../protocol/openai/responses.ts"
import * as Served from "../protocol/openai/served.ts"
import * as Embeddings from "../protocol/openai/servedEmbeddings.ts"
import * as Failures from "../protocol/openai/servedFailures.ts"
import * as Models from "../protocol/openai/servedModels.ts"
import type { Protocol } from "./gateway.ts"
import * as SharedRoutes from "./sharedRoutes.ts"

export const protocol: Protocol = {
  name: "openai",
  kinds: Served.kinds,
  completions: [Served.chat, Served.completion, Responses.responses],
  others: [
    SharedRoutes.embeddings("/v1/embeddings", Embeddings.decode, Served.kinds),
    ...SharedRoutes.models("/v1/models", Models.encodeList, Models.encode)
  ],
  fail: Failures.fail,
  refuse: Failures.refuse
}

export const lmStudio: Protocol = {
  name: "lmstudio",
  kinds: Served.kinds,
  // Zed sends everything to the routes beside the list.
  completions: [
    { ...Served.chat, path: "/api/v0/chat/completions" },
    { ...Served.completion, path: "/api/v0/completions" }
  ],
  others: [
    SharedRoutes.embeddings("/api/v0/embeddings", Embeddings.decode, Served.kinds),
    ...SharedRoutes.models("/api/v0/models", Models.encodeListV0, Models.encodeV0, SharedRoutes.describeAll())
  ],
  fail: Failures.fail,
  refuse: Failures.refuse
}
