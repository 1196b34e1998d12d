/** The address of a server, from what users write. */
import { describe, expect, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { fromOllamaHost, parse } from "../../src/values/baseUrl.ts"

const ollama = { port: "11434", root: "/api", otherRoot: { path: "/v1", advice: "remove /v1" } }
const lmStudio = { port: "1234", root: "/v1" }

describe("an address", () => {
  const table: ReadonlyArray<readonly [input: string, address: string]> = [
    ["http://gpu-2:1234", "http://gpu-2:1234"],
    ["http://gpu-2:1234/", "http://gpu-2:1234"],
    ["http://gpu-2:1234//", "http://gpu-2:1234"],
    [" http://gpu-2:1234\n", "http://gpu-2:1234"],
    ["HTTP://GPU-2:1234", "http://gpu-2:1234"],
    ["http://gpu-2", "http://gpu-2"],
    ["http://gpu-2:80", "http://gpu-2"],
    ["https://models.example", "https://models.example"],
    ["https://models.example:8443", "https://models.example:8443"],
    ["https://models.example/lm/studio/", "https://models.example/lm/studio"],
    ["http://gpu-2:1234/v1", "http://gpu-2:1234"],
    ["http://gpu-2:1234/v1/", "http://gpu-2:1234"],
    ["https://models.example/lm/v1", "https://models.example/lm"],
    ["https://models.example/v10", "https://models.example/v10"],
    ["https://models.example/api", "https://models.example/api"],
    ["gpu-2", "http://gpu-2:1234"],
    ["gpu-2/v1", "http://gpu-2:1234"],
    ["gpu-2/prefix", "http://gpu-2:1234/prefix"],
    ["gpu-2:8080", "http://gpu-2:8080"],
    ["gpu-2:80", "http://gpu-2"],
    ["gpu-2:80/v1", "http://gpu-2"],
    ["localhost:1234", "http://localhost:1234"],
    ["1.2.3.4", "http://1.2.3.4:1234"],
    ["::1", "http://[::1]:1234"],
    ["fe80::80", "http://[fe80::80]:1234"],
    ["[::1]", "http://[::1]:1234"],
    ["[::1]:80", "http://[::1]"],
    ["[::1]:99/v1", "http://[::1]:99"],
    ["http://[::1]:99", "http://[::1]:99"],
    ["0.0.0.0", "http://127.0.0.1:1234"],
    ["http://0.0.0.0:99", "http://127.0.0.1:99"],
    ["[::]:99", "http://[::1]:99"]
  ]
  for (const [input, address] of table) {
    it(JSON.stringify(input), () => expect(Result.getOrUndefined(parse(input, lmStudio))).toBe(address))
  }

  it("with the routes of another protocol fails with advice", () => {
    expect(parse("http://h/v1/", ollama)).toEqual(Result.fail("remove /v1"))
    expect(Result.getOrUndefined(parse("http://h/api", ollama))).toBe("http://h")
  })
})

describe("an invalid address fails, and the error does not quote it", () => {
  const table = [
    "",
    " ",
    "http://",
    "ftp://secret",
    "file:///secret",
    "http://user:secret@host",
    "user:secret@host",
    "http://host?token=secret",
    "http://host/#secret",
    "http://host:99999",
    "http://se cret",
    "secret host",
    "://secret",
    "ht!tp:/secret",
    "http://secret!",
    "http://user:secret@host:1234",
    "http://secret@host"
  ]
  for (const input of table) {
    it(JSON.stringify(input), () => {
      const result = parse(input, lmStudio)
      if (Result.isSuccess(result)) return expect.fail(`accepted as ${result.success}`)
      expect(result.failure).not.toContain("secret")
      return undefined
    })
  }
})

describe("OLLAMA_HOST", () => {
  // What Ollama's own client connects to; addresses to listen on become ones to connect to.
  const table: ReadonlyArray<readonly [value: string, address: string]> = [
    ["", "http://127.0.0.1:11434"],
    ["1.2.3.4", "http://1.2.3.4:11434"],
    [":1234", "http://127.0.0.1:1234"],
    ["1.2.3.4:1234", "http://1.2.3.4:1234"],
    ["example.com", "http://example.com:11434"],
    ["example.com:1234", "http://example.com:1234"],
    ["example.com:80", "http://example.com"],
    [":0", "http://127.0.0.1:0"],
    [":66000", "http://127.0.0.1:11434"],
    [":-1", "http://127.0.0.1:11434"],
    ["example.com:port", "http://example.com:11434"],
    ["[::1]", "http://[::1]:11434"],
    ["[::]", "http://[::1]:11434"],
    ["::1", "http://[::1]:11434"],
    ["[::1]:1337", "http://[::1]:1337"],
    [" 1.2.3.4 ", "http://1.2.3.4:11434"],
    ['"1.2.3.4"', "http://1.2.3.4:11434"],
    [' " 1.2.3.4 " ', "http://1.2.3.4:11434"],
    ["'1.2.3.4'", "http://1.2.3.4:11434"],
    ["[1.2.3.4]", "http://1.2.3.4:11434"],
    ["[1.2.3.4]:99", "http://1.2.3.4:99"],
    ["HTTPS://x", "https://x:11434"],
    ["http://1.2.3.4", "http://1.2.3.4"],
    ["http://1.2.3.4:4321", "http://1.2.3.4:4321"],
    ["http://1.2.3.4:66000", "http://1.2.3.4"],
    ["https://1.2.3.4", "https://1.2.3.4"],
    ["https://1.2.3.4:4321", "https://1.2.3.4:4321"],
    ["https://example.com/ollama", "https://example.com/ollama"],
    ["example.com/ollama", "http://example.com:11434/ollama"],
    ["example.com:1234/ollama/", "http://example.com:1234/ollama"],
    ["ollama.com", "https://ollama.com"],
    ["0.0.0.0", "http://127.0.0.1:11434"],
    ["0.0.0.0:5000", "http://127.0.0.1:5000"]
  ]
  for (const [value, address] of table) {
    it(JSON.stringify(value), () => expect(Result.getOrUndefined(parse(fromOllamaHost(value), ollama))).toBe(address))
  }

  it.each(["user:secret@host", "http://user:secret@host", "user:secret@host:1234", "https://secret@host/"])(
    "with credentials (%s) is rejected, not read as another host",
    (value) => {
      const result = parse(fromOllamaHost(value), ollama)
      expect(Result.isFailure(result)).toBe(true)
      expect(JSON.stringify(result)).not.toContain("secret")
    }
  )

  it("of another scheme is an error, not another server", () => {
    expect(Result.isFailure(parse(fromOllamaHost("ftp://1.2.3.4"), ollama))).toBe(true)
  })
})
