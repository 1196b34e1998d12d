/** A failure of the platform below HTTP as a `NetworkError`, whose message says what to do and quotes nothing. */
import * as Predicate from "effect/Predicate"
import { NetworkError } from "../ProviderError.ts"
import { toDetail } from "./errorReport.ts"

const refused = "is the server running?"
const unknownHost = "the host name is unknown"
const unreachable = "the host cannot be reached"
const closed = "the connection was closed"
const noAnswer = "the host does not answer"
const clientTimeout = "a timeout of the HTTP client itself passed"
const notHttps = "the server speaks http, not https; use http:// in baseUrl"
const notHttp = "the server does not speak HTTP; use https:// in baseUrl if it speaks https"
const untrusted = "the certificate of the server is not trusted"
const notReadable = "is the server running, and does it allow pages of this origin (CORS)?"
const invalidHeader = "a header has a value that HTTP does not allow"

/** Codes of Node and of undici, and those of Bun, in the order of their weight: an outer error may have a vaguer one. */
const sentences: ReadonlyMap<string, string> = new Map([
  ["ECONNREFUSED", refused],
  ["ConnectionRefused", refused],
  ["ENOTFOUND", unknownHost],
  ["EAI_AGAIN", "the host name cannot be looked up now"],
  ["EHOSTUNREACH", unreachable],
  ["ENETUNREACH", unreachable],
  ["EADDRNOTAVAIL", unreachable],
  ["ETIMEDOUT", noAnswer],
  ["UND_ERR_CONNECT_TIMEOUT", noAnswer],
  ["UND_ERR_HEADERS_TIMEOUT", clientTimeout],
  ["UND_ERR_BODY_TIMEOUT", clientTimeout],
  ["ERR_SSL_WRONG_VERSION_NUMBER", notHttps],
  ["ERR_SSL_PACKET_LENGTH_TOO_LONG", notHttps],
  ["EPROTO", "the TLS handshake failed; use http:// in baseUrl if the server speaks http"],
  ["HPE_INVALID_CONSTANT", notHttp],
  ["HPE_INVALID_VERSION", notHttp],
  ["CERT_HAS_EXPIRED", "the certificate of the server has expired"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "the certificate of the server is for another host name"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", untrusted],
  ["SELF_SIGNED_CERT_IN_CHAIN", untrusted],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", untrusted],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", untrusted],
  ["ERR_INVALID_CHAR", invalidHeader],
  ["ERR_HTTP_INVALID_HEADER_VALUE", invalidHeader],
  ["ECONNRESET", closed],
  ["EPIPE", closed],
  ["UND_ERR_SOCKET", closed],
  ["ConnectionClosed", closed]
])

/**
 * What browsers say, of which none has a code: Chromium, Safari and Firefox before the headers of an answer, Chromium and Firefox
 * after them. They do not tell a page whether there is no server or the page is not allowed to read what it answers.
 */
const browserSentences: ReadonlyMap<string, string> = new Map([
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
  const known = [...sentences.keys()].find((code) => codes.includes(code))
  const code = known ?? codes.find((code) => codeLike.test(code))
  const address = failures.map((failure) => readAddress(failure)).find((address) => address !== undefined)
  const sentence = known === undefined ? undefined : sentences.get(known)
  const place = [code, address].filter((part) => part !== undefined).join(" ")
  const said = failures.map((failure) => browserSentences.get(readMessage(failure))).find((text) => text !== undefined)
  const texts = failures.map(readMessage).filter((text) => text !== "" && !quotesHeader.test(text))
  return new NetworkError({
    description: sentence === undefined ? place || said : `${place} (${sentence})`,
    detail: toDetail([...new Set(texts)].join("\n"))
  })
}

/** Whether an established connection was closed by the other side, as opposed to one that could not be made. */
export const isClosed = ({ description }: NetworkError): boolean => description?.endsWith(`(${closed})`) === true

/** Whether nothing accepts connections at the address. */
export const isRefused = ({ description }: NetworkError): boolean => description?.endsWith(`(${refused})`) === true

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
  // undici gives no code to an answer that is not HTTP.
  if (/\bExpected HTTP\//.test(message)) return ["HPE_INVALID_CONSTANT", ...code]
  return [...code, ...(message.match(/\b[A-Z][A-Z_]{3,60}\b/g) ?? []).filter((word) => sentences.has(word))]
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
