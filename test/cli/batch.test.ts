/** Batches: killed at any time, each request has one result in the end. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as Files from "../support/batch.ts"
import * as CommandLine from "../support/commandLine.ts"

/** The larger one is run by hand: 10,000 requests, killed 20 times. */
const requests = Number(process.env["BATCH_REQUESTS"] ?? 200)
const kills = Number(process.env["BATCH_KILLS"] ?? 3)

describe("batch", () => {
  it.live(
    "each request has one result, wherever the process was killed",
    () =>
      Effect.gen(function* () {
        const { file, out } = Files.writeRequests(requests)
        const server = yield* FakeServer.make({ text: "An answer", delay: { between: "2 millis" } })
        const args = ["batch", file, "--out", out, "--url", server.url, "--provider", "ollama", "-m", "m"]
        const linesOf = () => (Fs.existsSync(out) ? Fs.readFileSync(out, "utf8").split("\n").length - 1 : 0)
        for (let kill = 1; kill <= kills; kill++) {
          const running = yield* CommandLine.start(args)
          const enough = (kill * requests) / (kills + 2)
          while (linesOf() < enough) yield* Effect.sleep("5 millis")
          yield* running.kill("SIGKILL")
          yield* running.result
        }
        expect(linesOf()).toBeLessThan(requests)
        // Half of a line, as a kill within a write leaves it.
        Fs.appendFileSync(out, '{"id":"batch_req_r')
        const { code, stdout } = yield* CommandLine.run([...args, "--json"])
        expect(code).toBe(0)
        expect(JSON.parse(stdout)).toEqual({ total: requests, done: requests, failed: 0, waiting: 0 })
        const ids = Files.readIds(out)
        expect(ids).toHaveLength(requests)
        expect(new Set(ids).size).toBe(requests)
      }),
    600_000
  )

  it.live("Ctrl-C closes the connections, and keeps the results", () =>
    Effect.gen(function* () {
      const { file, out } = Files.writeRequests(30)
      const server = yield* FakeServer.make({ text: "A long answer of several words", delay: { between: "30 millis" } })
      const args = ["batch", file, "--out", out, "--url", server.url, "--provider", "ollama", "-m", "m"]
      const running = yield* CommandLine.start(args)
      while (!Fs.existsSync(out) || Files.readIds(out).length < 3) yield* Effect.sleep("10 millis")
      yield* running.kill("SIGINT")
      expect((yield* running.result).code).toBe(130)
      const { code } = yield* CommandLine.run(args)
      expect(code).toBe(0)
      expect(new Set(Files.readIds(out)).size).toBe(30)
      expect(Files.readIds(out)).toHaveLength(30)
    })
  )

  it.live(
    "a second process does not write to the same output, and one that was killed does not keep others from it",
    () =>
      Effect.gen(function* () {
        const { file, out } = Files.writeRequests(2)
        const server = yield* FakeServer.make({ text: "A long answer", delay: { between: "10 minutes" } })
        const args = ["batch", file, "--out", out, "--url", server.url, "--provider", "ollama", "-m", "m"]
        const running = yield* CommandLine.start(args)
        yield* server.until(({ requests }) => requests.some(({ path }) => path === "/api/chat"))
        const second = yield* CommandLine.run(args)
        expect(second.code).toBe(1)
        expect(second.stderr).toMatch(/the process \d+ on \S+ writes to .*results\.jsonl/)
        yield* running.kill("SIGKILL")
        yield* running.result
        expect(Fs.existsSync(`${out}.lock`)).toBe(true)
        yield* server.setScript({ text: "Yes" })
        expect((yield* CommandLine.run(args)).code).toBe(0)
        expect(Files.readIds(out)).toHaveLength(2)
        expect(Fs.existsSync(`${out}.lock`)).toBe(false)
      })
  )

  it.live("failures are told, and sent again", () =>
    Effect.gen(function* () {
      const { file, out } = Files.writeRequests(3)
      let isBroken = true
      const server = yield* FakeServer.make(({ body }) =>
        isBroken && JSON.stringify(body).includes("Question 1")
          ? { status: 500, body: "secret prompt" }
          : { text: "Yes" }
      )
      const args = ["batch", file, "--out", out, "--url", server.url, "--provider", "ollama", "-m", "m"]
      const first = yield* CommandLine.run(args)
      expect(first).toMatchObject({ code: 1, stdout: "" })
      expect(first.stderr).toContain("3 results in")
      expect(first.stderr).toContain("1 request failed; --retry-failed sends them again")
      expect(Fs.readFileSync(out, "utf8")).not.toContain("secret")
      expect(Fs.readFileSync(out, "utf8")).not.toContain("127.0.0.1")
      isBroken = false
      const second = yield* CommandLine.run([...args, "--retry-failed"])
      expect(second.code).toBe(0)
      expect(Files.readIds(out)).toHaveLength(3)
    })
  )

  it.live.each([
    { lines: "{", error: "line 1: is not JSON" },
    { lines: undefined, error: "there is no such file" }
  ])("a file that is not a batch is an error: $error", ({ error, lines }) =>
    Effect.gen(function* () {
      const { file, out } = Files.writeRequests(1)
      if (lines === undefined) Fs.rmSync(file)
      else Fs.writeFileSync(file, lines)
      const server = yield* FakeServer.make({ text: "Yes" })
      const args = ["batch", file, "--out", out, "--url", server.url, "--provider", "ollama", "-m", "m"]
      const { code, stderr } = yield* CommandLine.run(args)
      expect(code).toBe(1)
      expect(stderr).toContain(error)
    })
  )
})
