/** Failures of the platform below HTTP, and what their errors may repeat of them. */
import { describe, expect, it } from "@effect/vitest"
import * as Redacted from "effect/Redacted"
import { networkError, unanswered } from "../../src/http/networkError.ts"
import type { NetworkError } from "../../src/ProviderError.ts"

const fail = (message: string, fields: object = {}): Error => Object.assign(new Error(message), fields)

const wrap = (cause: unknown): Error => new TypeError("fetch failed", { cause })

const refused = (address: string): Error =>
  fail(`connect ECONNREFUSED ${address}:11434`, { code: "ECONNREFUSED", syscall: "connect", address, port: 11434 })

const cyclic = fail("a")
cyclic.cause = fail("b", { cause: cyclic, code: "ECONNRESET" })

const endless = { message: "x", cause: undefined as unknown }
endless.cause = new AggregateError([endless, cyclic, endless])

const table: ReadonlyArray<readonly [what: string, cause: unknown, description: string | undefined]> = [
  ["a refused connection", refused("127.0.0.1"), "ECONNREFUSED 127.0.0.1:11434 (is the server running?)"],
  [
    "a refused connection of fetch",
    wrap(refused("127.0.0.1")),
    "ECONNREFUSED 127.0.0.1:11434 (is the server running?)"
  ],
  [
    "a host with two addresses",
    wrap(Object.assign(new AggregateError([refused("::1"), refused("127.0.0.1")]), { code: "ECONNREFUSED" })),
    "ECONNREFUSED [::1]:11434 (is the server running?)"
  ],
  [
    "an unknown host",
    fail("getaddrinfo ENOTFOUND nosuch", { code: "ENOTFOUND", hostname: "nosuch" }),
    "ENOTFOUND nosuch (the host name is unknown)"
  ],
  ["a code in the message alone", fail("read ECONNRESET"), "ECONNRESET (the connection was closed)"],
  [
    "a closed socket",
    wrap(fail("other side closed", { code: "UND_ERR_SOCKET" })),
    "UND_ERR_SOCKET (the connection was closed)"
  ],
  [
    "a refused connection below a closed socket",
    wrap(fail("other side closed", { code: "UND_ERR_SOCKET", cause: refused("127.0.0.1") })),
    "ECONNREFUSED 127.0.0.1:11434 (is the server running?)"
  ],
  [
    "https to an http port",
    wrap(fail("80AB:error:0A00010B:SSL routines:wrong version number", { code: "ERR_SSL_WRONG_VERSION_NUMBER" })),
    "ERR_SSL_WRONG_VERSION_NUMBER (the server speaks http, not https; use http:// in baseUrl)"
  ],
  [
    "https to an http port, as OpenSSL puts it",
    fail("write EPROTO 80AB:error:0A00010B:SSL routines:ssl3_get_record:wrong version number", { code: "EPROTO" }),
    "ERR_SSL_WRONG_VERSION_NUMBER (the server speaks http, not https; use http:// in baseUrl)"
  ],
  [
    "http to an https port",
    fail("Parse Error: Expected HTTP/", { code: "HPE_INVALID_CONSTANT" }),
    "HPE_INVALID_CONSTANT (the server does not speak HTTP; use https:// in baseUrl if it speaks https)"
  ],
  [
    "no answer that a page may read",
    new TypeError("Failed to fetch"),
    "is the server running, and does it allow pages of this origin (CORS)?"
  ],
  ["an answer that breaks in a browser", new TypeError("network error"), "the connection was closed"],
  ["an unknown code", fail("boom", { code: "EWHATEVER" }), "EWHATEVER"],
  ["something that is no code", fail("boom", { code: "my secret" }), undefined],
  ["an address with credentials", fail("boom", { address: "user:pass@host" }), undefined],
  [
    "an answer that is not HTTP, without a code",
    fail("Response does not match the HTTP/1.1 protocol (Expected HTTP/, RTSP/ or ICE/)"),
    "HPE_INVALID_CONSTANT (the server does not speak HTTP; use https:// in baseUrl if it speaks https)"
  ],
  ["a host name with credentials", fail("boom", { hostname: "user:pass@host" }), undefined],
  ["a cycle of causes", cyclic, "ECONNRESET (the connection was closed)"],
  ["a cycle of combined errors", endless, "ECONNRESET (the connection was closed)"],
  ["no error at all", "boom", undefined],
  ["nothing", undefined, undefined]
]

