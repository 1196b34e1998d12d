/** Ollama's protocol, as a gateway serves it. Facts: Ollama's `server/routes.go`. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Stream from "effect/Stream"
import * as Respond from "../http/respond.ts"
import type { ModelInfo } from "../ModelInfo.ts"
import type { ModelProgress } from "../ModelProgress.ts"
import * as Models from "../protocol/ollama/servedModels.ts"
import * as Request from "../protocol/ollama/servedRequest.ts"
import * as Response from "../protocol/ollama/servedResponse.ts"
import type * as Served from "../protocol/served.ts"
import type { ProviderError } from "../ProviderError.ts"
import { StreamError } from "../ProviderError.ts"
import * as Failures from "./failures.ts"
import type { Protocol, Route, Running } from "./gateway.ts"
import * as SharedRoutes from "./sharedRoutes.ts"

/** The name of Ollama among the kinds of providers. */
const kind = "ollama"

const framing: Served.Framing = {
  contentType: "application/x-ndjson",
  // It belongs to the line after it.
  keepAlive: " "
}

const completion = (path: Served.CompletionRoute["path"], decode: Served.CompletionRoute["decode"]) => ({
  path,
  framing,
  decode
})

const get = (path: Route["path"], handle: Route["handle"]): Route => ({ method: "GET", path, handle })

const show: Route = {
  method: "POST",
  path: "/api/show",
  handle: ({ body, gateway: { provider } }) =>
    Effect.gen(function* () {
      const name = yield* Effect.fromResult(Models.decodeName(body))
      return Models.encodeShown(withCapabilities(yield* provider.model(name), provider.kind))
    })
}

/**
 * Clients offer what a model is said to be able to do. Only Ollama knows that of tools and thinking: requests to other servers find out.
 */
const withCapabilities = (info: ModelInfo, server: string | undefined): ModelInfo => {
  const { capabilities } = info
  if (capabilities === undefined) return { ...info, capabilities: ["completion", "tools", "thinking", "vision"] }
  return server === undefined || server === kind || !capabilities.includes("completion")
    ? info
    : { ...info, capabilities: Array.from(new Set([...capabilities, "tools", "thinking"])) }
}

/** Lists say only which models there are, so each is asked for. One that fails is left out. */
const findRunning = SharedRoutes.describeAll({ isLoaded: false })

const pull: Route = {
  method: "POST",
  path: "/api/pull",
  needs: "pull",
  handle: ({ body, gateway }) =>
    Effect.gen(function* () {
      const { isStream, model } = yield* Effect.fromResult(Models.decodePull(body))
      if (gateway.pull === undefined) return refuse("the servers of this gateway cannot pull models")
      const reports = gateway.pull(model)
      if (isStream) return yield* reportProgress(reports, gateway)
      yield* Stream.runDrain(reports)
      return { status: "success" }
    })
}

/** A failure before the first report has a status, unlike that of Ollama, which begins its response before it asks the registry. */
const reportProgress = (reports: Stream.Stream<ModelProgress, ProviderError>, { halted }: Running) =>
  Respond.make(reports, {
    contentType: framing.contentType,
    encode: Models.encodeProgress,
    begins: () => true,
    keepAlive: { text: framing.keepAlive, after: Duration.seconds(15) },
    refuse: (error) => Failures.toResponse(protocol, error),
    until: halted,
    fail: ({ reason }) => Response.toLine(reason),
    defect: () => Response.toLine(new StreamError({}))
  })

/** What clients read as a route that the server does not have. */
const refuse = (message: string) => HttpServerResponse.jsonUnsafe(Response.refuse(message), { status: 501 })

const refused = (method: Route["method"], path: Route["path"]): Route => ({
  method,
  path,
  handle: () => Effect.succeed(refuse(`the gateway does not change the models of its servers: it has no ${path}`))
})

/** The routes of Ollama. */
export const protocol: Protocol = {
  name: "ollama",
  kinds: [kind],
  completions: [completion("/api/chat", Request.decodeChat), completion("/api/generate", Request.decodeGenerate)],
  others: [
    get("/", () => Effect.succeed(HttpServerResponse.text("Ollama is running"))),
    get("/api/version", () => Effect.succeed({ version: Models.version })),
    get("/api/tags", ({ gateway: { provider } }) => Effect.map(provider.listModels, Models.encodeList)),
    get("/api/ps", ({ gateway }) => Effect.map(findRunning(gateway), Models.encodeRunning)),
    show,
    SharedRoutes.embeddings("/api/embed", Models.decodeEmbed, [kind]),
    SharedRoutes.embeddings("/api/embeddings", Models.decodeEmbeddings, [kind]),
    pull,
    refused("POST", "/api/push"),
    refused("POST", "/api/create"),
    refused("POST", "/api/copy"),
    refused("DELETE", "/api/delete"),
    refused("GET", "/api/blobs/:digest"),
    refused("POST", "/api/blobs/:digest")
  ],
  fail: Response.fail,
  refuse: (_, message) => Response.refuse(message)
}
