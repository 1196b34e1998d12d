/** Where a server is, out of what people write. */
import * as Result from "effect/Result"
import { InvalidRequest } from "../ProviderError.ts"

export interface Defaults {
  /** The port where neither a scheme nor a port is written. */
  readonly port: string
  /** The path that all routes begin with. People copy it along with the address. */
  readonly root: string
}

/** The address without its trailing slash, with scheme, and path prefix if any. Never quotes the input: it may hold a token. */
export const parse = (input: string, { port, root }: Defaults): Result.Result<string, InvalidRequest> => {
  const text = input.trim()
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(text)
  const candidate = hasScheme
    ? text
    : `http://${/^[0-9a-f:]*:[0-9a-f:]*:[0-9a-f:.]*$/i.test(text) ? `[${text}]` : text}`
  const url = URL.parse(candidate)
  if (url === null || url.hostname === "") return bad('Expected an address such as "http://127.0.0.1:1234"')
  if (url.protocol !== "http:" && url.protocol !== "https:") return bad("Expected an http or https address")
  if (url.username !== "" || url.password !== "")
    return bad("Expected no user name or password; use `token` or `headers`")
  if (url.search !== "" || url.hash !== "") return bad("Expected an address without `?` and `#`")
  if (!hasScheme && url.port === "" && !/:80(\/|$)/.test(candidate)) url.port = port
  // Addresses to listen on are none to connect to.
  if (url.hostname === "0.0.0.0") url.hostname = "127.0.0.1"
  if (url.hostname === "[::]") url.hostname = "[::1]"
  const path = url.pathname.replace(/\/+$/, "")
  return Result.succeed(url.origin + (path.endsWith(root) ? path.slice(0, -root.length) : path))
}

const bad = (description: string): Result.Result<never, InvalidRequest> =>
  Result.fail(new InvalidRequest({ field: "baseUrl", description }))

/**
 * The address that `OLLAMA_HOST` stands for, as Ollama itself reads it (`envconfig.Host`): quotes and spaces around it do not
 * count; without a scheme the port is 11434, with one it is the scheme's own; a port that is none is replaced by that.
 */
export const fromOllamaHost = (value: string): string => {
  const text = value
    .trim()
    .replace(/^["']+|["']+$/g, "")
    .trim()
  const [scheme, rest] = splitScheme(text)
  const defaultPort = scheme === undefined ? "11434" : scheme === "https" ? "443" : "80"
  const slash = rest.indexOf("/")
  const hostAndPort = slash === -1 ? rest : rest.slice(0, slash)
  const path = slash === -1 ? "" : rest.slice(slash)
  if (scheme === undefined && text === "ollama.com") return "https://ollama.com:443"
  const match = /^(\[[^\]]*\]|[^:]*):([^:]*)$/.exec(hostAndPort)
  const host = (match === null ? hostAndPort : (match[1] ?? "")) || "127.0.0.1"
  const port = match !== null && isPort(match[2] ?? "") ? match[2] : defaultPort
  const isBareIpv6 = host.includes(":") && !host.startsWith("[")
  return `${scheme ?? "http"}://${isBareIpv6 ? `[${host}]` : host}:${port}${path}`
}

const splitScheme = (text: string): [scheme: string | undefined, rest: string] => {
  const at = text.indexOf("://")
  return at === -1 ? [undefined, text] : [text.slice(0, at), text.slice(at + 3)]
}

const isPort = (text: string): boolean => /^\d+$/.test(text) && Number(text) <= 65535
