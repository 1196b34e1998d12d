/** The settings: flags, variables and the file, and which of them decides. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { describe, expect, it, vi } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { describe as describeCommand } from "../../src/cli/commands.ts"
import * as JsonFile from "../../src/cli/jsonFile.ts"
import * as Settings from "../../src/cli/settings.ts"
import type * as Kinds from "../../src/servers/kinds.ts"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "../support/commandLine.ts"

const oneOf = <A>(...values: readonly [A, ...ReadonlyArray<A>]): Arbitrary.Arbitrary<A> =>
  Arbitrary.map(
    Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: values.length - 1 }))),
    (index) => values[index] ?? values[0]
  )

const text = Arbitrary.schema(Schema.NonEmptyString)
const address = oneOf("gpu-1", "http://gpu-2:11434", "https://models.example/v1", "[::1]:1234")
const time = oneOf("90s", "10m", "1.5h", "250ms", "never")

/** `JSON.parse` of Node.js 24 may read the key "\n" as a backslash after it has read an object with that key. */
const aliases = Arbitrary.map(
  Arbitrary.schema(Schema.Record(Schema.NonEmptyString, Schema.NonEmptyString)),
  (aliases): Readonly<Record<string, string>> =>
    Object.fromEntries(Object.entries(aliases).map(([name, model]) => [name.replaceAll("\\", "/"), model]))
)

/** Each field of a source is there or not. */
const said: Arbitrary.Arbitrary<Settings.Said> = Arbitrary.map(
  Arbitrary.all({
    isThere: Arbitrary.array(Arbitrary.schema(Schema.Boolean), {
      minLength: Settings.names.length,
      maxLength: Settings.names.length
    }),
    provider: oneOf<Kinds.Kind>("ollama", "lmstudio", "openai"),
    url: address,
    hosts: Arbitrary.array(address, { minLength: 1, maxLength: 3 }),
    model: text,
    embeddingModel: text,
    aliases,
    system: text,
    think: oneOf(...Settings.levels),
    context: oneOf(1, 8192),
    temperature: oneOf(0, 0.5, 1, 2),
    maxTokens: oneOf(1, 100),
    stop: Arbitrary.array(text, { minLength: 1, maxLength: 3 }),
    seed: oneOf(-1, 0, 42),
    quiet: Arbitrary.schema(Schema.Boolean),
    raw: Arbitrary.schema(Schema.Boolean),
    private: Arbitrary.schema(Schema.Boolean),
    firstChunkTimeout: time,
    idleTimeout: time,
    totalTimeout: time
  }),
  ({ isThere, ...settings }) => {
    const all: Settings.Said = settings
    return Settings.names.reduce<Settings.Said>(
      (said, name, i) => (isThere[i] === true ? { ...said, [name]: all[name] } : said),
      {}
    )
  }
)

const sources = Arbitrary.array(said, { maxLength: 4 })

const ofServer: ReadonlySet<string> = new Set(["provider", "url", "hosts"])

describe("the precedence", () => {
  it.prop("is that of the first source which says something, of the server as a whole", { sources }, ({ sources }) => {
    const merged = Settings.merge(sources)
    const namesServer = (said: Settings.Said) => Object.keys(said).some((name) => ofServer.has(name))
    for (const name of Settings.names) {
      const first = ofServer.has(name) ? sources.find(namesServer) : sources.find((said) => name in said)
      expect(merged[name]).toBe(first?.[name])
    }
  })
})

const toText = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value))

const readWith = (env: Record<string, string>) =>
  Settings.read.pipe(
    Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env }))),
    Effect.provide(NodeServices.layer)
  )

