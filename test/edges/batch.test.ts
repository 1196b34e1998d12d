/** Batches: each request has exactly one result, wherever a run was cut. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Batch from "../../src/Batch.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import * as Provider from "../../src/Provider.ts"
import {
  ApiError,
  ModelNotAvailable,
  NetworkError,
  ProviderError,
  RateLimited,
  StreamTruncated,
  Timeout
} from "../../src/ProviderError.ts"
import * as Fingerprints from "../../src/values/fingerprints.ts"

const makeFiles = () => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "batch-"))
  return { input: Path.join(folder, "requests.jsonl"), output: Path.join(folder, "results.jsonl") }
}

const line = (id: string, more: object = {}): string =>
  JSON.stringify({
    custom_id: id,
    method: "POST",
    url: "/v1/chat/completions",
    body: { model: "m", messages: [{ role: "user", content: id }] },
    ...more
  })

const write = (path: string, lines: ReadonlyArray<string>): void => Fs.writeFileSync(path, `${lines.join("\n")}\n`)

const read = (path: string): ReadonlyArray<Batch.Result> =>
  Fs.readFileSync(path, "utf8")
    .split("\n")
    .slice(0, -1)
    .map((text) => Schema.decodeUnknownSync(Schema.fromJsonString(Batch.Result))(text))

/** Repeats the prompt. Prompts that begin with "bad" fail while `isBad`. */
const makeEcho = Effect.gen(function* () {
  const echo = { isBad: true, running: 0, most: 0, sent: 0 }
  const provider = yield* MockProvider.make(({ messages = [] }) => {
    const text = String(messages[0]?.content)
    return text.startsWith("bad") && echo.isBad ? [MockProvider.fail(new ModelNotAvailable({ model: "m" }))] : [text]
  })
  const counting = Provider.make({
    ...provider,
    stream: (request) =>
      Stream.suspend(() => {
        echo.sent++
        echo.running++
        echo.most = Math.max(echo.most, echo.running)
        return Stream.unwrap(Effect.as(Effect.yieldNow, provider.stream(request)))
      }).pipe(Stream.ensuring(Effect.sync(() => echo.running--)))
  })
  return { echo, provider: counting }
})

const run = (provider: Provider.Provider, options: Batch.Options) =>
  Batch.run(options).pipe(Effect.provideService(Provider.Provider, provider), Effect.provide(NodeServices.layer))

/** Files take real time, which the `TestClock` has not. */
const realTime = Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 5)))

const ids = (count: number): ReadonlyArray<string> => Array.from({ length: count }, (_, index) => `request ${index}`)

const contentOf = ({ response }: Batch.Result): unknown => {
  const [choice] = response.body["choices"] as ReadonlyArray<{ readonly message: { readonly content: string } }>
  return choice?.message.content
}

