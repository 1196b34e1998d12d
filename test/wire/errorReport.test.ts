/** What servers say when they fail, in every shape, and the reason it stands for. */
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import type { Report } from "../../src/internal/errorReport.ts"
import { readBody, readValue, retryAfter, toReason } from "../../src/internal/errorReport.ts"

describe("an error body", () => {
  const table: Readonly<Record<string, readonly [body: string, report: Report]>> = {
    "error as text": ['{"error":"boom"}', { message: "boom" }],
    "error as an object": [
      '{"error":{"message":"boom","type":"t","param":null,"code":"c"}}',
      { message: "boom", code: "c" }
    ],
    "with a number for a code": ['{"error":{"code":400,"message":"boom","type":"t"}}', { message: "boom", code: "t" }],
    "with nulls": ['{"error":{"message":"boom","type":null,"param":null,"code":null}}', { message: "boom" }],
    "the message twice": ['{"error":{"message":"boom"},"message":"boom"}', { message: "boom" }],
    "the type outside": ['{"type":"error","error":{"type":"t","message":"boom"}}', { message: "boom", code: "t" }],
    "a message alone": ['{"message":"boom"}', { message: "boom" }],
    "a detail": ['{"detail":"boom"}', { message: "boom" }],
    "an empty text": ['{"error":""}', { message: "" }],
    "an empty object": ["{}", {}],
    "a status beside it": ['{"StatusCode":429,"Status":"429 Too Many Requests","error":"slow"}', { message: "slow" }],
    "where to sign in": [
      '{"error":"unauthorized","signin_url":"https://ollama.com/connect?key=k"}',
      { message: "unauthorized", signinUrl: "https://ollama.com/connect?key=k" }
    ],
    "JSON inside of the text": [
      String.raw`{"error":"{\"error\":{\"code\":400,\"message\":\"boom\",\"type\":\"t\",\"n_prompt_tokens\":9,\"n_ctx\":4}}"}`,
      { message: "boom", code: "t", promptTokens: 9, contextLength: 4 }
    ],
    "JSON behind words inside of the text": [
      String.raw`{"error":{"message":"returned 400: {\"error\":{\"message\":\"boom\",\"n_ctx\":4}}"}}`,
      { message: "boom", contextLength: 4 }
    ],
    "text with a brace that is no JSON": ['{"error":"map[code:500] {x"}', { message: "map[code:500] {x" }],
    "a text as JSON": ['"boom"', { message: "boom" }],
    null: ["null", {}],
    "a list": ["[1]", {}],
    "plain text": ["404 page not found\n", { message: "404 page not found" }],
    "text over several lines": ["a\r\n  b\n", { message: "a b" }],
    "half of JSON": ['{"error":"bo', { message: '{"error":"bo' }],
    nothing: ["", { message: "" }],
    "white space": [" \n", { message: "" }],
    "a page": [
      "<html>\r\n<head><title>502 Bad Gateway</title></head></html>",
      { message: 'an HTML page titled "502 Bad Gateway"' }
    ],
    "a page without a title": ["<!DOCTYPE html><body>secret</body>", { message: "an HTML page" }],
    "a page with an empty title": ["<html><title> </title>", { message: "an HTML page" }],
    XML: ['<?xml version="1.0"?><Error/>', { message: "an HTML page" }],
    "a text that is too long": [`{"error":"${"a".repeat(400)}"}`, { message: `${"a".repeat(300)}…` }],
    "a code that is too long": [
      `{"error":{"message":"boom","code":"${"a".repeat(400)}"}}`,
      { message: "boom", code: `${"a".repeat(300)}…` }
    ]
  }
  for (const [what, [body, report]] of Object.entries(table)) {
    it(what, () => expect(readBody(body)).toEqual(report))
  }

  it("of any depth is read, or left", () => {
    for (const key of ["error", "message", "detail"]) {
      const depth = 100_000
      const nested = `{"${key}":`.repeat(depth) + '"boom"' + "}".repeat(depth)
      expect(() => readBody(nested)).not.toThrow()
      expect(() => readValue(JSON.parse(nested))).not.toThrow()
    }
  })
})

// --- reasons

const network = { model: "asked", endpoint: "POST /x" }
const ask = { feature: "POST /x" }
const missing = { model: "asked" }

type Row = readonly [status: number | undefined, body: string, tag: string, isRetryable: boolean, fields?: object]

const error = (message: string, more: object = {}): string => JSON.stringify({ error: { message, ...more } })
const text = (message: string): string => JSON.stringify({ error: message })

const inStream = undefined

