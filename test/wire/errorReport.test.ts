/** Error bodies of servers, in every shape, and the reasons they stand for. */
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import type { Report } from "../../src/protocol/errors.ts"
import { readBody, retryAfter, toDetail, toReason } from "../../src/protocol/errors.ts"
import { transferErrors } from "../../src/protocol/ollama/transfers.ts"
import { fieldsOf } from "../support/transcript.ts"

describe("an error body", () => {
  const table: Readonly<Record<string, readonly [body: string, report: Omit<Report, "body">]>> = {
    "error as text": ['{"error":"boom"}', { message: "boom" }],
    "error as an object": [
      '{"error":{"message":"boom","type":"t","param":null,"code":"c"}}',
      { message: "boom", code: "c" }
    ],
    "with a number for a code": [
      '{"error":{"code":400,"message":"boom","type":"t"}}',
      { message: "boom", code: "t", status: 400 }
    ],
    "with a numeric text for a code": [
      '{"error":{"code":"429","message":"x"}}',
      { message: "x", code: "429", status: 429 }
    ],
    "with a number that is no status": ['{"error":{"code":-32600,"message":"boom"}}', { message: "boom" }],
    "an error that is a flag": ['{"error":true,"message":"boom"}', { message: "boom" }],
    "with nulls": ['{"error":{"message":"boom","type":null,"param":null,"code":null}}', { message: "boom" }],
    "the message twice": ['{"error":{"message":"boom"},"message":"boom"}', { message: "boom" }],
    "the type outside": ['{"type":"error","error":{"type":"t","message":"boom"}}', { message: "boom", code: "t" }],
    "a message alone": ['{"message":"boom"}', { message: "boom" }],
    "a detail": ['{"detail":"boom"}', { message: "boom" }],
    "a list of faults": [
      '{"detail":[{"loc":["body","messages",0,"content"],"msg":"boom","input":"x"}]}',
      { field: "messages[0].content" }
    ],
    "a fault that an option leaves out": [
      '{"detail":[{"loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]}',
      { field: "dialect.streamOptions" }
    ],
    "a fault of the whole body": ['{"detail":[{"loc":["body"],"msg":"boom"}]}', {}],
    "a fault in an unknown place": ['{"detail":[{"loc":["body","my secret"],"msg":"boom"}]}', {}],
    "an empty list of faults": ['{"detail":[]}', {}],
    "the parameter that is wrong": [
      '{"error":{"message":"boom","param":"messages.[0].content"}}',
      { message: "boom", field: "messages[0].content" }
    ],
    "a list of errors": [
      '[{"error":{"code":400,"message":"boom"}},{"error":"other"}]',
      { message: "boom", status: 400 }
    ],
    "a list of errors in an object": ['{"errors":[{"message":"boom"},{"message":"other"}]}', { message: "boom" }],
    "a list of texts in an object": ['{"errors":["boom"]}', { message: "boom" }],
    "an empty list of errors": ['{"errors":[]}', {}],
    "a message of another name": ['{"error_code":1,"error_msg":"boom"}', { message: "boom" }],
    "an empty list": ["[]", {}],
    "an empty text": ['{"error":""}', {}],
    "an empty object": ["{}", {}],
    "a status beside it": [
      '{"StatusCode":429,"Status":"429 Too Many Requests","error":"slow"}',
      { message: "slow", status: 429 }
    ],
    "where to sign in": [
      '{"error":"unauthorized","signin_url":"https://ollama.com/connect?key=k"}',
      { message: "unauthorized", signinUrl: "https://ollama.com/connect?key=k" }
    ],
    "JSON inside of the text": [
      String.raw`{"error":"{\"error\":{\"code\":400,\"message\":\"boom\",\"type\":\"t\",\"n_prompt_tokens\":9,\"n_ctx\":4}}"}`,
      { message: "boom", code: "t", status: 400, promptTokens: 9, contextLength: 4 }
    ],
    "JSON in a quotation": [
      String.raw`{"error":"error parsing tool call: raw={\"error\":{\"code\":401}}"}`,
      { message: 'error parsing tool call: raw={"error":{"code":401}}' }
    ],
    "JSON after words inside of the text": [
      String.raw`{"error":{"message":"returned 400: {\"error\":{\"message\":\"boom\",\"n_ctx\":4}}"}}`,
      { message: "boom", contextLength: 4 }
    ],
    "text with a brace that is not JSON": ['{"error":"map[code:500] {x"}', { message: "map[code:500] {x" }],
    "a text as JSON": ['"boom"', { message: "boom" }],
    null: ["null", {}],
    "a list": ["[1]", {}],
    "plain text": ["404 page not found\n", { message: "404 page not found" }],
    "text over several lines": ["a\r\n  b\n", { message: "a\r\n  b" }],
    "half of JSON": ['{"error":"bo', { message: '{"error":"bo' }],
    nothing: ["", { message: "" }],
    "white space": [" \n", { message: "" }],
    "a page": ["<html>\r\n<head><title>502 Bad Gateway</title></head></html>", { isPage: true }],
    "a page without a title": ["<!DOCTYPE html><body>secret</body>", { isPage: true }],
    "a page with an empty title": ["<html><title> </title>", { isPage: true }],
    XML: ['<?xml version="1.0"?><Error/>', { isPage: true }],
    "a code that is too long": [
      `{"error":{"message":"boom","code":"${"a".repeat(400)}"}}`,
      { message: "boom", code: "a".repeat(100) }
    ]
  }
  for (const [what, [text, expected]] of Object.entries(table)) {
    it(what, () => {
      const { body: _, ...report } = readBody(text)
      expect(report).toEqual(expected)
    })
  }

  it("of any depth does not throw", () => {
    for (const key of ["error", "message", "detail"]) {
      const depth = 100_000
      const nested = `{"${key}":`.repeat(depth) + '"boom"' + "}".repeat(depth)
      expect(() => readBody(nested)).not.toThrow()
    }
  })
})