describe("run", () => {
  it.effect("each request has one result", () =>
    Effect.gen(function* () {
      const { echo, provider } = yield* makeEcho
      const files = makeFiles()
      write(
        files.input,
        ids(50).map((id) => line(id))
      )
      const progress = yield* run(provider, { ...files, concurrency: 3 })
      expect(progress).toEqual({ total: 50, done: 50, failed: 0, waiting: 0 })
      const results = read(files.output)
      expect(results.map(({ custom_id }) => custom_id).toSorted()).toEqual(ids(50).toSorted())
      for (const result of results) expect(contentOf(result)).toBe(result.custom_id)
      expect(echo.most).toBe(3)
    })
  )

  it.effect("the output is cut at any byte: the next run does what is missing", () =>
    Effect.gen(function* () {
      const { echo, provider } = yield* makeEcho
      const files = makeFiles()
      write(
        files.input,
        [...ids(12), "bad 1", "bad 2"].map((id) => line(id))
      )
      yield* run(provider, files)
      const whole = Fs.readFileSync(files.output)
      for (const cut of Array.from({ length: 31 }, (_, step) => Math.round((step * whole.length) / 30))) {
        Fs.writeFileSync(files.output, whole.subarray(0, cut))
        const complete = whole.subarray(0, cut).filter((byte) => byte === 10).length
        echo.sent = 0
        const progress = yield* run(provider, files)
        expect(echo.sent).toBe(14 - complete)
        expect(progress).toEqual({ total: 14, done: 14, failed: 2, waiting: 0 })
        expect(new Set(read(files.output).map(({ custom_id }) => custom_id)).size).toBe(14)
        expect(read(files.output)).toHaveLength(14)
      }
    })
  )

  it.effect("a run that is interrupted leaves whole lines", () =>
    Effect.gen(function* () {
      const files = makeFiles()
      write(
        files.input,
        ids(20).map((id) => line(id))
      )
      const slow = yield* MockProvider.make(["x", MockProvider.wait("1 second")])
      const fiber = yield* Effect.forkChild(run(slow, { ...files, concurrency: 4 }))
      yield* TestClock.adjust("50 millis")
      for (let second = 0; second < 3; second++) {
        yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 50)))
        yield* TestClock.adjust("1 second")
      }
      yield* Fiber.interrupt(fiber)
      const before = read(files.output).length
      expect(before).toBeLessThan(20)
      const { provider } = yield* makeEcho
      expect(yield* run(provider, files)).toMatchObject({ done: 20, failed: 0 })
      expect(new Set(read(files.output).map(({ custom_id }) => custom_id)).size).toBe(20)
      expect(read(files.output)).toHaveLength(20)
    })
  )

  it.effect("failures are results, which are sent again when that is asked for", () =>
    Effect.gen(function* () {
      const { echo, provider } = yield* makeEcho
      const files = makeFiles()
      write(
        files.input,
        ["a", "bad", "c"].map((id) => line(id)).concat(line("d", { body: { model: "m", messages: 1 } }))
      )
      expect(yield* run(provider, files)).toMatchObject({ done: 4, failed: 2 })
      const failed = new Map(read(files.output).map((result) => [result.custom_id, result]))
      expect(failed.get("bad")).toMatchObject({ response: { status_code: 404 }, error: { code: "ModelNotAvailable" } })
      expect(failed.get("d")).toMatchObject({ response: { status_code: 400 }, error: { code: "InvalidRequest" } })
      echo.isBad = false
      echo.sent = 0
      expect(yield* run(provider, files)).toMatchObject({ done: 4, failed: 2 })
      expect(echo.sent).toBe(0)
      expect(yield* run(provider, { ...files, retryFailed: true })).toMatchObject({ done: 4, failed: 1 })
      expect(echo.sent).toBe(1)
      expect(read(files.output)).toHaveLength(4)
    })
  )

  it.effect("texts, embeddings and defaults", () =>
    Effect.gen(function* () {
      const files = makeFiles()
      write(files.input, [
        "\uFEFF" + line("text", { url: "/v1/completions", body: { model: "m", prompt: "Hi" } }),
        "",
        line("vector", { url: "/v1/embeddings", body: { model: "m", input: ["one", "two"] } }),
        JSON.stringify({ custom_id: "short", body: { messages: [{ role: "user", content: "Hi" }] } })
      ])
      const provider = yield* MockProvider.make(["yes"], { defaults: { model: "m" } })
      expect(yield* run(provider, files)).toMatchObject({ total: 3, done: 3, failed: 0 })
      const bodies = Object.fromEntries(read(files.output).map(({ custom_id, response }) => [custom_id, response.body]))
      expect(bodies["text"]).toMatchObject({ choices: [{ text: "yes" }] })
      expect(bodies["vector"]).toMatchObject({ data: [{ index: 0 }, { index: 1 }] })
      expect(bodies["short"]).toMatchObject({ choices: [{ message: { content: "yes" } }] })
    })
  )

  it.effect.each([
    { lines: [line("a"), line("a")], error: /line 2: an earlier request has the same custom_id/ },
    { lines: [line("a"), "{"], error: /line 2: is not JSON/ },
    { lines: [line("a"), "[]"], error: /line 2/ },
    { lines: [line("a", { custom_id: "" })], error: /line 1: custom_id/ },
    { lines: [line("a", { url: "/v1/images" })], error: /line 1: url/ },
    { lines: [line("a", { body: "no" })], error: /line 1: body/ }
  ])("a line that is not a request is found before anything is sent: $error", ({ error, lines }) =>
    Effect.gen(function* () {
      const { echo, provider } = yield* makeEcho
      const files = makeFiles()
      write(files.input, lines)
      const failure = yield* Effect.flip(run(provider, files))
      expect(failure.message).toMatch(error)
      expect(echo.sent).toBe(0)
      expect(Fs.existsSync(files.output)).toBe(false)
    })
  )

  it.effect.each([
    { lines: ["a,b,c"], error: /line 1: is not JSON/ },
    { lines: ['{"custom_id":"a"}'], error: /line 1/ },
    {
      lines: ['{"id":"1","custom_id":"z","response":{"status_code":200,"request_id":"1","body":{}},"error":null}'],
      error: /line 1: it is the result of a request that the input does not have/
    }
  ])("a file of something else is left as it is: $error", ({ error, lines }) =>
    Effect.gen(function* () {
      const { echo, provider } = yield* makeEcho
      const files = makeFiles()
      write(files.input, [line("a")])
      write(files.output, lines)
      expect((yield* Effect.flip(run(provider, { ...files, retryFailed: true }))).message).toMatch(error)
      expect(echo.sent).toBe(0)
      expect(Fs.readFileSync(files.output, "utf8")).toBe(`${lines.join("\n")}\n`)
    })
  )

  it.effect.each(["a note without a last newline", '{"id": "batch_1", "custom_id"', line("a")])(
    "a last line of something else is left as it is: %s",
    (text) =>
      Effect.gen(function* () {
        const { provider } = yield* makeEcho
        const files = makeFiles()
        write(files.input, [line("a")])
        Fs.writeFileSync(files.output, text)
        const failure = yield* Effect.flip(run(provider, files))
        expect(failure.message).toContain("its last line is neither a result nor the beginning of one")
        expect(Fs.readFileSync(files.output, "utf8")).toBe(text)
      })
  )

  it.effect("the input is never the output", () =>
    Effect.gen(function* () {
      const { echo, provider } = yield* makeEcho
      const { input, output } = makeFiles()
      Fs.writeFileSync(input, line("a"))
      Fs.symlinkSync(input, output)
      for (const path of [input, output]) {
        const failure = yield* Effect.flip(run(provider, { input, output: path, retryFailed: true }))
        expect(failure.message).toContain("invalid output: it is the input")
      }
      expect(Fs.readFileSync(input, "utf8")).toBe(line("a"))
      expect(echo.sent).toBe(0)
    })
  )

  it.effect("folders and devices are neither input nor output", () =>
    Effect.gen(function* () {
      const { provider } = yield* makeEcho
      const { input, output } = makeFiles()
      write(input, [line("a")])
      for (const path of [Os.tmpdir(), "/dev/full"]) {
        const ofOutput = yield* Effect.flip(run(provider, { input, output: path, retryFailed: true }))
        expect(ofOutput.message).toContain("invalid output: it is not a regular file")
        const ofInput = yield* Effect.flip(run(provider, { input: path, output }))
        expect(ofInput.message).toContain("invalid input: it is not a regular file")
      }
    })
  )

  it.effect("results that are sent again stay in the same file, behind a link, with its permissions", () =>
    Effect.gen(function* () {
      const { echo, provider } = yield* makeEcho
      const { input, output } = makeFiles()
      write(input, [line("bad"), line("b")])
      const real = `${output}.real`
      Fs.writeFileSync(real, "", { mode: 0o600 })
      Fs.symlinkSync(real, output)
      yield* run(provider, { input, output })
      echo.isBad = false
      expect(yield* run(provider, { input, output, retryFailed: true })).toMatchObject({ done: 2, failed: 0 })
      expect(read(real)).toHaveLength(2)
      expect(Fs.lstatSync(output).isSymbolicLink()).toBe(true)
      expect(Fs.statSync(real).mode & 0o777).toBe(0o600)
      expect(Fs.readdirSync(Path.dirname(real))).toHaveLength(3)
    })
  )

  it.effect("requests wait for busy servers as long as those ask for", () =>
    Effect.gen(function* () {
      const files = makeFiles()
      write(files.input, [line("a")])
      const retryAfter = Duration.minutes(1)
      const provider = yield* MockProvider.make(
        MockProvider.sequence([
          MockProvider.fail(new RateLimited({ retryAfter })),
          MockProvider.fail(new ApiError({ status: 503 })),
          ["yes"]
        ])
      )
      const fiber = yield* Effect.forkChild(run(provider, files))
      while ((yield* provider.requests).length === 0) yield* realTime
      yield* TestClock.adjust("59 seconds")
      expect(yield* provider.requests).toHaveLength(1)
      yield* TestClock.adjust("1 second")
      expect(yield* provider.requests).toHaveLength(2)
      yield* TestClock.adjust("5 seconds")
      expect(yield* Fiber.join(fiber)).toMatchObject({ done: 1, failed: 0, waiting: 0 })
    })
  )

  it.effect("requests wait while no server can be reached", () =>
    Effect.gen(function* () {
      const files = makeFiles()
      write(files.input, [line("a")])
      let isOff = true
      const refused = new ProviderError({ provider: "p", reason: new NetworkError({ kind: "refused" }) })
      const working = yield* MockProvider.make(["yes"])
      const provider = Provider.make({
        ...working,
        stream: (request) => Stream.suspend(() => (isOff ? Stream.fail(refused) : working.stream(request)))
      })
      const waiting: Array<number> = []
      const onProgress = (progress: Batch.Progress) => Effect.sync(() => waiting.push(progress.waiting))
      const fiber = yield* Effect.forkChild(run(provider, { ...files, onProgress }))
      while (waiting.length < 2) yield* realTime
      yield* TestClock.adjust("1 minute")
      expect(read(files.output)).toEqual([])
      isOff = false
      yield* TestClock.adjust("5 seconds")
      expect(yield* Fiber.join(fiber)).toMatchObject({ done: 1, failed: 0, waiting: 0 })
      expect(waiting).toEqual([0, 1, 0, 0])
    })
  )
})