const ollama: ReadonlyArray<Row> = [
  [400, text("missing request body"), "InvalidRequest", false],
  [400, text("model is required"), "InvalidRequest", false],
  [400, text("invalid model name"), "InvalidRequest", false],
  [400, text('"m" does not support chat'), "Unsupported", false, { feature: "chat" }],
  [400, text('"m" does not support thinking'), "Unsupported", false, { feature: "thinking" }],
  [400, text("registry.ollama.ai/library/m:latest does not support tools"), "Unsupported", false, { feature: "tools" }],
  [400, text("the input length exceeds the context length"), "ContextOverflow", false],
  [
    400,
    text(
      error("request (99 tokens) exceeds the available context size (64 tokens)", { n_prompt_tokens: 99, n_ctx: 64 })
    ),
    "ContextOverflow",
    false,
    { promptTokens: 99, contextLength: 64 }
  ],
  [
    401,
    '{"error":"unauthorized","signin_url":"https://ollama.com/connect"}',
    "AuthenticationError",
    false,
    { signinUrl: "https://ollama.com/connect" }
  ],
  [401, text("unauthorized"), "AuthenticationError", false],
  [403, text("ollama cloud is disabled: x"), "AuthenticationError", false],
  [403, "", "AuthenticationError", false],
  [404, text("model 'x' not found"), "ModelNotAvailable", false, missing],
  [404, text('model "x" not found, try pulling it first'), "ModelNotAvailable", false, missing],
  [404, text("model '' not found"), "ModelNotAvailable", false, missing],
  [404, "404 page not found", "Unsupported", false, ask],
  [405, "405 method not allowed", "Unsupported", false, ask],
  [429, text("too many requests"), "RateLimited", true],
  [499, text("request canceled"), "ApiError", false, { status: 499 }],
  [500, text('option "temperature" must be of type float32'), "InvalidRequest", false],
  [500, text('invalid format: "xml"; expected "json" or a valid JSON Schema object'), "InvalidRequest", false],
  [
    500,
    text("model requires more system memory (9 GiB) than is available (8 GiB)"),
    "ModelNotAvailable",
    false,
    missing
  ],
  [500, text("unable to load model: /blobs/x"), "ModelNotAvailable", false, missing],
  [500, text("timed out waiting for llama-server to start - x"), "ModelNotAvailable", false, missing],
  [500, text("llama runner process has terminated: exit status 2"), "ModelNotAvailable", false, missing],
  [500, text("something else"), "ApiError", true, { status: 500 }],
  [502, text("cloud host unreachable"), "ApiError", true, { status: 502 }],
  [503, text("server busy, please try again.  maximum pending requests exceeded"), "ApiError", true, { status: 503 }],
  [inStream, text("an error was encountered while running the model: unexpected EOF"), "StreamError", true],
  [inStream, text("model 'x' not found"), "ModelNotAvailable", false, missing]
]

const noModels = "No models loaded. Please load a model in the developer page or use the 'lms load' command."
const lmStudio: ReadonlyArray<Row> = [
  [404, error(noModels, { code: "model_not_found" }), "ModelNotAvailable", false, missing],
  [400, text(noModels), "ModelNotAvailable", false, missing],
  [400, error(noModels, { code: null }), "ModelNotAvailable", false, missing],
  [404, error('Model "x" not found', { code: "model_not_found" }), "ModelNotAvailable", false, missing],
  [404, error("x", { type: "model_not_found" }), "ModelNotAvailable", false, missing],
  [
    400,
    error('Invalid model identifier "x". Please specify a valid downloaded model', { param: "model" }),
    "ModelNotAvailable",
    false,
    missing
  ],
  [404, error('Failed to load model "x". Error: insufficient system resources'), "ModelNotAvailable", false, missing],
  [400, error('Failed to load model "x". Error: y'), "ModelNotAvailable", false, missing],
  [400, text("Model is unloaded."), "StreamError", true],
  [400, text("Model unloaded."), "StreamError", true],
  [inStream, text("Model unloaded by user or API request."), "StreamError", true],
  [400, text("The model has crashed without additional information. (Exit code: 6)"), "StreamError", true],
  [400, text("Channel Error"), "StreamError", true],
  [400, text("terminated"), "StreamError", true],
  [400, text("Engine protocol predict request failed: fetch failed"), "StreamError", true],
  [400, text("'messages' field is required"), "InvalidRequest", false],
  [400, text("Invalid 'messages' in payload"), "InvalidRequest", false],
  [400, text("'response_format.type' must be 'json_schema' or 'text'"), "InvalidRequest", false],
  [
    400,
    text("Invalid tool_choice type: 'object'. Supported string values: none, auto, required"),
    "InvalidRequest",
    false
  ],
  [400, text("'url' field must be a base64 encoded image."), "InvalidRequest", false],
  [400, error("Unrecognized key(s) in object: 'seed'", { type: "invalid_request" }), "InvalidRequest", false],
  [401, error("An LM Studio API token is required", { code: "invalid_api_key" }), "AuthenticationError", false],
  [200, text("Unexpected endpoint or method. (POST /x)"), "Unsupported", false, ask],
  [415, text("wrong content type"), "ApiError", false, { status: 415 }],
  [500, error("boom", { type: "internal_error", code: "unknown" }), "ApiError", true, { status: 500 }],
  [
    inStream,
    text(
      "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens"
    ),
    "ContextOverflow",
    false,
    { promptTokens: 5000, contextLength: 4096 }
  ],
  [
    inStream,
    text(
      "The number of tokens to keep from the initial prompt is greater than the context length (n_keep: 5000>= n_ctx: 4096). Try to load the model with a larger context length"
    ),
    "ContextOverflow",
    false,
    { promptTokens: 5000, contextLength: 4096 }
  ],
  [
    400,
    text(
      "Input does not fit in context length. The input has 5000 tokens, but the context length only supports 4096 tokens."
    ),
    "ContextOverflow",
    false,
    { promptTokens: 5000, contextLength: 4096 }
  ],
  [
    inStream,
    text(
      `Engine protocol predict request returned 400: ${error("request (5000 tokens) exceeds the available context size (4096 tokens)", { type: "exceed_context_size_error", n_prompt_tokens: 5000, n_ctx: 4096 })}`
    ),
    "ContextOverflow",
    false,
    { promptTokens: 5000, contextLength: 4096 }
  ],
  [
    inStream,
    text("Engine protocol predict stream returned an error: {code:500,message:'Context size has been exceeded.'}"),
    "ContextOverflow",
    false
  ]
]

