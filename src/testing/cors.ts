/** CORS: which pages of other origins may send requests, as Ollama decides it. */
import type * as Http from "node:http"
import type { Reply } from "./answer.ts"

/** Ollama's list. A browser does not send a request with any other header that a page sets. */
const allowedHeaders =
  "Authorization,Content-Type,User-Agent,Accept,X-Requested-With,OpenAI-Beta,X-Stainless-Lang," +
  "X-Stainless-Package-Version,X-Stainless-Os,X-Stainless-Arch,X-Stainless-Retry-Count,X-Stainless-Runtime," +
  "X-Stainless-Runtime-Version,X-Stainless-Async,X-Stainless-Helper-Method,X-Stainless-Poll-Helper," +
  "X-Stainless-Custom-Poll-Interval,X-Stainless-Timeout"

const preflightHeaders: Readonly<Record<string, string>> = {
  "access-control-allow-methods": "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS",
  "access-control-allow-headers": allowedHeaders,
  "access-control-max-age": "43200"
}

/** Whether a browser asks with this request if a page may send another one. */
export const isPreflight = ({ headers, method }: Http.IncomingMessage): boolean =>
  method === "OPTIONS" && headers.origin !== undefined && headers["access-control-request-method"] !== undefined

export type Decision =
  | { readonly reply: Reply }
  /** The script answers, and these headers are added. */
  | { readonly headers: Readonly<Record<string, string>> }

/** Refuses a request from an origin that is not allowed, and answers preflights from those that are. */
export const decide = (request: Http.IncomingMessage, origins: ReadonlyArray<string>): Decision => {
  const { origin } = request.headers
  if (origin === undefined || origin === `http://${request.headers.host}`) return { headers: {} }
  const all = origins.includes("*")
  if (!all && !origins.includes(origin)) return { reply: { status: 403 } }
  const allowed = { "access-control-allow-origin": all ? "*" : origin, ...(all ? {} : { vary: "Origin" }) }
  return isPreflight(request)
    ? { reply: { status: 204, headers: { ...allowed, ...preflightHeaders } } }
    : { headers: allowed }
}