describe("variables", () => {
  it.prop("have any setting as a text", { said }, ({ said }) => {
    for (const name of Settings.names) {
      const value = said[name]
      if (value !== undefined) expect(Settings.fromText(name, toText(value))).toEqual(Result.succeed({ [name]: value }))
    }
  })

  it.effect("have lists with commas, and 1 and 0", () =>
    Effect.gen(function* () {
      const { file, variables } = yield* readWith({
        LOCAL_LLM_HOSTS: "gpu-1, gpu-2:11434",
        LOCAL_LLM_PROVIDER: "ollama",
        LOCAL_LLM_QUIET: "1",
        LOCAL_LLM_PRIVATE: "0",
        LOCAL_LLM_SYSTEM: "42",
        LOCAL_LLM_MODEL: " "
      })
      expect({ file, variables }).toEqual({
        file: {},
        variables: { hosts: ["gpu-1", "gpu-2:11434"], provider: "ollama", quiet: true, private: false, system: "42" }
      })
    })
  )

  it.effect.each<[name: string, value: string, expected: string]>([
    ["LOCAL_LLM_TEMPERATURE", "3", "Expected a value between 0 and 2"],
    ["LOCAL_LLM_TEMPERATURE", "secret", "Expected number"],
    ["LOCAL_LLM_CONTEXT", "8k", "Expected number"],
    ["LOCAL_LLM_MAX_TOKENS", "0", "Expected a whole number, 1 or more"],
    ["LOCAL_LLM_IDLE_TIMEOUT", "5", "Expected a time such as 90s, 10m or 2h, or never"],
    ["LOCAL_LLM_IDLE_TIMEOUT", "0s", "Expected a time of more than 0"],
    ["LOCAL_LLM_URL", "http://me:secret@gpu-1", "Expected no user name or password; set the variable of the token"],
    ["LOCAL_LLM_HOSTS", "[]", "Expected at least one"],
    ["LOCAL_LLM_STOP", "a,", "stop[1]: Expected a value with a length of at least 1"],
    ["LOCAL_LLM_ALIASES", '{"a":1}', "aliases.a: Expected string"],
    ["LOCAL_LLM_THINK", "much", 'Expected "on" | "off" | "low" | "medium" | "high" | "max"'],
    ["LOCAL_LLM_ALIASES", "fast=llama3.2", "Expected object"]
  ])("%s=%s is an error that names it", ([name, value, expected]) =>
    Effect.gen(function* () {
      const { message } = yield* Effect.flip(readWith({ [name]: value }))
      expect(message).toBe(`${name}: ${expected}`)
    })
  )

  it.effect("name a server by its address or by hosts", () =>
    Effect.gen(function* () {
      const { message } = yield* Effect.flip(readWith({ LOCAL_LLM_URL: "gpu-1", LOCAL_LLM_HOSTS: "gpu-2" }))
      expect(message).toBe("LOCAL_LLM_HOSTS and LOCAL_LLM_URL exclude each other")
    })
  )
})

const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "local-llm-"))

const write = (settings: unknown): string => {
  const path = Path.join(folder, "settings.json")
  Fs.writeFileSync(path, typeof settings === "string" ? settings : JSON.stringify(settings))
  return path
}

describe("the file", () => {
  it.prop("has any settings", { said }, ({ said }) => {
    const { hosts: _, ...settings } = said
    expect(JsonFile.decode(JSON.stringify(settings), Settings.File)).toEqual(Result.succeed(settings))
  })

  const json = Arbitrary.schema(Schema.Record(Schema.String, Schema.Json))
  const name = oneOf("modle", ...Settings.names)

  it.prop("with any JSON is decoded, or each mistake names its field", { json, name, said }, (input) => {
    const value = { ...input.said, ...input.json, [input.name]: Object.values(input.json)[0] ?? null }
    const result = JsonFile.decode(JSON.stringify(value), Settings.File)
    if (Result.isSuccess(result)) return
    expect(result.failure.length).toBeGreaterThan(0)
    const places = Object.keys(value).map((key) => (/^[\w$]+$/.test(key) ? key : `[${JSON.stringify(key)}]`))
    for (const mistake of result.failure) {
      expect(places.some((place) => mistake.startsWith(`: ${place}`))).toBe(true)
      expect(mistake).toMatch(/: (Expected .|unknown field$)/)
    }
  })

  it.effect("is in the folder for settings, or where the variable says", () =>
    Effect.gen(function* () {
      const home = Fs.mkdtempSync(Path.join(Os.tmpdir(), "local-llm-"))
      Fs.mkdirSync(Path.join(home, "local-llm"))
      const own = Path.join(home, "local-llm", "settings.json")
      expect((yield* readWith({ XDG_CONFIG_HOME: home })).file).toEqual({})
      Fs.writeFileSync(own, '\uFEFF{ "model": "a" }')
      expect(yield* readWith({ XDG_CONFIG_HOME: home })).toMatchObject({ file: { model: "a" }, path: own })
      const other = write({ model: "b" })
      const env = { XDG_CONFIG_HOME: home, LOCAL_LLM_SETTINGS: other }
      expect(yield* readWith(env)).toMatchObject({ file: { model: "b" }, path: other })
    })
  )

  it.effect.each<[settings: unknown, message: RegExp]>([
    [{ temperature: "warm" }, /settings\.json: temperature: Expected number$/],
    [{ model: "" }, /settings\.json: model: Expected a value with a length of at least 1$/],
    [{ url: "a", hosts: ["b"] }, /settings\.json: hosts: Expected either url or hosts$/],
    [{ modle: "m" }, /settings\.json: modle: unknown field$/],
    ['{\n  "model": }', /settings\.json:2:12: Expected JSON$/],
    ["[]", /settings\.json: Expected object$/]
  ])("%j is an error that names file and field", ([settings, message]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(readWith({ LOCAL_LLM_SETTINGS: write(settings) }))
      expect(error.message).toMatch(message)
    })
  )

  it.effect("has to be there if it is named", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(readWith({ LOCAL_LLM_SETTINGS: "/no/such.json" }))
      expect(error.message).toBe("the file of the settings cannot be read: there is no such file: /no/such.json")
    })
  )

  it("has a JSON Schema for editors, which npm run schemas writes", () => {
    const written: unknown = JSON.parse(Fs.readFileSync("src/settings.schema.json", "utf8"))
    expect(written).toEqual(Settings.jsonSchema())
  })
})