describe("the detail of an error", () => {
  const detailOf = (body: string): unknown => fieldsOf(toReason({ status: 500, report: readBody(body) })).detail

  it("is the message of the server, or else the whole body", () => {
    expect(detailOf('{"error":{"message":"a\\n  b"}}')).toBe("a\n  b")
    expect(detailOf('{"detail":[{"loc":["body"]}]}')).toBe('{"detail":[{"loc":["body"]}]}')
    expect(detailOf("<html><title>Bad Gateway</title><p>x")).toBe("Bad Gateway")
    expect(detailOf("<html><p>x")).toBe("<html><p>x")
    expect(detailOf(" \n")).toBeUndefined()
  })

  it("has at most 2,000 characters", () => {
    expect(Redacted.value(toDetail("a".repeat(70_000)) ?? Redacted.make("")).length).toBe(2000)
  })
})

// --- reasons

const asked = { model: "asked", endpoint: "POST /x" }
const endpoint = { feature: "POST /x" }
const missing = { model: "asked" }

type Row = readonly [status: number | undefined, body: string, tag: string, isRetryable: boolean, fields?: object]

const error = (message: string, more: object = {}): string => JSON.stringify({ error: { message, ...more } })
const text = (message: string): string => JSON.stringify({ error: message })

const inStream = undefined

const loading = (description: string) => ({ ...missing, description })
const ended = "its process ended while it was loaded"
const killed = "its process was killed while it was loaded, as systems do when they run out of memory"
const noMemory = "there is not enough memory to load it"

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
  [404, "404 page not found", "Unsupported", false, endpoint],
  [405, "405 method not allowed", "Unsupported", false, endpoint],
  [429, text("too many requests"), "RateLimited", true],
  [499, text("request canceled"), "ApiError", false, { status: 499 }],
  [500, text('option "temperature" must be of type float32'), "InvalidRequest", false],
  [500, text('invalid format: "xml"; expected "json" or a valid JSON Schema object'), "InvalidRequest", false],
  [
    500,
    text("model requires more system memory (9 GiB) than is available (8 GiB)"),
    "ModelNotAvailable",
    false,
    loading("it requires 9 GiB of memory, and 8 GiB are available")
  ],
  [500, text("unable to load model: /blobs/x"), "ModelNotAvailable", false, missing],
  [
    500,
    text("failed to allocate KV cache; try a smaller context size"),
    "ModelNotAvailable",
    false,
    loading("there is not enough memory for its context; request a smaller context")
  ],
  [500, text("GPU does not support flash attention"), "ApiError", true, { status: 500 }],
  [inStream, text("GPU does not support flash attention"), "StreamError", true],
  [500, text("invalid character 'x' looking for beginning of value"), "ApiError", true, { status: 500 }],
  [500, text("error parsing tool call: raw='model not found'"), "ApiError", true, { status: 500 }],
  [500, text("error parsing tool call: raw='it does not support tools'"), "ApiError", true, { status: 500 }],
  [inStream, text("error parsing tool call: raw='n_ctx'"), "StreamError", true],
  [500, text("timed out waiting for llama-server to start - x"), "ModelNotAvailable", false, missing],
  [500, text("llama runner process has terminated: exit status 2"), "ModelNotAvailable", false, missing],
  [500, text("something else"), "ApiError", true, { status: 500 }],
  [502, text("cloud host unreachable"), "ApiError", true, { status: 502 }],
  [503, text("server busy, please try again.  maximum pending requests exceeded"), "ApiError", true, { status: 503 }],
  [inStream, text("an error was encountered while running the model: unexpected EOF"), "StreamError", true],
  [inStream, text("model 'x' not found"), "ModelNotAvailable", false, missing]
]

