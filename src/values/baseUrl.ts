/** The address of a server, from what users write. */
import * as Result from "effect/Result"

export interface Defaults {
  /** The port of an address that has neither scheme nor port. */
  readonly port: string
  /** The path that all routes begin with. People often copy it together with the address. */
  readonly root: string
  /** The path that routes of another protocol begin with, and what to do about it. */
  readonly otherRoot?: { readonly path: string; readonly advice: string } | undefined
}

/**
 * The address with scheme, and path prefix if any, without a slash at its end; or what is wrong with it. Never quotes the input: it
 * may contain a token.
 */
export const parse = (input: string, { otherRoot, port, root }: Defaults): Result.Result<string, string> => {
  const text = input.trim()
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(text)
  const candidate = hasScheme
    ? text
    : `http://${/^[0-9a-f:]*:[0-9a-f:]*:[0-9a-f:.]*$/i.test(text) ? `[${text}]` : text}`
  const url = URL.parse(candidate)
  if (url === null || !/^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)$/i.test(url.hostname)) {
    return Result.fail('Expected an address such as "http://127.0.0.1:1234"')
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") return Result.fail("Expected an http or https address")
  if (url.username !== "" || url.password !== "") {
    return Result.fail("Expected no user name or password; use `token` or `headers`")
  }
  if (url.search !== "" || url.hash !== "") return Result.fail("Expected an address without `?` and `#`")
  if (!hasScheme && url.port === "" && !/:80(\/|$)/.test(candidate)) url.port = port
  // Servers listen on these addresses, but clients cannot connect to them everywhere.
  if (url.hostname === "0.0.0.0") url.hostname = "127.0.0.1"
  if (url.hostname === "[::]") url.hostname = "[::1]"
  const path = url.pathname.replace(/\/+$/, "")
  if (otherRoot !== undefined && path.endsWith(otherRoot.path)) return Result.fail(otherRoot.advice)
  return Result.succeed(url.origin + (path.endsWith(root) ? path.slice(0, -root.length) : path))
}

/**
 * The address that `OLLAMA_HOST` means, as Ollama itself reads it (`envconfig.Host`): quotes and spaces around it are ignored;
 * the default port is 11434, with `http` 80 and with `https` 443; an invalid port is replaced by the default.
 */
export const fromOllamaHost = (value: string): string => {
  const text = value
    .trim()
    .replace(/^["']+|["']+$/g, "")
    .trim()
  if (text === "ollama.com") return "https://ollama.com:443"
  const [scheme = "http", rest] = splitScheme(text)
  const defaultPort = text.startsWith("https://") ? "443" : text.startsWith("http://") ? "80" : "11434"
  const slash = rest.indexOf("/")
  const hostAndPort = slash === -1 ? rest : rest.slice(0, slash)
  const path = slash === -1 ? "" : rest.slice(slash)
  // Credentials look like a host and a port. `parse` rejects them.
  if (hostAndPort.includes("@")) return `${scheme}://${hostAndPort}${path}`
  const match = /^(\[[^\]]*\]|[^:]*):([^:]*)$/.exec(hostAndPort)
  const host = (match === null ? hostAndPort : (match[1] ?? "")).replace(/^\[|\]$/g, "") || "127.0.0.1"
  const port = match !== null && isPort(match[2] ?? "") ? match[2] : defaultPort
  return `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}${path}`
}

const splitScheme = (text: string): [scheme: string | undefined, rest: string] => {
  const at = text.indexOf("://")
  return at === -1 ? [undefined, text] : [text.slice(0, at), text.slice(at + 3)]
}

const isPort = (text: string): boolean => /^\d+$/.test(text) && Number(text) <= 65535