describe("the description of a network error", () => {
  for (const [what, cause, description] of table) {
    it(what, () => expect(networkError(cause).description).toBe(description))
  }

  it("is found in long chains in bounded time", () => {
    let cause = fail("end", { code: "ECONNRESET" })
    for (let i = 0; i < 100_000; i++) cause = fail("x", { cause })
    expect(networkError(cause).description).toBeUndefined()
    expect(networkError(new AggregateError(Array.from({ length: 100_000 }, () => cause))).description).toBeUndefined()
  })
})

const reset = fail("read ECONNRESET", { code: "ECONNRESET" })
const socketError = (socket?: object): Error => fail("other side closed", { code: "UND_ERR_SOCKET", socket })

const kinds: ReadonlyArray<readonly [cause: unknown, kind: NetworkError["kind"], isRetryable: boolean]> = [
  [refused("127.0.0.1"), "refused", true],
  [fail("x", { code: "ConnectionRefused" }), "refused", true],
  [fail("x", { code: "ENOTFOUND", hostname: "nosuch" }), "unknown-host", true],
  [fail("x", { code: "EAI_AGAIN" }), "unknown-host", true],
  [fail("x", { code: "EHOSTUNREACH" }), "unreachable", true],
  [fail("x", { code: "ETIMEDOUT" }), "timeout", true],
  [fail("x", { code: "UND_ERR_BODY_TIMEOUT" }), "timeout", true],
  [fail("x", { code: "CERT_HAS_EXPIRED" }), "tls", false],
  [fail("write EPROTO 80AB:error:0A00010B:SSL routines:wrong version number", { code: "EPROTO" }), "tls", false],
  [fail("Response does not match the HTTP/1.1 protocol (Expected HTTP/, RTSP/ or ICE/)"), "not-http", false],
  [fail("false == true", { code: "ERR_ASSERTION" }), "not-http", false],
  [fail("x", { code: "ERR_INVALID_CHAR" }), "header", false],
  [reset, "reset", true],
  [fail("x", { code: "EPIPE" }), "reset", true],
  [socketError(), "closed", true],
  [new TypeError("network error"), "closed", true],
  [new TypeError("Failed to fetch"), undefined, true],
  [fail("x", { code: "EWHATEVER" }), undefined, true],
  [undefined, undefined, true]
]

describe("the kind of a network error", () => {
  for (const [cause, kind, isRetryable] of kinds) {
    it(`${kind}: ${networkError(cause).message}`, () => {
      for (const error of [networkError(cause), networkError(wrap(cause))]) {
        expect(error).toMatchObject({ kind, isRetryable })
      }
    })
  }

  it("is a connection that was closed while it was idle if something was read from it before", () => {
    const table: ReadonlyArray<readonly [cause: unknown, kind: NetworkError["kind"]]> = [
      [socketError({ bytesRead: 300 }), "closed-while-idle"],
      [wrap(socketError({ bytesRead: 300 })), "closed-while-idle"],
      [socketError({ bytesRead: 0 }), "closed"],
      [socketError({ bytesRead: "300" }), "closed"],
      [socketError(), "closed"],
      [reset, "reset"],
      [fail("x", { code: "ECONNREFUSED", socket: { bytesRead: 1 } }), "refused"]
    ]
    for (const [cause, kind] of table) {
      expect(unanswered(cause)).toMatchObject({ kind, description: networkError(cause).description })
    }
  })
})

describe("the text of the platform", () => {
  const detail = (cause: unknown): string | undefined => {
    const { detail } = networkError(cause)
    return detail === undefined ? undefined : Redacted.value(detail)
  }

  it("is the detail, from the outermost error to the innermost", () => {
    expect(detail(wrap(fail("other side closed")))).toBe("fetch failed\nother side closed")
    expect(detail({ code: "ECONNRESET" })).toBeUndefined()
  })

  it("is left out if it quotes a header", () => {
    const error = fail('Headers.append: "Bearer SECRET\n" is an invalid header value.', { code: "ERR_INVALID_CHAR" })
    expect(networkError(wrap(error)).message).toBe(
      "the connection failed: ERR_INVALID_CHAR (a header has a value that HTTP does not allow)"
    )
    expect(detail(wrap(error))).toBe("fetch failed")
  })
})
