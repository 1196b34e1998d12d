import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { CompletionRequest } from "../../src/CompletionRequest.ts"
import type { ProviderErrorReason } from "../../src/ProviderError.ts"
import { FakeServer } from "../../src/testing/index.ts"
import { request, serverNames, start } from "../support/setups.ts"
import { fieldsOf } from "../support/transcript.ts"

interface Example {
  readonly answer: FakeServer.Answer
  readonly fields?: object
  readonly request?: CompletionRequest
}

/** All but those that no single server gives. */
type Reason = Exclude<ProviderErrorReason["_tag"], "AllProvidersFailed" | "InvalidAnswer">

type Table = { readonly [K in Reason]: Example }

const shared = {
  NetworkError: { answer: { text: "Hm", cut: { how: "reset" } } },
  Timeout: {
    answer: FakeServer.silence,
    request: { ...request, deadlines: { firstChunk: "20 millis" } },
    fields: { kind: "first-chunk" }
  },
  StreamTruncated: { answer: { text: "Hm", cut: { how: "end" } } },
  ParseError: { answer: { pieces: ["Hm", { record: '{"oops' }] } },
  LineTooLong: { answer: { pieces: FakeServer.endless({ raw: "x".repeat(1000) }) }, fields: { limit: 10_000 } }
} as const satisfies Partial<Table>

const ollama: Table = {
  ...shared,
  RateLimited: {
    answer: {
      status: 429,
      body: { StatusCode: 429, Status: "429 Too Many Requests", error: "you have reached your hourly usage limit" }
    },
    fields: { detail: "you have reached your hourly usage limit" }
  },
  AuthenticationError: {
    answer: { status: 401, body: { error: "unauthorized", signin_url: "https://ollama.com/connect?name=n&key=k" } },
    fields: { detail: "unauthorized", signinUrl: "https://ollama.com/connect?name=n&key=k" }
  },
  ModelNotAvailable: {
    answer: { status: 404, body: { error: "model 'm' not found" } },
    fields: { model: "m", detail: "model 'm' not found" }
  },
  InvalidRequest: {
    answer: { status: 500, body: { error: 'option "temperature" must be of type float32' } },
    fields: { detail: 'option "temperature" must be of type float32' }
  },
  ContextOverflow: {
    answer: {
      status: 400,
      body: {
        error:
          '{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error","n_prompt_tokens":5000,"n_ctx":4096}}'
      }
    },
    fields: { promptTokens: 5000, contextLength: 4096 }
  },
  ApiError: {
    answer: { status: 503, body: { error: "server busy, please try again.  maximum pending requests exceeded" } },
    fields: { status: 503 }
  },
  StreamError: {
    answer: { pieces: ["Hm", { error: "an error was encountered while running the model: unexpected EOF" }] },
    fields: { detail: "an error was encountered while running the model: unexpected EOF" }
  },
  Unsupported: {
    answer: { status: 400, body: { error: "registry.ollama.ai/library/m:latest does not support tools" } },
    fields: { feature: "tools" }
  }
}

const lmStudio: Table = {
  ...shared,
  RateLimited: { answer: { status: 429, body: { error: { message: "Too many requests" } } } },
  AuthenticationError: {
    answer: {
      status: 401,
      body: {
        error: {
          message: "An LM Studio API token is required to make requests to this server.",
          type: "invalid_request",
          param: null,
          code: "invalid_api_key"
        }
      }
    },
    fields: { detail: "An LM Studio API token is required to make requests to this server." }
  },
  ModelNotAvailable: {
    answer: {
      status: 400,
      body: {
        error: {
          message: 'Invalid model identifier "m". Please specify a valid downloaded model (e.g. acme/m-8b).',
          type: "invalid_request_error",
          param: "model",
          code: "model_not_found"
        }
      }
    },
    fields: { model: "m" }
  },
  InvalidRequest: { answer: { status: 400, body: { error: "'messages' field is required" } } },
  ContextOverflow: {
    answer: {
      pieces: [
        {
          error:
            "Engine protocol predict request returned 400: request (5000 tokens) exceeds the available context size (4096 tokens)"
        }
      ]
    },
    fields: { promptTokens: 5000, contextLength: 4096 }
  },
  ApiError: {
    answer: {
      status: 504,
      headers: { "content-type": "text/html" },
      body: "<html><title>504 Gateway Time-out</title>"
    },
    fields: { status: 504, detail: "504 Gateway Time-out" }
  },
  StreamError: {
    answer: { pieces: ["Hm", { error: "The model has crashed without additional information. (Exit code: 6)" }] },
    fields: { detail: "The model has crashed without additional information. (Exit code: 6)" }
  },
  Unsupported: {
    answer: { status: 200, body: { error: "Unexpected endpoint or method. (POST /v1/chat/completions)" } },
    fields: { feature: "POST /v1/chat/completions" }
  }
}

describe.each([
  ["Ollama", ollama],
  ["LM Studio", lmStudio],
  ["llama-server", lmStudio],
  ["OpenAI-compatible server", lmStudio]
] as const)("every reason has an example on the wire of %s", (provider, table) => {
  it.live.each(Object.entries(table))("%s", ([tag, example]) =>
    Effect.gen(function* () {
      const running = yield* start({ provider, client: "undici" }, example.answer, { maxLineBytes: 10_000 })
      const error = yield* Effect.flip(running.provider.complete(example.request ?? request))
      expect(error.provider).toBe(provider)
      expect(fieldsOf(error.reason)).toMatchObject({ _tag: tag, ...example.fields })
      expect(error.message.startsWith(`${provider} (${running.server.url}): `)).toBe(true)
    })
  )
})

describe("an empty 403", () => {
  it.live.each(["Ollama", "LM Studio", "llama-server", "OpenAI-compatible server"] as const)("of %s", (provider) =>
    Effect.gen(function* () {
      const running = yield* start({ provider, client: "undici" }, { status: 403, body: "" })
      const { message, reason } = yield* Effect.flip(running.provider.complete(request))
      expect(reason).toMatchObject({ _tag: "AuthenticationError", kind: provider === "Ollama" ? "origin" : undefined })
      if (provider === "Ollama") {
        expect(message).toMatch(/Host or Origin header.*OLLAMA_ORIGINS.*--host-header/)
        expect(message).not.toContain("token")
      } else expect(message).toContain("check the token")
    })
  )
})

describe("a list of models with status 200 that is an error", () => {
  const errors: ReadonlyArray<readonly [body: object, reason: object]> = [
    [{ error: "boom" }, { _tag: "StreamError", detail: "boom" }],
    [
      { object: "error", message: "boom" },
      { _tag: "StreamError", detail: "boom" }
    ],
    [{ signin_url: "https://a.example" }, { _tag: "AuthenticationError", signinUrl: "https://a.example" }],
    // The list is not a request for that model.
    [{ error: "model 'x' not found" }, { _tag: "StreamError", detail: "model 'x' not found" }]
  ]
  it.live.each(serverNames)("of %s", (provider) =>
    Effect.gen(function* () {
      for (const [body, reason] of errors) {
        const running = yield* start({ provider, client: "undici" }, { status: 200, body })
        expect(fieldsOf((yield* Effect.flip(running.provider.listModels)).reason)).toMatchObject(reason)
      }
    })
  )
})
