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

/** The address with scheme and path prefix, without a slash at its end; or what is wrong, without the input: it may contain a token. */
export const parse = (input: string, { otherRoot, port, root }: Defaults): Result.Result<string, string> => {
  const text = input.trim()
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(text)
  const candidate = hasScheme
    ? text
    : `http://${/^[0-9a-f:]*:[0-9a-f:]*:[0-9a-f:.]*$/i.test(text) ? `[${text}]` : text}`
  const url = URL.parse(candidate)
  // `http//desk` has the host "http".
  if (url === null || !/^(\[[0-9a-f:.]+\]|(?!https?$)[a-z0-9._-]+)$/i.test(url.hostname)) {
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
 * The address that `OLLAMA_HOST` means, as Ollama reads it (`envconfig.Host`): quotes and spaces around it are ignored; the default port
 * is 11434, with `http` 80 and with `https` 443; an invalid port is replaced by the default.
 */
export const fromOllamaHost = (value: string): string => {
  const text = value
    .trim()
    .replace(/^["']+|["']+$/g, "")
    .trim()
  if (text === "ollama.com") return "https://ollama.com:443"
  const [, given, authority = "", path = ""] = /^(?:(.*?):\/\/)?([^/]*)(.*)$/s.exec(text) ?? []
  const scheme = given ?? "http"
  // Credentials look like a host and a port. `parse` rejects them.
  if (authority.includes("@")) return `${scheme}://${authority}${path}`
  const [, hostPart = authority, portPart = ""] = /^(\[[^\]]*\]|[^:]*):([^:]*)$/.exec(authority) ?? []
  const host = hostPart.replace(/^\[|\]$/g, "") || "127.0.0.1"
  const isPort = /^\d+$/.test(portPart) && Number(portPart) <= 65535
  const port = isPort ? portPart : given === "https" ? "443" : given === "http" ? "80" : "11434"
  return `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}${path}`
}
