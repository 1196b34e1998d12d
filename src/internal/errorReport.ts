/**
 * What a server says when it fails, in all the shapes that servers say it, and the reason it stands for.
 *
 * Status codes are a weak signal: Ollama answers 500 to a wrong option, LM Studio 400 to a crashed engine and 200 to an
 * unknown path, and errors inside a stream have no status at all. So the text is asked first, then the status.
 */
import * as Duration from "effect/Duration"
import type { ProviderErrorReason } from "../ProviderError.ts"
import {
  ApiError,
  AuthenticationError,
  ContextOverflow,
  InvalidRequest,
  ModelNotAvailable,
  RateLimited,
  StreamError,
  Unsupported
} from "../ProviderError.ts"
import * as Json from "./wire/json.ts"

/** What can be read from an error body, whatever its shape. */
export interface Report {
  readonly message?: string | undefined
  readonly code?: string | undefined
  readonly signinUrl?: string | undefined
  readonly promptTokens?: number | undefined
  readonly contextLength?: number | undefined
}

/** Reads an error body: JSON in any of the known shapes, a page of HTML, or plain text. */
export const readBody = (body: string): Report => {
  const value = Json.parse(body)
  if (value !== undefined) return readValue(value)
  const text = body.trim()
  if (!/^<(!doctype|html|\?xml|head|body)/i.test(text)) return { message: shorten(text) }
  const title = /<title[^>]*>([^<]*)/i.exec(text.slice(0, 4096))?.[1]?.trim()
  return { message: title === undefined || title === "" ? "an HTML page" : `an HTML page titled "${shorten(title)}"` }
}

/** Reads the value of an error body, or of a record in a stream that holds an `error`. */
export const readValue = (value: unknown, depth = 0): Report => {
  if (typeof value === "string") return readText(value, depth)
  if (!Json.isObject(value) || depth > maxDepth) return {}
  const inner = readValue(value.error ?? value.message ?? value.detail, depth + 1)
  return {
    message: inner.message,
    code: inner.code ?? asCode(value.code) ?? asCode(value.type),
    signinUrl: inner.signinUrl ?? asString(value.signin_url),
    promptTokens: inner.promptTokens ?? asNumber(value.n_prompt_tokens),
    contextLength: inner.contextLength ?? asNumber(value.n_ctx)
  }
}

/** Real ones are three deep; a body may be made to be a million. */
const maxDepth = 8

/** A message may hold the JSON of the engine below, with numbers that are worth having. */
const readText = (text: string, depth: number): Report => {
  const start = text.indexOf("{")
  const nested = start === -1 || depth > maxDepth ? undefined : Json.parse(text.slice(start))
  const inner = Json.isObject(nested) ? readValue(nested, depth + 1) : {}
  return { ...inner, message: shorten(inner.message ?? text) }
}

const asString = (u: unknown): string | undefined => (typeof u === "string" ? u : undefined)
const asCode = (u: unknown): string | undefined => (typeof u === "string" ? shorten(u) : undefined)
const asNumber = (u: unknown): number | undefined => (typeof u === "number" ? u : undefined)

/** Servers quote what they could not read: enough of it to help, not a whole prompt. */
const shorten = (text: string): string => {
  const line = text.replace(/\s+/g, " ").trim()
  return line.length > 300 ? `${line.slice(0, 300)}…` : line
}

export interface Failure {
  /** The HTTP status; absent for an error inside a stream. */
  readonly status?: number | undefined
  readonly retryAfter?: Duration.Duration | undefined
  readonly report: Report
  /** The model that was asked, if the request named one. */
  readonly model?: string | undefined
  /** What was asked, such as `POST /api/chat`. */
  readonly endpoint?: string | undefined
}

const modelMissing =
  /no models? loaded|model ['"].*['"] (is )?not found|model not found|model_not_found|invalid model identifier/i
const modelUnloadable =
  /(failed|unable) to load model|error loading model|requires more system memory|waiting for llama(-server| runner) to start|llama runner process has terminated/i
const overflow =
  /context (size|length|window)|exceed_context_size|\bn_(ctx|keep)\b|keep from the initial prompt|keep the first \d+ tokens/i
const unsupported = /does not support ([\w -]+)|(\w+ input) is not supported/i
const engineFailure = /model has crashed|channel error|^terminated$|engine protocol|model (is )?unloaded/i
const callersMistake = /^option "|^invalid format/i

/** The reason that a failure stands for. */
export const toReason = (failure: Failure): ProviderErrorReason => {
  const { report, status } = failure
  const description = report.message
  // Each on a line of its own, or the end of one and the start of the other might read like something else.
  const text = `${report.code ?? ""}\n${description ?? ""}`

  if (status === 401 || status === 403) return new AuthenticationError({ signinUrl: report.signinUrl, description })
  if (status === 429) return new RateLimited({ retryAfter: failure.retryAfter, description })
  if (failure.model !== undefined && (modelMissing.test(text) || modelUnloadable.test(text))) {
    return new ModelNotAvailable({ model: failure.model, description })
  }
  if (overflow.test(text)) return new ContextOverflow({ ...overflowNumbers(report), description })
  const feature = unsupported.exec(text)?.slice(1).find(Boolean)
  if (feature !== undefined) return new Unsupported({ feature: feature.trim(), description })
  if (/unexpected endpoint/i.test(text) || status === 404 || status === 405 || status === 501) {
    return new Unsupported({ feature: failure.endpoint ?? "this", description })
  }
  if (status === undefined || (status === 400 && engineFailure.test(description ?? ""))) {
    return new StreamError({ description })
  }
  if (
    status === 400 ||
    status === 413 ||
    status === 422 ||
    (status === 500 && callersMistake.test(description ?? ""))
  ) {
    return new InvalidRequest({ description })
  }
  return new ApiError({ status, retryAfter: failure.retryAfter, description })
}

/** The lengths in tokens: as fields where the server has them, or else out of its sentence. */
const overflowNumbers = (report: Report): { promptTokens?: number | undefined; contextLength?: number | undefined } => {
  if (report.promptTokens !== undefined || report.contextLength !== undefined) {
    return { promptTokens: report.promptTokens, contextLength: report.contextLength }
  }
  const numbers =
    /(\d+) tokens\D+(\d+) tokens/.exec(report.message ?? "") ??
    /n_keep: (\d+)\D+n_ctx: (\d+)/.exec(report.message ?? "")
  return numbers === null ? {} : { promptTokens: Number(numbers[1]), contextLength: Number(numbers[2]) }
}

/** `Retry-After` in seconds, or as a date against the server's own `Date`. */
export const retryAfter = (headers: { readonly [name: string]: string | undefined }): Duration.Duration | undefined => {
  const value = headers["retry-after"]
  if (value === undefined) return undefined
  if (/^\d+$/.test(value)) return Duration.seconds(Number(value))
  const wait = Date.parse(value) - Date.parse(headers["date"] ?? "")
  return Number.isNaN(wait) ? undefined : Duration.millis(Math.max(0, wait))
}