it("the page about the command line has each setting and its variable", () => {
  const page = Fs.readFileSync("docs/command-line.md", "utf8").split("## Settings\n")[1]?.split("\n## ")[0] ?? ""
  const rows = Array.from(page.matchAll(/^\| `(\w+)`.*`(LOCAL_LLM_\w+)`/gm), ([, name, variable]) => [name, variable])
  expect(rows).toEqual(Settings.names.map((name) => [name, Settings.variableOf(name)]))
})

it("the flags of settings have their descriptions: all but the aliases are flags", () => {
  const { flags, subcommands } = describeCommand()
  const all = [flags, ...subcommands.map(({ flags }) => flags)].flat()
  const toFlag = (name: string) =>
    ({ hosts: "host", embeddingModel: "model" })[name] ??
    name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
  const missing = Settings.names.filter((name) => !all.some((flag) => flag.name === toFlag(name)))
  expect(missing).toEqual(["aliases"])
  const scalars = Settings.names.filter((name) => !["hosts", "stop", "aliases"].includes(name))
  for (const name of scalars) expect(all.map(({ description }) => description)).toContain(Settings.describe(name))
})

// Several programs start in some of them.
vi.setConfig({ testTimeout: 60_000 })

describe("a program", () => {
  it.live("uses its flags, then the variables, then the file; an alias is the name of a model", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ text: "Yes" }, { models: ["m:latest", "n:latest"] })
      const LOCAL_LLM_SETTINGS = write({
        url: server.url,
        model: "quick",
        aliases: { quick: "n", slow: "m" },
        system: "Be brief.",
        temperature: 0.1,
        maxTokens: 5,
        quiet: true
      })
      const run = Effect.fnUntraced(function* (args: ReadonlyArray<string>, env: Record<string, string> = {}) {
        const result = yield* CommandLine.run(args, { env: { LOCAL_LLM_SETTINGS, OLLAMA_HOST: "gpu.invalid", ...env } })
        const body = (yield* server.state).requests.findLast(({ path }) => path === "/api/chat")?.body
        return { ...result, body }
      })
      const plain = yield* run(["Why?"])
      expect(plain).toMatchObject({ code: 0, stdout: "Yes\n", stderr: "" })
      expect(plain.body).toMatchObject({
        model: "n",
        messages: [{ role: "system", content: "Be brief." }, { role: "user" }],
        options: { temperature: 0.1, num_predict: 5 }
      })
      const flags = ["-m", "slow", "-t", "0.7", "--quiet=false", "-s", "", "Why?"]
      const changed = yield* run(flags, { LOCAL_LLM_TEMPERATURE: "0.3", LOCAL_LLM_MAX_TOKENS: "6" })
      expect(changed.stderr).toContain("m on Ollama")
      expect(changed.body).toMatchObject({ model: "m", options: { temperature: 0.7, num_predict: 6 } })
      expect(changed.body).toMatchObject({ messages: [{ role: "user", content: "Why?" }] })
    })
  )

  it.live("lists the models of all hosts, and shows where its settings come from", () =>
    Effect.gen(function* () {
      const servers = yield* Effect.forEach(["a", "b"], (model) => FakeServer.make({}, { models: [model] }))
      const env = { LOCAL_LLM_HOSTS: servers.map(({ url }) => url).join(), LOCAL_LLM_SETTINGS: write({ model: "b" }) }
      const { stdout } = yield* CommandLine.run(["models"], { env })
      const lines = stdout.split("\n").map((line) => line.split("\t").slice(0, 2))
      expect(lines).toEqual([...servers.map(({ url }, i) => [url, ["a", "b"][i]]), [""]])
      const { stderr, stdout: shown } = yield* CommandLine.run(["settings"], { env })
      const [file, schema = ""] = stderr.split("\n")
      expect(file).toBe(`the file of the settings: ${env.LOCAL_LLM_SETTINGS}`)
      expect(Fs.existsSync(schema.replace("its schema for editors: ", ""))).toBe(true)
      expect(shown).toMatch(/^model\tb\tfile$/m)
      expect(shown).toMatch(/^hosts\t\[.*\]\tLOCAL_LLM_HOSTS$/m)
      expect(shown).toMatch(/^system\t\tdefault$/m)
    })
  )
})