/** Failures that the same request has again, with the statuses and the places in which servers send them. */
const permanent: ReadonlyArray<readonly [text: string, tag: string, fields?: object]> = [
  ["tools param requires --jinja flag", "Unsupported", { feature: "tools" }],
  ["tool_choice param requires --jinja flag", "Unsupported", { feature: "toolChoice" }],
  ["tools are only supported with --jinja", "Unsupported", { feature: "tools" }],
  ["Unsupported param: tools", "Unsupported", { feature: "tools" }],
  ["Unsupported param: tool_choice", "Unsupported", { feature: "toolChoice" }],
  ["Unsupported param: functions", "Unsupported", { feature: "tools" }],
  ["Function calling is not enabled for this model", "Unsupported", { feature: "function calling" }],
  ["Unsupported param: echo", "InvalidRequest"],
  ["Tool error: Tools are not supported by this chat template", "Unsupported", { feature: "tools" }],
  ['tool_choice "required" requires --tool-call-parser to be set', "Unsupported", { feature: "tools" }],
  ["Multimodal data provided, but model does not support multimodal requests.", "Unsupported", { feature: "images" }],
  ["x/y is not a multimodal model", "Unsupported", { feature: "images" }],
  ["this model is missing data required for image input", "Unsupported", { feature: "images" }],
  ['think value "low" is not supported for this model', "Unsupported", { feature: "thinking" }],
  ["--jinja is required to use tools", "Unsupported", { feature: "tools" }],
  ["Tools not supported by this model", "Unsupported", { feature: "tools" }],
  ["`tools` is not supported", "Unsupported", { feature: "tools" }],
  ["failed to load model vocabulary required for format", "Unsupported", { feature: "format" }],
  ["unable to load model vocabulary for format", "Unsupported", { feature: "format" }],

  ["invalid JSON schema in format", "InvalidRequest", { field: "format" }],
  ["JSON schema conversion failed:\nUnrecognized schema: {}", "InvalidRequest"],
  ["Failed to initialize samplers: Failed to parse grammar", "InvalidRequest"],
  ["Failed to convert JSON schema to grammar", "InvalidRequest"],
  ["error parsing grammar: expecting name", "InvalidRequest"],
  ["unsupported format schema type", "InvalidRequest"],
  ["unable to create sampling context", "InvalidRequest"],
  ["Cannot use custom grammar constraints with tools.", "InvalidRequest"],
  ['Either "json_schema" or "grammar" can be specified, but not both', "InvalidRequest"],

  ["Conversation roles must alternate user/assistant/user/assistant/... at row 13, column 32:\n...", "InvalidRequest"],
  [
    "After the optional system message, conversation roles must alternate user/assistant/user/assistant/...",
    "InvalidRequest",
    { description: "the model's chat template requires that user and assistant messages alternate" }
  ],
  ["System role not supported", "InvalidRequest"],
  ["Only user and assistant roles are supported!", "InvalidRequest"],
  ["Unexpected message role.", "InvalidRequest"],
  ["No user query found in messages.", "InvalidRequest"],
  ["Assistant response prefill is incompatible with enable_thinking.", "InvalidRequest"],
  ["Cannot have 2 or more assistant messages at the end of the list.", "InvalidRequest"],
  [
    "\n------------\nWhile executing FilterExpression at line 55, column 63 in source:\n...\nError: Unknown filter 'x'",
    "InvalidRequest"
  ],
  ["Value is not callable: null at row 1, column 45:\n{{ x }}", "InvalidRequest"],
  [
    "\n------------\nWhile executing CallExpression at line 3, column 10 in source:\n...\nError: Jinja Exception: Bad roles",
    "InvalidRequest"
  ],
  ['Error rendering prompt with jinja template: "Cannot call something that is not a function"', "InvalidRequest"],
  ["Failed to parse Jinja template: Expected closing statement token", "InvalidRequest"],
  ["Template error: syntax error: Conversation roles must alternate (in <string>:1)", "InvalidRequest"],
  ["jinja2.exceptions.TemplateError: Bad roles", "InvalidRequest"],
  ["Cannot use chat template functions because tokenizer.chat_template is not set", "InvalidRequest"],
  ["Unable to generate parser for this template. Automatic parser generation failed", "InvalidRequest"],
  ['template: :5:14: executing "" at <.Foo>: can\'t evaluate field Foo', "InvalidRequest"],

  ["llama-server process has terminated: signal: killed", "ModelNotAvailable", loading(killed)],
  ["llama-server process has terminated: exit status 137", "ModelNotAvailable", loading(killed)],
  ["llama-server process has terminated: exit status 3", "ModelNotAvailable", loading(ended)],
  ["llama runner process has terminated: exit status 0xc0000409", "ModelNotAvailable", loading(ended)],
  ["llama runner process no longer running: 2", "ModelNotAvailable", loading(ended)],
  [
    "llama-server process has terminated: exit status 1: error: failed to load model tensor x",
    "ModelNotAvailable",
    loading(ended)
  ],
  [
    "llama-server process has terminated: exit status 1: cudaMalloc failed: out of memory",
    "ModelNotAvailable",
    loading(noMemory)
  ],
  ["llama runner process has terminated: CUDA error: out of memory", "ModelNotAvailable", loading(noMemory)],
  ["llama runner process has terminated: std::bad_alloc", "ModelNotAvailable", loading(noMemory)],
  ['Failed to load model "x". Error: ErrorOutOfDeviceMemory', "ModelNotAvailable", loading(noMemory)],
  ["model requires more gpu memory than is currently available", "ModelNotAvailable", loading(noMemory)],
  [
    "model requires more GPU memory (9.5 GB) than is currently available (800 MiB)",
    "ModelNotAvailable",
    loading("it requires 9.5 GB of memory, and 800 MiB are available")
  ],
  [
    "error starting llama-server: llama-server binary not found (checked: /srv/ollama/lib/ollama/llama-server)",
    "ModelNotAvailable",
    loading("a file of the server's engine or of the model is missing; install it again")
  ],
  ["error starting the external llama server: exec format error", "ModelNotAvailable"],
  ["error starting runner: fork/exec /usr/bin/ollama: no such file or directory", "ModelNotAvailable"],
  [
    "model failed to load, this may be due to resource limitations or an internal error, check ollama server logs",
    "ModelNotAvailable"
  ],
  ["llama-server failed to start", "ModelNotAvailable"],
  ["not enough VRAM to load the model", "ModelNotAvailable", loading(noMemory)],
  ["unable to create llama context", "ModelNotAvailable"],
  ["memory layout cannot be allocated", "ModelNotAvailable", loading(noMemory)],
  ["unable to allocate CUDA0 buffer", "ModelNotAvailable", loading(noMemory)],
  ["unable to load runner for model x", "ModelNotAvailable", loading("the server could not load it")],
  [
    "error loading model: unknown model architecture: 'x'",
    "ModelNotAvailable",
    loading("the server is too old for it; install a newer version")
  ],

  [
    "Request length 71599 + 2048 is greater than max_seq_len 65536",
    "ContextOverflow",
    { promptTokens: 71599, contextLength: 65536 }
  ],
  [
    "Request length 65000 + 2048 is greater than max_seq_len 65536. Please truncate the prompt.",
    "ContextOverflow",
    { promptTokens: 67048, contextLength: 65536 }
  ],
  [
    "Prompt length 71,599 is greater than max_seq_len 65,536",
    "ContextOverflow",
    { promptTokens: 71599, contextLength: 65536 }
  ],
  ["inputs tokens + max_new_tokens must be <= 4096", "ContextOverflow", { contextLength: 4096 }],
  [
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 `inputs` tokens and 1000 `max_new_tokens`",
    "ContextOverflow",
    { promptTokens: 5000, contextLength: 4096 }
  ],
  [
    "Input validation error: `inputs` must have less than 4095 tokens. Given: 5000",
    "ContextOverflow",
    { promptTokens: 5000, contextLength: 4095 }
  ],
  ["Input length 5000 exceeds maximum 4096", "ContextOverflow", { promptTokens: 5000, contextLength: 4096 }],
  ["Prompt tokens 5000 > context window 4096", "ContextOverflow", { promptTokens: 5000, contextLength: 4096 }],
  ["input is too long for this model (5000 > 4096)", "ContextOverflow", { promptTokens: 5000, contextLength: 4096 }],
  ["prompt is too long: 5000 tokens > 4096 maximum", "ContextOverflow", { promptTokens: 5000, contextLength: 4096 }],
  ["The prompt of 200,000 tokens exceeds the context length of 128k", "ContextOverflow", { contextLength: undefined }],
  [
    "The engine prompt length 5000 exceeds the max_model_len 4096. Please reduce prompt.",
    "ContextOverflow",
    { promptTokens: 5000, contextLength: 4096 }
  ]
]

