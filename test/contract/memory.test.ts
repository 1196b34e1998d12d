import * as NodeServices from "@effect/platform-node/NodeServices"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as ChildProcess from "effect/process/ChildProcess"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { fileURLToPath } from "node:url"
import { FakeServer } from "../../src/testing/index.ts"
import { serverNames } from "../support/setups.ts"

const pieceLength = 16_000
const pieceCount = 12_500

/** 200 MB, one piece at a time. */
const pieces: Iterable<string> = {
  *[Symbol.iterator]() {
    const piece = "The sky is blue ".repeat(pieceLength / 16)
    for (let i = 0; i < pieceCount; i++) yield piece
  }
}

/** Without the second one, V8 keeps up to 16 MB of the first one free for what is young. */
const heap = ["--max-old-space-size=32", "--max-semi-space-size=1"]

/** What a process says that reads the answer. */
const readAnswer = Effect.fnUntraced(function* (provider: string, way: "stream" | "buffered") {
  const { url } = yield* FakeServer.make({ pieces })
  const program = fileURLToPath(new URL("../support/readAnswer.ts", import.meta.url))
  const child = yield* ChildProcess.make(process.execPath, [...heap, program, provider, way, url])
  return yield* Effect.all(
    {
      exit: Effect.result(child.exitCode),
      stdout: Stream.mkString(Stream.decodeText(child.stdout)),
      stderr: Stream.mkString(Stream.decodeText(child.stderr))
    },
    { concurrency: "unbounded" }
  )
}, Effect.provide(NodeServices.layer))

describe.each(serverNames)("an answer of 200 MB from %s in a heap of 32 MB", (provider) => {
  it.live(
    "is streamed to its end",
    () =>
      Effect.gen(function* () {
        const { exit, stderr, stdout } = yield* readAnswer(provider, "stream")
        expect({ stderr, exit }).toEqual({ stderr: "", exit: Result.succeed(0) })
        const { length, residentBytes } = JSON.parse(stdout)
        expect(length).toBe(pieceLength * pieceCount)
        // Bytes that wait outside of the heap count as well.
        expect(residentBytes).toBeLessThan(pieceLength * pieceCount)
      }),
    60_000
  )
})

// What shows that the bound is one, for each framing.
it.live.each(["Ollama", "llama-server"])(
  "an answer of 200 MB from %s does not fit into it where all of it is read first",
  (provider) =>
    Effect.gen(function* () {
      const { exit, stderr, stdout } = yield* readAnswer(provider, "buffered")
      expect(stdout).toBe("")
      expect(stderr).toContain("heap out of memory")
      expect(exit).not.toEqual(Result.succeed(0))
    }),
  60_000
)
