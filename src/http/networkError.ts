/** A failure of the platform below HTTP as a `NetworkError`, whose message says what to do and quotes nothing. */
import * as Predicate from "effect/Predicate"
import { NetworkError } from "../ProviderError.ts"
import { toDetail } from "../protocol/errors.ts"

type Meaning = readonly [kind: Kind | undefined, sentence: string]
type Kind = NonNullable<NetworkError["kind"]>

const refused: Meaning = ["refused", "is the server running?"]
const unreachable: Meaning = ["unreachable", "the host cannot be reached"]
const noAnswer: Meaning = ["timeout", "the host does not answer"]
const clientTimeout: Meaning = ["timeout", "a timeout of the HTTP client itself passed"]
const notHttps: Meaning = ["tls", "the server speaks http, not https; use http:// in baseUrl"]
const untrusted: Meaning = ["tls", "the certificate of the server is not trusted"]
const notHttp: Meaning = ["not-http", "the server does not speak HTTP; use https:// in baseUrl if it speaks https"]
const invalidHeader: Meaning = ["header", "a header has a value that HTTP does not allow"]
const reset: Meaning = ["reset", "the connection was closed"]
const closed: Meaning = ["closed", "the connection was closed"]
const notReadable: Meaning = [undefined, "is the server running, and does it allow pages of this origin (CORS)?"]

/** Codes of Node and of undici, and those of Bun, in the order of their weight: an outer error may have a vaguer one. */
const meanings: ReadonlyMap<string, Meaning> = new Map([
  ["ECONNREFUSED", refused],
  ["ConnectionRefused", refused],
  ["ENOTFOUND", ["unknown-host", "the host name is unknown"]],
  ["EAI_AGAIN", ["unknown-host", "the host name cannot be looked up now"]],
  ["EHOSTUNREACH", unreachable],
  ["ENETUNREACH", unreachable],
  ["EADDRNOTAVAIL", unreachable],
  ["ETIMEDOUT", noAnswer],
  ["UND_ERR_CONNECT_TIMEOUT", noAnswer],
  ["UND_ERR_HEADERS_TIMEOUT", clientTimeout],
  ["UND_ERR_BODY_TIMEOUT", clientTimeout],
  ["ERR_SSL_WRONG_VERSION_NUMBER", notHttps],
  ["ERR_SSL_PACKET_LENGTH_TOO_LONG", notHttps],
  ["EPROTO", ["tls", "the TLS handshake failed; use http:// in baseUrl if the server speaks http"]],
  ["HPE_INVALID_CONSTANT", notHttp],
  ["HPE_INVALID_VERSION", notHttp],
  ["CERT_HAS_EXPIRED", ["tls", "the certificate of the server has expired"]],
  ["ERR_TLS_CERT_ALTNAME_INVALID", ["tls", "the certificate of the server is for another host name"]],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", untrusted],
  ["SELF_SIGNED_CERT_IN_CHAIN", untrusted],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", untrusted],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", untrusted],
  ["ERR_INVALID_CHAR", invalidHeader],
  ["ERR_HTTP_INVALID_HEADER_VALUE", invalidHeader],
  ["ECONNRESET", reset],
  ["EPIPE", reset],
  ["UND_ERR_SOCKET", closed],
  ["ConnectionClosed", closed]
] satisfies ReadonlyArray<readonly [string, Meaning]>)

/**
 * What browsers say, of which none has a code: Chromium, Safari and Firefox before the headers of a response, Chromium and Firefox
 * after them. They do not tell a page whether there is no server or the page is not allowed to read what it answers.
 */
const browserMeanings: ReadonlyMap<string, Meaning> = new Map([
  ["Failed to fetch", notReadable],
  ["Load failed", notReadable],
  ["NetworkError when attempting to fetch resource.", notReadable],
  ["network error", closed],
  ["Error in input stream", closed]
])

/** Codes that may appear in a message although no sentence is known for them. */
const codeLike = /^(?:E[A-Z][A-Z0-9]{1,30}|ERR_[A-Z0-9_]{1,60}|UND_ERR_[A-Z_]{1,60}|HPE_[A-Z_]{1,60})$/