describe("a failure that the same request has again", () => {
  const message = (words: string) => ({ message: words, type: "server_error", code: 500 })
  const forms: Readonly<Record<string, (words: string) => string>> = {
    "plain text": (words) => words,
    "Ollama's form": text,
    "OpenAI's form": (words) => error(words),
    "a form with a status": (words) => JSON.stringify({ error: message(words) }),
    "the engine's form in Ollama's": (words) => text(JSON.stringify({ error: message(words) })),
    "vLLM's form": (words) => JSON.stringify({ object: "error", ...message(words) })
  }
  for (const [words, tag, fields] of permanent) {
    it(`${tag}: ${words}`, () => {
      for (const form of Object.values(forms)) {
        for (const status of [400, 500, 502, inStream]) {
          const reason = toReason({ ...asked, status, report: readBody(form(words)) })
          expect(fieldsOf(reason)).toMatchObject({ _tag: tag, ...fields })
          expect(reason.isRetryable).toBe(false)
          expect(reason.message).not.toContain(words)
        }
      }
    })
  }
})

describe("what only looks like such a failure", () => {
  const table: ReadonlyArray<readonly [text: string, tag: string]> = [
    ["CUDA error: an illegal memory access was encountered", "ApiError"],
    ["error parsing tool call: raw='Conversation roles must alternate'", "ApiError"],
    ["error parsing tool call: raw='tools param requires --jinja flag'", "ApiError"],
    ["context canceled", "ApiError"],
    ["an error was encountered while running the model: signal: killed", "ApiError"],
    ["internal error: 4096 workers are greater than the maximum of 5 threads", "ApiError"]
  ]
  for (const [words, tag] of table) {
    it(words, () => {
      expect(toReason({ ...asked, status: 500, report: readBody(text(words)) })).toMatchObject({
        _tag: tag,
        isRetryable: true
      })
    })
  }
})