const request = { custom_id: "a", body: { model: "m", messages: [{ role: "user", content: "Hi" }] } }
const reset = MockProvider.fail(new NetworkError({ kind: "reset" }))
const refused = MockProvider.fail(new NetworkError({ kind: "refused" }))

describe("a request whose answer breaks off", () => {
  it.effect("is sent again, twice at most, and only whole answers are results", () =>
    Effect.gen(function* () {
      const provider = yield* MockProvider.make(
        MockProvider.sequence([
          ["par", reset],
          [refused],
          [refused],
          [MockProvider.fail(new StreamTruncated({}))],
          ["whole"]
        ])
      )
      const fiber = yield* Effect.forkChild(Effect.provideService(Batch.answer(request), Provider.Provider, provider))
      yield* TestClock.adjust("1 minute")
      const result = yield* Fiber.join(fiber)
      expect(result.error).toBe(null)
      expect(contentOf(result)).toBe("whole")
      expect(yield* provider.requests).toHaveLength(5)
    })
  )

  it.effect.each([
    { name: "a server that it ends", error: new NetworkError({ kind: "reset" }), sent: 3 },
    { name: "a server that fails", error: new ApiError({ status: 500 }), sent: 3 },
    { name: "a timeout", error: new Timeout({ kind: "idle", limit: Duration.seconds(1) }), sent: 1 },
    { name: "an error of the request", error: new ApiError({ status: 400 }), sent: 1 }
  ])("has a failure in the end: $name", ({ error, sent }) =>
    Effect.gen(function* () {
      for (const answer of [Batch.answer, Batch.answerOnce]) {
        const provider = yield* MockProvider.make([MockProvider.fail(error)])
        const fiber = yield* Effect.forkChild(Effect.provideService(answer(request), Provider.Provider, provider))
        yield* TestClock.adjust("1 minute")
        expect((yield* Fiber.join(fiber)).error).toMatchObject({ code: error._tag })
        expect(yield* provider.requests).toHaveLength(sent)
      }
    })
  )

  it.effect("is not given to another program: it may be what ends the servers", () =>
    Effect.gen(function* () {
      const untaken = yield* MockProvider.make([refused])
      const answered = Effect.provideService(Batch.answerOnce(request), Provider.Provider, untaken)
      expect((yield* Effect.flip(answered)).reason).toMatchObject({ _tag: "NetworkError", kind: "refused" })
      const ended = yield* MockProvider.make(MockProvider.sequence([[reset], [refused], [refused]]))
      const fiber = yield* Effect.forkChild(Effect.provideService(Batch.answerOnce(request), Provider.Provider, ended))
      yield* TestClock.adjust("1 minute")
      expect((yield* Fiber.join(fiber)).error).toMatchObject({ code: "NetworkError" })
    })
  )
})