export const networkError = (cause: unknown): NetworkError => {
  const failures = flatten(cause)
  const codes = failures.flatMap(readCodes)
  const known = [...meanings.keys()].find((code) => codes.includes(code))
  const code = known ?? codes.find((code) => codeLike.test(code))
  const address = failures.map((failure) => readAddress(failure)).find((address) => address !== undefined)
  const place = [code, address].filter((part) => part !== undefined).join(" ")
  const named = failures.map((failure) => browserMeanings.get(readMessage(failure))).find((it) => it !== undefined)
  const [kind, sentence] = (known === undefined ? named : meanings.get(known)) ?? [undefined, undefined]
  const texts = failures.map(readMessage).filter((text) => text !== "" && !quotesHeader.test(text))
  return new NetworkError({
    kind,
    description: known === undefined ? place || sentence : `${place} (${sentence})`,
    detail: toDetail([...new Set(texts)].join("\n"))
  })
}

/**
 * The failure of a request that got no response. A connection that a response came through before may have been closed while nobody
 * used it, and the server did not read the request then.
 */
export const unanswered = (cause: unknown): NetworkError => {
  const error = networkError(cause)
  const isUsed = flatten(cause).some(
    (failure) =>
      Predicate.hasProperty(failure, "socket") &&
      Predicate.hasProperty(failure.socket, "bytesRead") &&
      Predicate.isNumber(failure.socket.bytesRead) &&
      failure.socket.bytesRead > 0
  )
  return isUsed && isClosed(error) ? new NetworkError({ ...error, kind: "closed-while-idle" }) : error
}

/** Whether an established connection was closed by the other side, as opposed to one that could not be made. */
export const isClosed = ({ kind }: NetworkError): boolean =>
  kind === "reset" || kind === "closed" || kind === "closed-while-idle"

/**
 * The status of an interim response, such as `100 Continue`, that undici gives up on, and so does the `fetch` of Node. Only its
 * messages tell: the code is that of a closed connection.
 */
export const interimStatus = (cause: unknown): number | undefined =>
  flatten(cause)
    .map((failure) => interimStatuses.get(readMessage(failure)))
    .find((status) => status !== undefined)

const interimStatuses: ReadonlyMap<string, number> = new Map([
  ["bad response", 100],
  ["bad upgrade", 101]
])

/** An error, its causes and the errors it combines, each once. */
const flatten = (cause: unknown): ReadonlyArray<object> => {
  const found = new Set<object>()
  const add = (u: unknown): void => {
    if (Predicate.isObject(u) && found.size < maxFailures) found.add(u)
  }
  add(cause)
  // A set iterates over what is added on the way.
  for (const failure of found) {
    if (Predicate.hasProperty(failure, "errors") && Array.isArray(failure.errors)) failure.errors.forEach(add)
    if (Predicate.hasProperty(failure, "cause")) add(failure.cause)
  }
  return [...found]
}

const maxFailures = 32

const readMessage = (failure: object): string =>
  Predicate.hasProperty(failure, "message") && typeof failure.message === "string" ? failure.message.slice(0, 2000) : ""

/** `fetch` repeats the value of a header that it refuses, and that may be the token. */
const quotesHeader = /header|bearer|authorization/i

/** The code of an error, or known ones out of its message. OpenSSL has its own code in the message only. */
const readCodes = (failure: object): ReadonlyArray<string> => {
  const message = readMessage(failure)
  const code = Predicate.hasProperty(failure, "code") && typeof failure.code === "string" ? [failure.code] : []
  if (/\bwrong version number\b|\bpacket length too long\b/i.test(message))
    return ["ERR_SSL_WRONG_VERSION_NUMBER", ...code]
  // undici gives no code to a response that is not HTTP, and its own assertions fail on some.
  if (/\bExpected HTTP\//.test(message) || code.includes("ERR_ASSERTION")) return ["HPE_INVALID_CONSTANT", ...code]
  return [...code, ...(message.match(/\b[A-Z][A-Z_]{3,60}\b/g) ?? []).filter((word) => meanings.has(word))]
}

/** Host and port of a connection that could not be made. The characters allow no credentials. */
const readAddress = (failure: object): string | undefined => {
  if (Predicate.hasProperty(failure, "address") && typeof failure.address === "string") {
    if (!/^[\da-f.:]{2,45}$/i.test(failure.address)) return undefined
    const host = failure.address.includes(":") ? `[${failure.address}]` : failure.address
    return Predicate.hasProperty(failure, "port") && Number.isInteger(failure.port) ? `${host}:${failure.port}` : host
  }
  if (Predicate.hasProperty(failure, "hostname") && typeof failure.hostname === "string") {
    return /^[a-z\d][a-z\d.-]{0,252}$/i.test(failure.hostname) ? failure.hostname : undefined
  }
  return undefined
}
