/**
 * Error bodies of servers, in all their shapes, and the reasons they stand for.
 *
 * A status is a weak signal: Ollama responds with 500 to a wrong option, LM Studio with 400 to a crashed engine and with 200 to an
 * unknown path, and an error inside a stream has no status at all. So known texts decide first, then the status.
 */
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import * as Reasons from "../ProviderError.ts"
import * as Json from "../values/json.ts"
import * as ErrorRule from "./errorRule.ts"
import * as KnownErrors from "./knownErrors.ts"

/** What was read from an error body, whatever its shape. */
export interface Report {
  /** Everything the server sent; the title of a page. */
  readonly body: string
  /** Whether the body is an HTML page, as proxies send it. */
  readonly isPage?: boolean | undefined
  /** The innermost message. */
  readonly message?: string | undefined
  /** A code or type in words, such as `model_not_found`. */
  readonly code?: string | undefined
  /** The status that the body reports. It counts where there is no HTTP status. */
  readonly status?: number | undefined
  /** The field of the request that is wrong, if it has a known name. */
  readonly field?: string | undefined
  readonly signinUrl?: string | undefined
  readonly promptTokens?: number | undefined
  readonly contextLength?: number | undefined
}

/**
 * Whether a JSON value that came with a success is an error: it has `error` or an address to sign in, or it is one in the form of
 * vLLM. Google's servers send it in a list.
 */
export const isError = (value: unknown): boolean => {
  const error = firstOf(value)
  return (
    Json.isObject(error) && (Boolean(error.error) || error.object === "error" || typeof error.signin_url === "string")
  )
}

/** Reads an error body, or a record of a stream that contains an error: JSON in any known shape, a page, or plain text. */
export const readBody = (body: string): Report => {
  const value = Json.parse(body)
  if (value !== undefined) return { ...readValue(firstOf(value), 0), body }
  const text = body.trim()
  if (!/^<(?:!doctype|html|\?xml|head|body)/i.test(text)) return { message: text, body: text }
  const title = /<title>([^<]{1,500})/i.exec(text.slice(0, 4096))?.[1]?.trim()
  return { body: title || text, isPage: true }
}

/** Real bodies nest three deep. A hostile one may nest a million deep. */
const maxDepth = 8

const readValue = (value: unknown, depth: number): Omit<Report, "body"> => {
  if (typeof value === "string") return readText(value, depth)
  if (!Json.isObject(value) || depth > maxDepth) return {}
  const messages = [
    value.error,
    value.message,
    value.detail,
    value.error_msg,
    value.error_message,
    firstOf(value.errors)
  ]
  const inner = readValue(messages.find(isReadable), depth + 1)
  return {
    message: inner.message,
    code: inner.code ?? toCode(value.code) ?? toCode(value.type),
    status: inner.status ?? [value.code, value.status, value.StatusCode, value.status_code].map(toStatus).find(Boolean),
    field: inner.field ?? findField(value),
    signinUrl: inner.signinUrl ?? toUrl(value.signin_url),
    promptTokens: inner.promptTokens ?? toCount(value.n_prompt_tokens),
    contextLength: inner.contextLength ?? toCount(value.n_ctx)
  }
}

const isReadable = (u: unknown): boolean => (typeof u === "string" ? u !== "" : Json.isObject(u))

/** Of several errors, the first one counts. */
const firstOf = (u: unknown): unknown => (Array.isArray(u) ? u[0] : u)

/** A message may contain the JSON of the engine below. After the beginning of a quotation, JSON is not the engine's. */
const readText = (text: string, depth: number): Omit<Report, "body"> => {
  const start = text.indexOf("{")
  const isQuoted = start >= ErrorRule.ownWords(text).length
  const nested = start === -1 || isQuoted || depth > maxDepth ? undefined : Json.parse(text.slice(start))
  const inner = Json.isObject(nested) ? readValue(nested, depth + 1) : {}
  return { ...inner, message: inner.message ?? text }
}

const toCode = (u: unknown): string | undefined => (typeof u === "string" ? u.slice(0, 100) : undefined)

const toStatus = (u: unknown): number | undefined => {
  const status = typeof u === "string" && /^\d{3}$/.test(u) ? Number(u) : u
  return typeof status === "number" && Number.isInteger(status) && status >= 400 && status < 600 ? status : undefined
}

const toUrl = (u: unknown): string | undefined =>
  typeof u === "string" && u !== "" && u.length <= maxDetail ? u : undefined

const toCount = (u: unknown): number | undefined =>
  typeof u === "number" && Number.isInteger(u) && u >= 0 ? u : undefined

/** OpenAI's `param`, or the `loc` of the first entry in FastAPI's list of faults. */
const findField = ({ detail, param }: Json.JsonObject): string | undefined => {
  if (typeof param === "string") return ErrorRule.parseField(param)
  const loc = Json.get(Array.isArray(detail) ? detail[0] : undefined, "loc")
  return Array.isArray(loc) ? ErrorRule.toField(loc) : undefined
}