describe("maxWait", () => {
  it.effect("a run fails with the error of the servers, and the next run does what is missing", () =>
    Effect.gen(function* () {
      const files = makeFiles()
      write(files.input, [line("a")])
      const quota = new RateLimited({ description: "the quota is used up" })
      const provider = yield* MockProvider.make([MockProvider.fail(quota)])
      const fiber = yield* Effect.forkChild(Effect.flip(run(provider, { ...files, maxWait: "12 seconds" })))
      while ((yield* provider.requests).length === 0) yield* realTime
      yield* TestClock.adjust("1 minute")
      expect((yield* Fiber.join(fiber)).message).toContain("the quota is used up")
      expect(yield* provider.requests).toHaveLength(3)
      expect(read(files.output)).toEqual([])
      expect(yield* run((yield* makeEcho).provider, files)).toMatchObject({ done: 1, failed: 0 })
    })
  )
})

describe("fingerprints", () => {
  it("are a set", () => {
    const texts = Array.from({ length: 5000 }, (_, index) =>
      String.fromCharCode(...Array.from({ length: index % 5 }, (_, at) => (index * 7919 * (at + 1)) % 300))
    )
    const fingerprints = Fingerprints.make()
    const set = new Set<string>()
    for (const text of texts) {
      expect(fingerprints.has(text)).toBe(set.has(text))
      expect(fingerprints.add(text)).toBe(!set.has(text))
      set.add(text)
    }
    expect(fingerprints.size()).toBe(set.size)
  })
})
