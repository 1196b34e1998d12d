/**
 * What keeps web pages of others away from a gateway on the same machine or network. A page may send requests to any address, and with
 * DNS rebinding it may also read the responses, from an address that its own name resolves to.
 */
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Result from "effect/Result"
import { Refusal } from "./access.ts"

export interface Names {
  /** Names in the header `Host`, besides addresses and `localhost`. */
  readonly hosts: () => ReadonlyArray<string>
  /** Origins of pages, besides the gateway's own. */
  readonly origins: () => ReadonlyArray<string>
}

/** The headers that the response has to have, or why there is none for this page. */
export const check = (
  { headers }: Pick<HttpServerRequest, "headers">,
  { hosts, origins }: Names
): Result.Result<Readonly<Record<string, string>>, Refusal> => {
  const { host, origin } = headers
  if (host !== undefined && !isAddress(host) && !includes(hosts(), hostnameOf(host))) {
    return Result.fail(new Refusal({ status: 403, message: "The gateway does not have the name in the header Host" }))
  }
  if (origin === undefined || origin.replace(/^https?:\/\//, "") === host) return Result.succeed({})
  if (!includes(origins(), origin)) {
    return Result.fail(new Refusal({ status: 403, message: "The gateway is not open to pages of this origin" }))
  }
  return Result.succeed({
    "access-control-allow-origin": origin,
    "access-control-expose-headers": "retry-after",
    vary: "origin"
  })
}

/** The response to a preflight, with which a browser asks whether a page may send a request. */
export const preflight = ({ headers }: Pick<HttpServerRequest, "headers">): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.empty({
    headers: {
      "access-control-allow-methods": "GET, HEAD, POST, DELETE",
      "access-control-allow-headers": headers["access-control-request-headers"] ?? "*",
      "access-control-max-age": "600",
      ...(headers["access-control-request-private-network"] === "true" && {
        "access-control-allow-private-network": "true"
      })
    }
  })

const hostnameOf = (host: string): string => host.replace(/:\d*$/, "").toLowerCase()

/** Names that no one else can make resolve to this machine. */
const isAddress = (host: string): boolean =>
  /^(?:\[[\da-f:.]+\]|\d+\.\d+\.\d+\.\d+|(?:[\w-]+\.)*localhost\.?)$/.test(hostnameOf(host))

/** An entry that ends with `*` is a beginning. */
const includes = (entries: ReadonlyArray<string>, value: string): boolean =>
  entries.some((entry) => {
    const expected = entry.toLowerCase()
    return expected.endsWith("*")
      ? value.toLowerCase().startsWith(expected.slice(0, -1))
      : value.toLowerCase() === expected
  })