/** The most of a server's text that an error carries, in characters. */
const maxDetail = 2000

/** Text of a server or of the platform, in the form in which an error may carry it. */
export const toDetail = (text: string): Redacted.Redacted | undefined => {
  const detail = text.trim().slice(0, maxDetail)
  return detail === "" ? undefined : Redacted.make(detail)
}

/** What is known of a request when it fails. */
export interface Context {
  /** The model of the request, if it named one. */
  readonly model?: string | undefined
  /** The endpoint of the request, such as `POST /api/chat`. */
  readonly endpoint?: string | undefined
  /** What to do if the server does not have the model, such as "run `ollama pull llama3.2`". */
  readonly missingModelHint?: string | undefined
  /** What an empty 403 means, if this server sends one where it does not accept the Host or Origin header. */
  readonly originHint?: string | undefined
  /** What error texts mean at this endpoint. They are tried before those that all endpoints have. */
  readonly errorRules?: ReadonlyArray<ErrorRule.ErrorRule> | undefined
}

export interface Failure extends Context {
  /** The HTTP status; absent for an error inside a stream or inside a success. */
  readonly status?: number | undefined
  readonly retryAfter?: Duration.Duration | undefined
  readonly report: Report
}

/** The reason that a failure stands for. */
export const toReason = (failure: Failure): Reasons.ProviderErrorReason => {
  const { report } = failure
  const known = findKnown(failure)
  const facts: Facts = {
    ...failure,
    known,
    isInside: failure.status === undefined,
    status: known?.status ?? failure.status ?? report.status,
    field: known?.field ?? report.field,
    texts: {
      description: report.isPage === true ? "an HTML page in place of an answer" : known?.description,
      detail: toDetail(report.message ?? report.body)
    }
  }
  return ofRefusal(facts) ?? ofKnown(facts) ?? ofStatus(facts)
}

/** The reason that an error body of a success stands for. */
export const ofBody = (body: string, context: Context): Reasons.ProviderErrorReason =>
  toReason({ ...context, report: readBody(body) })

interface Facts extends Failure {
  /** What the text is known to mean. */
  readonly known: ErrorRule.KnownError | undefined
  /** Whether the error is inside a stream or a success. */
  readonly isInside: boolean
  readonly field: string | undefined
  readonly texts: Pick<Reasons.ApiError, "description" | "detail">
}

/** What the text means at this endpoint, or else at every one. An endpoint's rules apply to all of the body. */
const findKnown = ({ errorRules = [], model, report }: Failure): ErrorRule.KnownError | undefined => {
  // The code is on a line of its own, so that no pattern matches across both.
  const text = `${ErrorRule.ownWords(report.message ?? "")}\n${report.code ?? ""}`
  const namesModel = model !== undefined
  return (
    ErrorRule.apply(errorRules, `${text}\n${ErrorRule.ownWords(report.body)}`, namesModel) ??
    ErrorRule.apply(KnownErrors.rules, text, namesModel)
  )
}

const ofRefusal = (facts: Facts): Reasons.ProviderErrorReason | undefined => {
  const { known, originHint, report, retryAfter, status, texts } = facts
  if (status === 401 || status === 403 || report.signinUrl !== undefined) {
    const isOrigin = status === 403 && report.body.trim() === "" && originHint !== undefined
    if (isOrigin) return new Reasons.AuthenticationError({ kind: "origin", description: originHint })
    const signinUrl = report.signinUrl === undefined ? undefined : Redacted.make(report.signinUrl)
    return new Reasons.AuthenticationError({ ...texts, signinUrl, kind: known?.refusal })
  }
  return status === 429 ? new Reasons.RateLimited({ ...texts, retryAfter }) : undefined
}

const ofKnown = (facts: Facts): Reasons.ProviderErrorReason | undefined => {
  const { field, isInside, known, model = "", report, status, texts } = facts
  switch (known?.kind) {
    case "model-missing": {
      const description = [known.description, facts.missingModelHint].filter(Boolean).join("; ")
      return new Reasons.ModelNotAvailable({ ...texts, description, model })
    }
    case "model-unloadable":
      return new Reasons.ModelNotAvailable({ ...texts, model })
    case "overflow":
      return new Reasons.ContextOverflow({ ...texts, ...findLengths(report) })
    case "unsupported":
      return known.feature === undefined
        ? ofEndpoint(facts)
        : new Reasons.Unsupported({ ...texts, feature: known.feature })
    case "engine":
      return isInside || status === 400 ? new Reasons.StreamError(texts) : undefined
    case "network":
      return new Reasons.NetworkError(texts)
    case "invalid":
      // Whatever the server takes its own fault for: the same request fails again.
      return status === undefined || status >= 500 ? new Reasons.InvalidRequest({ ...texts, field }) : undefined
  }
}

