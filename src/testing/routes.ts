/** Responses that no script decides: the other routes of the servers, and CORS. */
import * as Predicate from "effect/Predicate"
import type * as Http from "node:http"
import type { ModelInfo } from "../ModelInfo.ts"
import type { ModelProgress } from "../ModelProgress.ts"
import * as Models from "../protocol/ollama/models.ts"
import * as Encoders from "../protocol/ollama/servedModels.ts"
import { countLetters } from "../values/text.ts"
import { wires } from "./records.ts"
import type { Reply } from "./script.ts"

type Fields = { readonly [key: PropertyKey]: unknown }

/** The response of a route that is not for completions. `path` has no query. */
export const reply = (method: string, path: string, models: ReadonlyArray<string>, body: unknown): Reply => {
  const route = routes[`${method === "HEAD" ? "GET" : method} ${path}`]
  if (route !== undefined) return { status: 200, ...route(Predicate.isObject(body) ? body : {}, models) }
  if (path.startsWith("/v1")) {
    return { status: 200, body: { error: `Unexpected endpoint or method. (${method} ${path})` } }
  }
  const headers = { "content-type": "text/plain" }
  const allowed = path in wires || `POST ${path}` in routes ? "POST" : `GET ${path}` in routes ? "GET, HEAD" : undefined
  return allowed === undefined
    ? { status: 404, headers, body: "404 page not found" }
    : { status: 405, headers: { ...headers, allow: allowed }, body: "405 method not allowed" }
}

/** By method and path. The status is 200 unless it is given. */
const routes: {
  readonly [route: string]: (body: Fields, models: ReadonlyArray<string>) => Partial<Reply>
} = {
  "GET /": () => ({ body: "Ollama is running" }),
  "GET /api/version": () => ({ body: { version: Encoders.version } }),
  "GET /api/tags": (_, models) => ({ body: Encoders.encodeList(models.map(toInfo)) }),
  "GET /api/ps": () => ({ body: Encoders.encodeRunning([]) }),
  "GET /v1/models": (_, models) => ({
    body: { object: "list", data: models.map((id) => ({ id, object: "model", owned_by: "organization_owner" })) }
  }),
  "GET /health": () => ({ headers: { server: "llama.cpp" }, body: { status: "ok" } }),
  "GET /lmstudio-greeting": () => ({ body: { lmstudio: true } }),
  "POST /api/show": ({ model }, models) =>
    findModel(model, models) ?? { body: Encoders.encodeShown(toInfo(String(model))) },
  // Nothing is changed: the models of a fake server are those of its options.
  "POST /api/copy": ({ source }, models) => findModel(source, models) ?? {},
  "DELETE /api/delete": ({ model }, models) => findModel(model, models) ?? {},
  "POST /api/pull": () => transfer("pulling"),
  "POST /api/push": () => transfer("pushing"),
  "POST /api/create": () => transfer("creating"),
  "POST /api/embed": ({ dimensions, input, model }) => {
    const embeddings = toVectors(input, dimensions)
    return { body: { model, embeddings, prompt_eval_count: embeddings.length } }
  },
  "POST /v1/embeddings": ({ dimensions, input, model }) => {
    const data = toVectors(input, dimensions).map((embedding, index) => ({ object: "embedding", index, embedding }))
    const usage = { prompt_tokens: data.length, total_tokens: data.length }
    return { body: { object: "list", data, model, usage } }
  }
}

/** The error for a model that is not there. */
const findModel = (name: unknown, models: ReadonlyArray<string>): Reply | undefined =>
  models.some((model) => Models.isSame(model, String(name)))
    ? undefined
    : { status: 404, body: { error: `model '${name}' not found` } }

/** A transfer of one layer. */
const transfer = (verb: string): Partial<Reply> => {
  const digest = `sha256:5cb6cde5f627${"0".repeat(52)}`
  const report = (status: string, layer?: ModelProgress["layer"]) => Encoders.encodeProgress({ status, layer })
  const body = [
    report(`${verb} manifest`),
    ...[250, 500, 1000].map((completedBytes) =>
      report(`${verb} 5cb6cde5f627`, { digest, completedBytes, totalBytes: 1000 })
    ),
    report("success")
  ].join("")
  return { headers: { "content-type": "application/x-ndjson" }, body }
}

const toVectors = (input: unknown, dimensions: unknown): ReadonlyArray<ReadonlyArray<number>> =>
  (Array.isArray(input) ? input : [input]).map((text) =>
    countLetters(String(text), typeof dimensions === "number" ? dimensions : undefined)
  )

const toInfo = (name: string): ModelInfo => ({
  id: name,
  sizeBytes: 2_019_393_189,
  family: "llama",
  parameterSize: "3.2B",
  quantization: "Q4_K_M",
  contextLength: 131_072,
  capabilities: ["completion", "tools"]
})

/** Ollama's list. A browser does not send a request with any other header that a page sets. */
const allowedHeaders =
  "Authorization,Content-Type,User-Agent,Accept,X-Requested-With,OpenAI-Beta,X-Stainless-Lang," +
  "X-Stainless-Package-Version,X-Stainless-Os,X-Stainless-Arch,X-Stainless-Retry-Count,X-Stainless-Runtime," +
  "X-Stainless-Runtime-Version,X-Stainless-Async,X-Stainless-Helper-Method,X-Stainless-Poll-Helper," +
  "X-Stainless-Custom-Poll-Interval,X-Stainless-Timeout"

/** Whether a browser asks with this request if a page may send another one. */
export const isPreflight = ({ headers, method }: Http.IncomingMessage): boolean =>
  method === "OPTIONS" && headers.origin !== undefined && headers["access-control-request-method"] !== undefined

/** Refuses a request from an origin that is not allowed, and replies to preflights from those that are, as Ollama does. */
export const cors = (
  request: Http.IncomingMessage,
  origins: ReadonlyArray<string>
):
  | { readonly reply: Reply }
  /** The script decides, and these headers are added. */
  | { readonly headers: Readonly<Record<string, string>> } => {
  const { origin } = request.headers
  if (origin === undefined || origin === `http://${request.headers.host}`) return { headers: {} }
  const all = origins.includes("*")
  if (!all && !origins.includes(origin)) return { reply: { status: 403 } }
  const allowed = { "access-control-allow-origin": all ? "*" : origin, ...(all ? {} : { vary: "Origin" }) }
  if (!isPreflight(request)) return { headers: allowed }
  const headers = {
    ...allowed,
    "access-control-allow-methods": "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS",
    "access-control-allow-headers": allowedHeaders,
    "access-control-max-age": "43200"
  }
  return { reply: { status: 204, headers } }
}