describe("an empty 403", () => {
  const originHint = "set OLLAMA_ORIGINS"
  it("is a refused Host or Origin header where the server has such a check", () => {
    for (const body of ["", " \r\n"]) {
      const reason = toReason({ ...asked, originHint, status: 403, report: readBody(body) })
      expect(fieldsOf(reason)).toEqual({ _tag: "AuthenticationError", kind: "origin", description: originHint })
      expect(reason.message).toBe("the server refused the address or the origin of this client: set OLLAMA_ORIGINS")
    }
  })

  it("is a refused token elsewhere, and so is one with a text", () => {
    for (const failure of [
      { status: 403, report: readBody("") },
      { status: 401, originHint, report: readBody("") },
      { status: 403, originHint, report: readBody(text("forbidden")) }
    ]) {
      const reason = toReason({ ...asked, ...failure })
      expect(reason).toMatchObject({ _tag: "AuthenticationError", kind: undefined })
      expect(reason.message).toContain("check the token")
    }
  })
})

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
  [200, text("Unexpected endpoint or method. (POST /x)"), "Unsupported", false, endpoint],
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

const overflowOf5000 = { promptTokens: 5000, contextLength: 4096 }
const vllmError = (message: string, code: number, type = "BadRequestError"): string =>
  JSON.stringify({ object: "error", message, type, param: null, code })

