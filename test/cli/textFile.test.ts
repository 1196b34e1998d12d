/** Files of text as parts of a prompt. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { describe, expect, it, vi } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Files from "../../src/cli/files.ts"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "../support/commandLine.ts"

const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "local-llm-"))

const write = (name: string, content: string | Uint8Array): string => {
  const path = Path.join(folder, name)
  Fs.writeFileSync(path, content)
  return path
}

const read = (path: string) => Effect.provide(Files.readText(path), NodeServices.layer)

describe("a file of text", () => {
  const lines = Arbitrary.array(
    Arbitrary.map(
      Arbitrary.all({
        kind: Arbitrary.schema(Schema.Literals(["text", "fence", "indented"])),
        text: Arbitrary.schema(Schema.String),
        length: Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9 })))
      }),
      ({ kind, length, text }) => (kind === "text" ? text : `${kind === "fence" ? "" : "  "}${"`".repeat(length)}`)
    ),
    { maxLength: 8 }
  )

  it.effect.prop("is between fences that no line of it is", { lines }, ({ lines }) =>
    Effect.gen(function* () {
      const text = Buffer.from(lines.join("\n"))
        .toString()
        .replaceAll("\0", "")
        .replace(/^\uFEFF+/, "")
      const path = write("notes.md", text)
      const [head, open = "", ...rest] = (yield* read(path)).split("\n")
      const fence = rest.pop()
      expect(head).toBe(`${path}:`)
      expect(open).toBe(`${fence}md`)
      expect(rest.join("\n").trimEnd()).toBe(text.trimEnd())
      expect(rest.some((line) => line.includes(String(fence)))).toBe(false)
    })
  )

  it.effect("loses its byte order mark, and may be empty", () =>
    Effect.gen(function* () {
      const marked = write("a", "\uFEFFone")
      expect(yield* read(marked)).toBe(`${marked}:\n\`\`\`\none\n\`\`\``)
      const empty = write("b.ts", "")
      expect(yield* read(empty)).toBe(`${empty}:\n\`\`\`ts\n\`\`\``)
    })
  )

  it.effect("has the name that it has below the current folder, or as it was given", () =>
    Effect.gen(function* () {
      expect(yield* read(Path.resolve("src/cli/main.ts"))).toMatch(/^src\/cli\/main\.ts:\n```ts\n#!/)
      const path = write("c", "")
      for (const name of [path, Path.relative("", path)]) expect((yield* read(name)).split(":")[0]).toBe(name)
      expect((yield* Effect.flip(read("."))).message).toBe(". cannot be read: it is a folder")
    })
  )

  it.effect("has a bound", () =>
    Effect.gen(function* () {
      const most = yield* read(write("most", "x".repeat(Files.maxTextBytes)))
      expect(most.length).toBeGreaterThan(Files.maxTextBytes)
      const path = write("more", "x".repeat(Files.maxTextBytes + 1))
      const { message } = yield* Effect.flip(read(path))
      expect(message).toBe(`${path} cannot be read: it is larger than 1 MiB; a part of it can come on standard input`)
    })
  )

  it.effect.each<[name: string, content: Uint8Array]>([
    ["picture.png", Buffer.from("iVBORw0KGgoAAAANSUhEUg==", "base64")],
    ["nul.txt", Buffer.from("a\0b")],
    ["utf-16.txt", Buffer.from("\uFEFFtext", "utf16le")],
    ["latin-1.txt", Buffer.from([0x63, 0x61, 0x66, 0xe9])]
  ])("is not %s", ([name, content]) =>
    Effect.gen(function* () {
      const { message } = yield* Effect.flip(read(write(name, content)))
      expect(message).toMatch(/cannot be read: it is no text in UTF-8; an image is sent with --image or \/image$/)
    })
  )

  it.effect("is there, and no folder, device or named pipe", () =>
    Effect.gen(function* () {
      const pipe = Path.join(folder, "pipe")
      execFileSync("sh", ["-c", 'mkfifo "$0"', pipe])
      for (const path of [pipe, "/dev/zero"]) {
        expect((yield* Effect.flip(read(path))).message).toBe(`${path} cannot be read: it is not a regular file`)
      }
      expect((yield* Effect.flip(read("/no/such"))).message).toBe("/no/such cannot be read: there is no such file")
      expect((yield* Effect.flip(read(folder))).message).toBe(`${folder} cannot be read: it is a folder`)
    })
  )
})

// Several programs start.
vi.setConfig({ testTimeout: 60_000 })

it.live("--file puts files before the words, and they may be the whole prompt", () =>
  Effect.gen(function* () {
    const server = yield* FakeServer.make({ text: "Yes" })
    const [a, b] = [write("a.ts", "const a = 1\n"), write("b.txt", "two")]
    const named = ["--provider", "ollama", "-m", "m", "--url", server.url]
    const prompts = [
      [[...named, "--file", a, "Compare", "--file", b], "piped"],
      [[...named, "--file", b], ""]
    ] as const
    for (const [args, input] of prompts) expect(yield* CommandLine.run(args, { input })).toMatchObject({ code: 0 })
    const command = CommandLine.shellCommand([...named, "Why?", "--file"]).replaceAll('"', '\\"')
    const shell = yield* CommandLine.runShell(`exec bash -c "${command} <(sleep 0.1; echo piped) < /dev/null"`)
    expect(shell).toMatchObject({ code: 0 })
    const endless = yield* CommandLine.runShell(`exec bash -c "${command} <(yes) < /dev/null"`)
    expect(endless.stderr).toContain("larger than 1 MiB")
    const { requests } = yield* server.state
    const blockOfB = `${b}:\n\`\`\`txt\ntwo\n\`\`\``
    expect(requests.map(({ body }) => body)).toMatchObject([
      { messages: [{ content: `${a}:\n\`\`\`ts\nconst a = 1\n\`\`\`\n\n${blockOfB}\n\nCompare\n\npiped` }] },
      { messages: [{ content: blockOfB }] },
      { messages: [{ content: expect.stringMatching(/^\/dev\/fd\/\d+:\n```\npiped\n```\n\nWhy\?$/) }] }
    ])
  })
)
