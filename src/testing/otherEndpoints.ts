/** The answers to requests that are not for a completion. */
import * as Predicate from "effect/Predicate"
import { countLetters } from "../values/text.ts"
import * as Models from "../protocol/ollama/models.ts"
import type { Reply } from "./answer.ts"
import { wires } from "./wireRecords.ts"

/** The answer to a request that no script takes. `path` has no query. */
export const answer = (method: string, path: string, models: ReadonlyArray<string>, body: unknown): Reply => {
  const answerTo = method === "POST" ? posts[path] : undefined
  if (method === "DELETE" && path === "/api/delete") return changeModel(body, models)
  if (answerTo !== undefined) return answerTo(Predicate.isObject(body) ? body : {}, models)
  const handle = method === "GET" || method === "HEAD" ? lists[path] : undefined
  if (handle !== undefined) return { status: 200, ...handle(models) }
  if (path.startsWith("/v1")) {
    return { status: 200, body: { error: `Unexpected endpoint or method. (${method} ${path})` } }
  }
  const allowed = path in wires || path in posts ? "POST" : path in lists ? "GET, HEAD" : undefined
  return allowed === undefined
    ? { status: 404, headers: plainText, body: "404 page not found" }
    : { status: 405, headers: { ...plainText, allow: allowed }, body: "405 method not allowed" }
}

const plainText = { "content-type": "text/plain" }

const lists: { readonly [path: string]: (models: ReadonlyArray<string>) => Pick<Reply, "body" | "headers"> } = {
  "/": () => ({ body: "Ollama is running" }),
  "/api/version": () => ({ body: { version: "0.33.0" } }),
  "/api/tags": (models) => ({ body: { models: models.map(toOllamaModel) } }),
  "/api/ps": () => ({ body: { models: [] } }),
  "/v1/models": (models) => ({
    body: { object: "list", data: models.map((id) => ({ id, object: "model", owned_by: "organization_owner" })) }
  }),
  "/health": () => ({ headers: { server: "llama.cpp" }, body: { status: "ok" } }),
  "/lmstudio-greeting": () => ({ body: { lmstudio: true } })
}

type Fields = { readonly [key: PropertyKey]: unknown }

const posts: { readonly [path: string]: (body: Fields, models: ReadonlyArray<string>) => Reply } = {
  "/api/show": ({ model }, models) => {
    const { capabilities, details } = toOllamaModel(String(model))
    return models.some((name) => Models.isSame(name, String(model)))
      ? { status: 200, body: { details, model_info: { "llama.context_length": 131_072 }, capabilities } }
      : { status: 404, body: { error: `model '${model}' not found` } }
  },
  "/api/copy": (body, models) => changeModel(body, models),
  "/api/pull": () => transfer("pulling"),
  "/api/push": () => transfer("pushing"),
  "/api/create": () => transfer("creating"),
  "/api/embed": ({ dimensions, input, model }) => {
    const embeddings = toVectors(input, dimensions)
    return { status: 200, body: { model, embeddings, prompt_eval_count: embeddings.length } }
  },
  "/v1/embeddings": ({ dimensions, input, model }) => {
    const data = toVectors(input, dimensions).map((embedding, index) => ({ object: "embedding", index, embedding }))
    const usage = { prompt_tokens: data.length, total_tokens: data.length }
    return { status: 200, body: { object: "list", data, model, usage } }
  }
}

/** Nothing is changed: the models of a fake server are those of its options. */
const changeModel = (body: unknown, models: ReadonlyArray<string>): Reply => {
  const fields: Fields = Predicate.isObject(body) ? body : {}
  const name = fields["source"] ?? fields["model"]
  return models.some((model) => Models.isSame(model, String(name)))
    ? { status: 200 }
    : { status: 404, body: { error: `model '${name}' not found` } }
}

/** A transfer of one layer. */
const transfer = (verb: string): Reply => {
  const digest = `sha256:5cb6cde5f627${"0".repeat(52)}`
  const reports = [
    { status: `${verb} manifest` },
    ...[250, 500, 1000].map((completed) => ({ status: `${verb} 5cb6cde5f627`, digest, total: 1000, completed })),
    { status: "success" }
  ]
  const body = reports.map((report) => `${JSON.stringify(report)}\n`).join("")
  return { status: 200, headers: { "content-type": "application/x-ndjson" }, body }
}

const toVectors = (input: unknown, dimensions: unknown): ReadonlyArray<ReadonlyArray<number>> =>
  (Array.isArray(input) ? input : [input]).map((text) =>
    countLetters(String(text), typeof dimensions === "number" ? dimensions : undefined)
  )

const toOllamaModel = (name: string) => ({
  name,
  model: name,
  modified_at: "2026-01-02T03:04:05.678Z",
  size: 2_019_393_189,
  digest: "a80c4f17acd55265feec403c7aef86be0c25983ab279d83f3bcd3abbcb5b8b72",
  details: {
    parent_model: "",
    format: "gguf",
    family: "llama",
    families: ["llama"],
    parameter_size: "3.2B",
    quantization_level: "Q4_K_M",
    context_length: 131_072
  },
  capabilities: ["completion", "tools"]
})