const others: ReadonlyArray<Row> = [
  [
    400,
    vllmError("This model's maximum context length is 4096 tokens. However, you requested 5000 tokens", 400),
    "ContextOverflow",
    false,
    overflowOf5000
  ],
  [
    400,
    error(
      "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4000 in the messages, 1000 in the completion). Please reduce the length of the messages or completion."
    ),
    "ContextOverflow",
    false,
    overflowOf5000
  ],
  [
    400,
    error("This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens."),
    "ContextOverflow",
    false,
    overflowOf5000
  ],
  [
    400,
    error(
      "You passed 5000 input tokens and requested 100 output tokens. However, the model's context length is only 4096 tokens, resulting in a maximum input length of 3996 tokens."
    ),
    "ContextOverflow",
    false,
    overflowOf5000
  ],
  [
    400,
    error(
      "'max_tokens' or 'max_completion_tokens' is too large: 5000. This model's maximum context length is 4096 tokens and your request has 12 input tokens (5000 > 4096 - 12)."
    ),
    "InvalidRequest",
    false,
    { field: "maxTokens" }
  ],
  [404, vllmError("The model `x` does not exist.", 404, "NotFoundError"), "ModelNotAvailable", false, missing],
  [
    400,
    vllmError("[{'type': 'x', 'loc': ('body', 'top_p'), 'msg': 'y', 'input': 'model not found'}]", 400),
    "InvalidRequest",
    false,
    { field: "topP" }
  ],
  [400, vllmError("The model does not support Embeddings API", 400), "Unsupported", false, { feature: "embeddings" }],
  [
    400,
    error('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
    "Unsupported",
    false,
    { feature: "tools" }
  ],
  [
    400,
    vllmError("The input (5000 tokens) is longer than the model's context length (4096 tokens).", 400),
    "ContextOverflow",
    false,
    overflowOf5000
  ],
  [
    400,
    vllmError(
      "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a total of 5000 tokens: 4000 tokens from the input messages and 1000 tokens for the completion.",
      400
    ),
    "ContextOverflow",
    false,
    overflowOf5000
  ],
  [
    400,
    error("Requested tokens (5000) exceed context window of 4096", { code: "context_length_exceeded" }),
    "ContextOverflow",
    false,
    overflowOf5000
  ],
  [
    400,
    vllmError("The decoder prompt (length 5000) is longer than the maximum model length of 4096.", 400),
    "ContextOverflow",
    false,
    overflowOf5000
  ],
  [400, text("prompt too long; exceeded max context length by 904 tokens"), "ContextOverflow", false],
  [400, error("x/y is not a valid model ID", { code: 400 }), "ModelNotAvailable", false, missing],
  [404, error("No endpoints found for x/y.", { code: 404 }), "ModelNotAvailable", false, missing],
  [
    404,
    error("No endpoints found that support tool use.", { code: 404 }),
    "Unsupported",
    false,
    { feature: "tool use" }
  ],
  [
    400,
    error("prompt of 10 tokens exceeds the available context size (64 tokens)", { n_prompt_tokens: 10, n_ctx: 64 }),
    "ContextOverflow",
    false,
    { promptTokens: undefined, contextLength: 64 }
  ],
  [
    400,
    error("10 tokens exceed the context length of 64 tokens", { code: "context_length_exceeded" }),
    "ContextOverflow",
    false,
    { promptTokens: undefined, contextLength: 64 }
  ]
]

const llamaServer: ReadonlyArray<Row> = [
  [400, error("'messages' is required", { code: 400, type: "invalid_request_error" }), "InvalidRequest", false],
  [401, error("Invalid API Key", { code: 401, type: "authentication_error" }), "AuthenticationError", false],
  [403, error("x", { code: 403, type: "permission_error" }), "AuthenticationError", false],
  [404, error("File Not Found", { code: 404, type: "not_found_error" }), "Unsupported", false, endpoint],
  [500, error("x", { code: 500, type: "server_error" }), "ApiError", true, { status: 500 }],
  [501, error("x", { code: 501, type: "not_supported_error" }), "Unsupported", false, endpoint],
  [
    500,
    error("image input is not supported - hint: if this is unexpected, you may need to provide the mmproj", {
      code: 500
    }),
    "Unsupported",
    false,
    { feature: "image input" }
  ],
  [
    503,
    error("Loading model", { code: 503, type: "unavailable_error" }),
    "ApiError",
    true,
    { status: 503, description: "the model is loading" }
  ]
]

const proxies: ReadonlyArray<Row> = [
  [413, "<html><title>413 Request Entity Too Large</title>", "InvalidRequest", false],
  [429, "", "RateLimited", true],
  [
    502,
    "<html><title>502 Bad Gateway</title>",
    "ApiError",
    true,
    { description: "an HTML page in place of an answer" }
  ],
  [200, "<html><title>Sign in</title>", "ApiError", false, { status: 200 }],
  [404, "<html><title>model not found</title>", "Unsupported", false, endpoint],
  [504, "upstream timed out", "ApiError", true, { status: 504 }],
  [402, error("Insufficient credits", { code: 402 }), "ApiError", false, { status: 402 }],
  [418, "", "ApiError", false, { status: 418 }]
]

for (const [server, rows] of Object.entries({
  Ollama: ollama,
  "LM Studio": lmStudio,
  "llama.cpp": llamaServer,
  "other servers": others,
  proxies
})) {
  describe(server, () => {
    for (const [status, body, tag, isRetryable, fields] of rows) {
      it(`${status ?? "in the stream"}: ${body} -> ${tag}`, () => {
        const reason = toReason({ ...asked, status, report: readBody(body) })
        expect(fieldsOf(reason)).toMatchObject({ _tag: tag, ...fields })
        expect(reason.isRetryable).toBe(isRetryable)
      })
    }
  })
}

it("an error of a model list is not about a model", () => {
  const report = readBody(text("model 'x' not found"))
  expect({ ...toReason({ status: 404, endpoint: "GET /api/tags", report }) }).toMatchObject({
    _tag: "Unsupported",
    feature: "GET /api/tags"
  })
})

describe("a status inside a stream means what the HTTP status means", () => {
  const message = "something"
  const bodies = (status: number): ReadonlyArray<string> => [
    error(message, { code: status }),
    error(message, { code: String(status) }),
    error(message, { status }),
    JSON.stringify({ error: message, code: status }),
    JSON.stringify({ error: message, StatusCode: status, Status: `${status} x` }),
    JSON.stringify({ error: { message }, status_code: status }),
    text(`request returned ${status}: ${error(message, { code: status })}`)
  ]
  for (const status of [400, 401, 402, 403, 404, 405, 413, 422, 429, 500, 503]) {
    it(`${status}`, () => {
      for (const body of bodies(status)) {
        const inside = toReason({ ...asked, report: readBody(body) })
        const outside = toReason({ ...asked, status, report: readBody(body) })
        if (status >= 500) expect(inside._tag).toBe("StreamError")
        else expect(fieldsOf(inside)).toEqual(fieldsOf(outside))
      }
    })
  }

  it("and an address to sign in means that a token is missing", () => {
    const report = readBody('{"error":"unauthorized","signin_url":"https://ollama.com/connect?key=k"}')
    expect(fieldsOf(toReason({ ...asked, report }))).toMatchObject({
      _tag: "AuthenticationError",
      signinUrl: "https://ollama.com/connect?key=k"
    })
  })

  it("an HTTP status takes precedence", () => {
    expect(toReason({ ...asked, status: 503, report: readBody(error("x", { code: 400 })) })._tag).toBe("ApiError")
  })
})

describe("a list of faults", () => {
  it("names the field if it is a known one", () => {
    const loc = ["body", "temperature"]
    const body = JSON.stringify({ detail: [{ loc, msg: "x", type: "float_parsing", input: "my secret" }] })
    const reason = toReason({ ...asked, status: 422, report: readBody(body) })
    expect(fieldsOf(reason)).toEqual({
      _tag: "InvalidRequest",
      field: "temperature",
      description: "the server's text is in the redacted `detail`",
      detail: body
    })
  })
})

describe("a missing model", () => {
  const hint = "run `ollama pull asked`"
  const describe = (body: string): unknown =>
    fieldsOf(toReason({ ...asked, missingModelHint: hint, status: 404, report: readBody(body) })).description

  it("comes with advice", () => {
    expect(describe(text("model 'asked' not found"))).toBe("the server does not have it; run `ollama pull asked`")
  })

  it("comes without it if the server has the model and cannot load it", () => {
    expect(describe(text("unable to load model: x"))).toBe("the server could not load it")
  })
})

describe("hostile texts", () => {
  const size = 64 * 1024
  const pieces = [
    ..."a01 (\"'`{.[:\n",
    ..."model '|model `|<title|n_ctx|n_ctx: 1|context length |1 tokens |tokens (|field '|field 'a' ".split("|"),
    ..."cannot unmarshal |'loc': ('body', '|does not support |{\"error\":|model has crashed (|exceeds the ".split("|"),
    ..."waiting for |failed to load |jinja |template |length 1|given: 1|,123|+ 1 |1 tokens |unsupported param: ".split(
      "|"
    ),
    ..."inputs tokens + |only |think value |system role |(1) |multimodal |: 404 |max_seq_len |in format |1 maximum ".split(
      "|"
    ),
    ..."requires more system memory (|000 |http://|'a.a.|invalid a|Thu, ".split("|")
  ]
  it.each(pieces)("%j repeated takes linear time", (piece) => {
    const hostile = piece.repeat(Math.ceil(size / piece.length))
    // A pattern that backtracks would not come back within the limit of the test.
    for (const body of [
      hostile,
      text(hostile),
      error(hostile, { code: hostile, param: hostile }),
      `<html>${hostile}`
    ]) {
      for (const status of [undefined, 400, 404, 500])
        toReason({ ...asked, errorRules: transferErrors, status, report: readBody(body) })
      retryAfter({ "retry-after": hostile, "retry-after-ms": hostile, date: hostile })
    }
  })
})

describe("Retry-After", () => {
  const date = "Wed, 21 Oct 2015 07:28:00 GMT"
  const table: ReadonlyArray<readonly [what: string, headers: Record<string, string>, seconds: number | undefined]> = [
    ["seconds", { "retry-after": "120" }, 120],
    ["zero", { "retry-after": "0" }, 0],
    ["a fraction", { "retry-after": "1.5" }, 1.5],
    ["a small fraction", { "retry-after": "0.25" }, 0.25],
    ["a number with a point and nothing after it", { "retry-after": "2." }, 2],
    ["space around a number", { "retry-after": " 2 " }, 2],
    ["milliseconds", { "retry-after-ms": "1500", "retry-after": "2" }, 1.5],
    ["milliseconds that are nonsense", { "retry-after-ms": "soon", "retry-after": "2" }, 2],
    ["a negative number", { "retry-after": "-5", date }, undefined],
    ["an exponent", { "retry-after": "1e9", date }, undefined],
    ["a number that is not finite", { "retry-after": "Infinity" }, undefined],
    ["two numbers", { "retry-after": "1, 2", date }, undefined],
    ["a number of years", { "retry-after": "99999999999" }, 86_400],
    ["more digits than a number has", { "retry-after": "9".repeat(400) }, undefined],
    ["a date in many years", { "retry-after": "Wed, 21 Oct 2099 07:28:30 GMT", date }, 86_400],
    ["a date", { "retry-after": "Wed, 21 Oct 2015 07:28:30 GMT", date }, 30],
    ["a date that has passed", { "retry-after": "Wed, 21 Oct 2015 07:27:00 GMT", date }, 0],
    ["a date without the server's own", { "retry-after": date }, undefined],
    ["nonsense", { "retry-after": "soon", date }, undefined],
    ["no header", { date }, undefined]
  ]
  for (const [what, headers, seconds] of table) {
    it(what, () => {
      const wait = retryAfter(headers)
      expect(wait === undefined ? undefined : Duration.toSeconds(wait)).toBe(seconds)
      const reason = toReason({ status: 429, retryAfter: wait, report: readBody("") })
      expect("retryAfter" in reason ? reason.retryAfter : undefined).toEqual(wait)
    })
  }
})

describe("a server that rejects a field which an option leaves out", () => {
  const texts: Readonly<Record<string, string>> = {
    "Unrecognized request argument supplied: stream_options": "dialect.streamOptions",
    "'stream_options' is not supported": "dialect.streamOptions",
    "Unknown parameter: 'stream_options.include_usage'": "dialect.streamOptions",
    "property 'messages.1.reasoning_content' is unsupported": "dialect.thinkingField",
    "thinking is enabled but reasoning_content is missing in assistant tool call message": "dialect.thinkingField"
  }
  for (const [message, field] of Object.entries(texts)) {
    it(message, () => {
      for (const status of [400, 422, 500]) {
        const report = readBody(JSON.stringify({ error: { message } }))
        expect(toReason({ status, report })).toMatchObject({ _tag: "InvalidRequest", field })
      }
    })
  }
})