const ofStatus = (facts: Facts): Reasons.ProviderErrorReason => {
  const { field, isInside, retryAfter, status } = facts
  const { detail, description = detail && "the server's text is in the redacted `detail`" } = facts.texts
  const texts = { description, detail }
  if (status === undefined || (isInside && status >= 500)) return new Reasons.StreamError(texts)
  if ([400, 413, 422].includes(status)) return new Reasons.InvalidRequest({ ...texts, field })
  if ([404, 405, 501].includes(status)) return ofEndpoint({ ...facts, texts })
  return new Reasons.ApiError({ ...texts, status, retryAfter })
}

/** The server does not have the endpoint. */
const ofEndpoint = ({ endpoint = "this request", texts }: Facts): Reasons.Unsupported =>
  new Reasons.Unsupported({ ...texts, feature: endpoint, endpoint })

type Lengths = Pick<Report, "promptTokens" | "contextLength">

/** The lengths in tokens: from fields if the server has them, else from its sentence. */
const findLengths = (report: Report): Lengths => {
  const { contextLength, promptTokens } =
    report.promptTokens === undefined && report.contextLength === undefined
      ? readLengths(ErrorRule.ownWords(report.message ?? ""))
      : report
  // A prompt that is smaller than the context did not overflow it: the numbers mean something else.
  const isPlausible = promptTokens === undefined || contextLength === undefined || promptTokens >= contextLength
  return { promptTokens: isPlausible ? promptTokens : undefined, contextLength }
}

/** A number of tokens. `128k` is not one: it may stand for 128,000 or for 131,072. */
const count = String.raw`(\d{1,9})(?!\d|\.\d|[km]\b)`

const contextLengths: ReadonlyArray<RegExp> = [
  new RegExp(String.raw`\bn_ctx ?[:=] ?${count}`),
  ErrorRule.pattern`\bmax_(?:seq|model)_len\b[^\d\n.;]{0,10}${count}`,
  ErrorRule.pattern`(?:max_new_tokens\x60? must be <=|must have (?:less|fewer) than) ${count}`,
  ErrorRule.pattern`(?:context (?:length|size|window)|maximum (?:allowed|model) length)(?! by\b)[^\d\n.;]{0,30}${count}`,
  /(\d{1,9})(?= maximum\b)/i,
  // What comes after the comparison is the limit.
  ErrorRule.pattern`(?:exceeds?|than|>) (?:the )?(?:[a-z]{1,12} ){0,3}${count}`,
  /current batch size: (\d{1,9})\b/i,
  // Ours, as a gateway sends it.
  /\d tokens, (\d{1,9})(?= fit\))/
]

const requestedLengths =
  /\b\d{1,9}(?= (?:`?inputs?`? |prompt |total )?tokens\b)|(?<=\btokens \()\d{1,9}\b|\b\d{1,9}(?= > \d)|(?<=\b(?:n_keep: |tokens |length (?:of )?|given: |too long: ))\d{1,9}\b/gi

/** What is reserved for the completion, where the server names it beside the prompt. */
const reservedLength = /(?<=\+ )\d{1,9}\b|\b\d{1,9}(?= `?max_new_tokens)/i

const readLengths = (message: string): Lengths => {
  // Thousands may be separated.
  const text = message.replace(/(?<=\d),(?=\d{3}\b)/g, "")
  const match = contextLengths.map((pattern) => pattern.exec(text)).find((match) => match !== null)
  if (match == null) return {}
  const [sentence, number = ""] = match
  const position = match.index + sentence.length - number.length
  const contextLength = Number(number)
  // Servers that report the parts of a request report their sum as well.
  const requested = Array.from(text.matchAll(requestedLengths))
    .filter(({ index }) => index !== position)
    .map(([number]) => Number(number))
  const promptTokens = requested.length === 0 ? undefined : Math.max(...requested)
  if (promptTokens === undefined || promptTokens >= contextLength) return { promptTokens, contextLength }
  return { promptTokens: promptTokens + Number(reservedLength.exec(text)?.[0] ?? 0), contextLength }
}

/** Longer waits are of no use to a caller, and timers have a limit. */
const maxRetryAfter = Duration.days(1)

/** How long the server asks to wait: `Retry-After-Ms`, or `Retry-After` in seconds or as a date against the server's `Date`. */
export const retryAfter = (headers: { readonly [name: string]: string | undefined }): Duration.Duration | undefined => {
  const { date = "", "retry-after": value = "", "retry-after-ms": milliseconds = "" } = headers
  const wait = readNumber(milliseconds) ?? readNumber(value, 1000) ?? readDate(value, date)
  return wait === undefined ? undefined : Duration.min(Duration.millis(Math.round(wait)), maxRetryAfter)
}

const readNumber = (text: string, factor = 1): number | undefined =>
  /^\s{0,9}\d{1,15}(?:\.\d{0,15})?\s{0,9}$/.test(text) ? Number(text) * factor : undefined

const readDate = (text: string, now: string): number | undefined => {
  // Only HTTP dates: `Date.parse` takes many a text for a date, negative numbers among them.
  const wait = /^[a-z]{3,9},? /i.test(text) ? Date.parse(text) - Date.parse(now) : Number.NaN
  return Number.isNaN(wait) ? undefined : Math.max(0, wait)
}