const llamaServer: ReadonlyArray<Row> = [
  [400, error("'messages' is required", { code: 400, type: "invalid_request_error" }), "InvalidRequest", false],
  [401, error("Invalid API Key", { code: 401, type: "authentication_error" }), "AuthenticationError", false],
  [403, error("x", { code: 403, type: "permission_error" }), "AuthenticationError", false],
  [404, error("File Not Found", { code: 404, type: "not_found_error" }), "Unsupported", false, ask],
  [500, error("x", { code: 500, type: "server_error" }), "ApiError", true, { status: 500 }],
  [501, error("x", { code: 501, type: "not_supported_error" }), "Unsupported", false, ask],
  [
    500,
    error("image input is not supported - hint: if this is unexpected, you may need to provide the mmproj", {
      code: 500
    }),
    "Unsupported",
    false,
    { feature: "image input" }
  ],
  [503, error("Loading model", { code: 503, type: "unavailable_error" }), "ApiError", true, { status: 503 }]
]

const proxies: ReadonlyArray<Row> = [
  [413, "<html><title>413 Request Entity Too Large</title>", "InvalidRequest", false],
  [422, '{"detail":[{"loc":["body"]}]}', "InvalidRequest", false],
  [429, "", "RateLimited", true],
  [
    502,
    "<html><title>502 Bad Gateway</title>",
    "ApiError",
    true,
    { description: 'an HTML page titled "502 Bad Gateway"' }
  ],
  [504, "upstream timed out", "ApiError", true, { description: "upstream timed out" }],
  [418, "", "ApiError", false, { status: 418 }]
]

for (const [server, rows] of Object.entries({
  Ollama: ollama,
  "LM Studio": lmStudio,
  "llama.cpp": llamaServer,
  proxies
})) {
  describe(server, () => {
    for (const [status, body, tag, isRetryable, fields] of rows) {
      it(`${status ?? "in the stream"}: ${body} -> ${tag}`, () => {
        const reason = toReason({ ...network, status, report: readBody(body) })
        expect({ ...reason }).toMatchObject({ _tag: tag, ...fields })
        expect(reason.isRetryable).toBe(isRetryable)
      })
    }
  })
}

it("a listing that fails is of no model", () => {
  const report = readBody(text("model 'x' not found"))
  expect({ ...toReason({ status: 404, endpoint: "GET /api/tags", report }) }).toMatchObject({
    _tag: "Unsupported",
    feature: "GET /api/tags"
  })
})

describe("Retry-After", () => {
  const date = "Wed, 21 Oct 2015 07:28:00 GMT"
  const table: ReadonlyArray<readonly [what: string, headers: Record<string, string>, seconds: number | undefined]> = [
    ["seconds", { "retry-after": "120" }, 120],
    ["zero", { "retry-after": "0" }, 0],
    ["a date", { "retry-after": "Wed, 21 Oct 2015 07:28:30 GMT", date }, 30],
    ["a date that has passed", { "retry-after": "Wed, 21 Oct 2015 07:27:00 GMT", date }, 0],
    ["a date without the server's own", { "retry-after": date }, undefined],
    ["nonsense", { "retry-after": "soon", date }, undefined],
    ["nothing", { date }, undefined]
  ]
  for (const [what, headers, seconds] of table) {
    it(what, () => {
      const wait = retryAfter(headers)
      expect(wait === undefined ? undefined : Duration.toSeconds(wait)).toBe(seconds)
      const reason = toReason({ status: 429, retryAfter: wait, report: {} })
      expect("retryAfter" in reason ? reason.retryAfter : undefined).toEqual(wait)
    })
  }
})
