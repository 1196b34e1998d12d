import { describe, expect, it } from "@effect/vitest"
import * as Redacted from "effect/Redacted"
import * as Failure from "../../src/cli/failure.ts"
import * as Errors from "../../src/protocol/errors.ts"
import type { ProviderErrorReason } from "../../src/ProviderError.ts"
import {
  ApiError,
  AuthenticationError,
  LineTooLong,
  ModelNotAvailable,
  NetworkError,
  ProviderError,
  StreamError,
  Unsupported
} from "../../src/ProviderError.ts"

const fail = (reason: ProviderErrorReason) =>
  new ProviderError({ provider: "Ollama", server: "http://gpu-1:1", reason })

describe("the text of a failure", () => {
  it("shows the text of the server, which the message of the library does not have", () => {
    const error = fail(new ApiError({ status: 500, detail: Redacted.make("failed on: My prompt") }))
    expect(error.message).not.toContain("My prompt")
    expect(Failure.describe(error)).toBe(`${error.message}; failed on: My prompt`)
  })

  it("does not show it twice", () => {
    const texts = { description: "out of memory", detail: Redacted.make("out of memory") }
    expect(Failure.describe(fail(new StreamError(texts))).match(/out of memory/g)).toHaveLength(1)
  })

  it.each([
    "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it",
    "the input length exceeds the context length",
    "Trying to keep the first 9000 tokens when context the overflows. The context length is only 4096 tokens"
  ])("reports an overflow once: %s", (text) => {
    const reason = Errors.toReason({ status: 400, report: Errors.readBody(JSON.stringify({ error: text })) })
    expect(reason._tag).toBe("ContextOverflow")
    const { message } = fail(reason)
    expect(Failure.describe(fail(reason))).toBe(`${message}; shorten the prompt, or give the model a larger context`)
    expect(message.match(/context/g)).toHaveLength(1)
  })

  it("shows it in one line without control characters", () => {
    const error = fail(new ApiError({ status: 500, detail: Redacted.make("a\n  b\u001B[2J\u202Ec") }))
    expect(Failure.describe(error)).toBe(`${error.message}; a b␛[2J\uFFFDc`)
  })

  it("shortens it to 300 characters, and does not divide one", () => {
    const detail = `${"x".repeat(299)}😀${"y".repeat(1000)}`
    const error = fail(new ApiError({ status: 500, detail: Redacted.make(detail) }))
    expect(Failure.describe(error)).toBe(`${error.message}; ${"x".repeat(299)}…`)
  })

  it("names no option that the command line does not have", () => {
    const error = fail(new LineTooLong({ limit: 8 }))
    expect(Failure.describe(error)).toBe("Ollama (http://gpu-1:1): the server sent a record of more than 8 bytes")
    const context = fail(new Unsupported({ feature: "contextLength" }))
    expect(Failure.describe(context)).toContain("--context is not supported")
  })

  it("has advice after the text of the server", () => {
    const error = fail(new ModelNotAvailable({ model: "m", detail: Redacted.make("no m") }))
    expect(Failure.describe(error)).toBe(`${error.message}; no m; "local-llm models" lists the models`)
  })

  it("has advice about the kind of server if an endpoint is missing, else about the model", () => {
    const endpoint = "POST /api/chat"
    const missing = Failure.describe(fail(new Unsupported({ feature: endpoint, endpoint })))
    expect(missing).toContain("--provider names the kind")
    const unable = Failure.describe(fail(new Unsupported({ feature: endpoint })))
    expect(unable).toContain("local-llm show MODEL")
  })

  it("has advice about the token only if the token may be to blame", () => {
    expect(Failure.describe(fail(new AuthenticationError({})))).toContain("OLLAMA_API_KEY")
    expect(Failure.describe(fail(new AuthenticationError({ kind: "origin" })))).not.toContain("OLLAMA_API_KEY")
    expect(Failure.describe(fail(new AuthenticationError({ kind: "registry" })))).not.toContain("OLLAMA_API_KEY")
  })

  it("shows the text of the platform only where nothing else is known", () => {
    const detail = Redacted.make("connect ECONNREFUSED")
    const known = fail(new NetworkError({ description: "ECONNREFUSED (is the server running?)", detail }))
    expect(Failure.describe(known)).toBe(known.message)
    const unknown = fail(new NetworkError({ detail }))
    expect(Failure.describe(unknown)).toBe(`${unknown.message}; connect ECONNREFUSED`)
  })
})
