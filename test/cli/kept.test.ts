/** The conversations that are kept, and `--continue`. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { describe, expect, it, vi } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as EffectPath from "effect/Path"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Kept from "../../src/cli/conversation/kept.ts"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "../support/commandLine.ts"

const makeFolder = (): string => Fs.mkdtempSync(Path.join(Os.tmpdir(), "local-llm-"))

const folderIn = (state: string): string => Path.join(state, "local-llm", "conversations")

const inFolder =
  (XDG_STATE_HOME: string, env: Record<string, string> = {}) =>
  <A, E>(effect: Effect.Effect<A, E, FileSystem.FileSystem | EffectPath.Path>) =>
    effect.pipe(
      Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: { XDG_STATE_HOME, ...env } }))),
      Effect.provide(NodeServices.layer)
    )

const conversation = (...contents: ReadonlyArray<string>): Kept.Conversation => ({
  model: "m",
  messages: contents.map((content, i) => ({ role: i % 2 === 0 ? "user" : "assistant", content }))
})

describe("conversations", () => {
  it.live("are kept in private files, one for each, and the last one goes on", () =>
    Effect.gen(function* () {
      const state = makeFolder()
      yield* Effect.gen(function* () {
        const first = yield* Kept.make(undefined)
        yield* first.keep(conversation("a", "b"))
        yield* first.keep(conversation("a", "b", "c", "d"))
        yield* (yield* Kept.make(undefined)).keep(conversation("other", "one"))
        yield* Effect.sleep("2 millis")
        yield* first.keep(conversation("a", "b", "c", "d", "e", "f"))
        expect((yield* Kept.last).conversation.messages).toHaveLength(6)
        yield* first.begin
        yield* first.keep({ ...conversation("new", "one"), system: "Be brief.", server: { url: "http://a" } })
        expect((yield* Kept.last).conversation).toMatchObject({ system: "Be brief.", server: { url: "http://a" } })
      }).pipe(inFolder(state))
      const names = Fs.readdirSync(folderIn(state))
      expect(names).toHaveLength(3)
      for (const name of names) expect(Fs.statSync(Path.join(folderIn(state), name)).mode & 0o777).toBe(0o600)
      expect(Fs.statSync(folderIn(state)).mode & 0o777).toBe(0o700)
    })
  )

  it.live("that two programs continue at the same time lose nothing", () =>
    Effect.gen(function* () {
      const state = makeFolder()
      yield* Effect.gen(function* () {
        yield* (yield* Kept.make(undefined)).keep(conversation("a", "b"))
        const { file } = yield* Kept.last
        const keepers = yield* Effect.all([Kept.make(file), Kept.make(file)])
        yield* Effect.forEach(
          keepers,
          (keeper, i) =>
            Effect.forEach(Array.from({ length: 10 }), (_, turn) =>
              keeper.keep(conversation("a", "b", `${i}`, `${turn}`))
            ),
          { concurrency: "unbounded" }
        )
      }).pipe(inFolder(state))
      const kept = Fs.readdirSync(folderIn(state)).map((name) =>
        Fs.readFileSync(Path.join(folderIn(state), name), "utf8")
      )
      const ends = kept.map((text) =>
        JSON.parse(text)
          .messages.slice(2)
          .map(({ content }: Kept.Message) => content)
      )
      expect(ends.toSorted()).toEqual([
        ["0", "9"],
        ["1", "9"]
      ])
    })
  )

  it.live("are bounded in number and length", () =>
    Effect.gen(function* () {
      const state = makeFolder()
      Fs.mkdirSync(folderIn(state), { recursive: true })
      // What a program that was killed has left, and what is not ours.
      Fs.writeFileSync(Path.join(folderIn(state), "000000000000001-x.json.y.tmp"), "{")
      Fs.writeFileSync(Path.join(folderIn(state), "notes.txt"), "")
      yield* Effect.gen(function* () {
        const keeper = yield* Kept.make(undefined)
        for (let i = 0; i < Kept.maxConversations + 3; i++) {
          yield* keeper.begin
          yield* keeper.keep(conversation(`${i}`, "b"))
          yield* Effect.sleep("2 millis")
        }
        yield* keeper.keep(conversation("x".repeat(Kept.maxLength), "too long"))
        expect((yield* Kept.last).conversation.messages[0]?.content).toBe(`${Kept.maxConversations + 2}`)
      }).pipe(inFolder(state))
      const names = Fs.readdirSync(folderIn(state))
      expect(names).toHaveLength(Kept.maxConversations + 1)
      expect(names.filter((name) => name.endsWith(".tmp"))).toEqual([])
    })
  )

  it.live("that cannot be read are skipped, and one that cannot be written changes nothing", () =>
    Effect.gen(function* () {
      const state = makeFolder()
      yield* Effect.gen(function* () {
        expect((yield* Effect.flip(Kept.last)).message).toContain("there is no conversation to continue")
        yield* (yield* Kept.make(undefined)).keep(conversation("good", "one"))
        Fs.writeFileSync(Path.join(folderIn(state), "999999999999999-x.json"), '{"model":"m","mess')
        const { conversation: found, file } = yield* Kept.last
        expect(found.messages[0]?.content).toBe("good")
        Fs.rmSync(folderIn(state), { recursive: true })
        Fs.writeFileSync(folderIn(state), "")
        yield* (yield* Kept.make(file)).keep(conversation("good", "one", "more", "yes"))
      }).pipe(inFolder(state))
      expect(Fs.readFileSync(folderIn(state), "utf8")).toBe("")
    })
  )

  it.live("are not kept with LOCAL_LLM_NOHISTORY, and without a home", () =>
    Effect.gen(function* () {
      const state = makeFolder()
      const keep = Effect.flatMap(Kept.make(undefined), (keeper) => keeper.keep(conversation("a", "b")))
      yield* inFolder(state, { LOCAL_LLM_NOHISTORY: "1" })(keep)
      yield* inFolder("")(keep)
      expect(Fs.readdirSync(state)).toEqual([])
    })
  )
})

// Several programs start.
vi.setConfig({ testTimeout: 60_000 })

it.live("--continue sends the last conversation with its model, its system message and its server", () =>
  Effect.gen(function* () {
    const state = makeFolder()
    const server = yield* FakeServer.make({ text: "Yes" }, { models: ["m:latest", "n:latest"] })
    const run = (args: ReadonlyArray<string>, env: Record<string, string> = {}) =>
      CommandLine.run(args, { env: { XDG_STATE_HOME: state, LOCAL_LLM_MODEL: "m", ...env } })
    const last = Effect.map(server.state, ({ requests }) => requests.findLast(({ path }) => path === "/api/chat")?.body)
    expect(yield* run(["-c", "Go on"])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("no conversation to continue")
    })
    // No terminal shows it, so it is not kept.
    expect(yield* run(["Secret?", "--url", server.url])).toMatchObject({ code: 0 })
    expect(Fs.existsSync(folderIn(state))).toBe(false)
    yield* CommandLine.runOnTerminal(["-m", "n", "-s", "Be brief.", "--url", server.url, "Why?"], {
      env: { XDG_STATE_HOME: state }
    })
    // The model of the conversation is a name of the server, also if it is an alias of another one.
    const aliases = { LOCAL_LLM_ALIASES: '{"n":"m"}' }
    expect(yield* run(["-c", "-q", "And then?"], aliases)).toMatchObject({ code: 0, stdout: "Yes\n" })
    expect(yield* run(["-c", "--json", "-m", "m", "-s", "", "So?"])).toMatchObject({ code: 0 })
    expect(yield* last).toMatchObject({
      model: "m",
      messages: ["Why?", "Yes", "And then?", "Yes", "So?"].map((content) => ({ content }))
    })
    const bodies = (yield* server.state).requests.filter(({ path }) => path === "/api/chat").map(({ body }) => body)
    expect(bodies[2]).toMatchObject({
      model: "n",
      messages: [
        { role: "system", content: "Be brief." },
        ...["Why?", "Yes", "And then?"].map((content) => ({ content }))
      ]
    })
    expect(yield* run(["-c", "--private", "Not kept"])).toMatchObject({ code: 0 })
    expect(Fs.readdirSync(folderIn(state))).toHaveLength(1)
    const [name = ""] = Fs.readdirSync(folderIn(state))
    expect(Fs.readFileSync(Path.join(folderIn(state), name), "utf8")).not.toContain("Not kept")
  })
)
