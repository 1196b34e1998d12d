/** Where flags may stand, and which words form the prompt. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "../support/commandLine.ts"

const run = Effect.fnUntraced(function* (args: ReadonlyArray<string>) {
  const server = yield* FakeServer.make({ text: "Yes" }, { models: ["m:latest", "a=b:latest"] })
  const result = yield* CommandLine.run(args, { env: { OLLAMA_HOST: server.url } })
  const { requests } = yield* server.state
  return { ...result, body: requests.findLast(({ path }) => path === "/api/chat")?.body }
})

describe("arguments", () => {
  it.live.each<[title: string, args: ReadonlyArray<string>, prompt: string, body?: object]>([
    ["words", ["why", "is"], "why is"],
    ["flags between words", ["why", "--model", "m", "is"], "why is", { model: "m" }],
    ["flags after the words of a subcommand", ["chat", "the", "models", "-m", "m"], "the models", { model: "m" }],
    ["a flag with its value in one word", ["--model=a=b", "why"], "why", { model: "a=b" }],
    ["a short flag with its value in one word", ["-m=a=b", "why"], "why", { model: "a=b" }],
    ["a value that begins with a dash", ["--stop=- Be brief.", "x"], "x", { options: { stop: ["- Be brief."] } }],
    ["a negative value", ["--seed", "-1", "x"], "x", { options: { seed: -1 } }],
    ["a word after a flag without a value", ["hi", "--quiet", "no", "way"], "hi no way"],
    ["a number after a short flag without a value", ["-q", "1", "+", "1"], "1 + 1"],
    ["a flag that is not set", ["--json=false", "x"], "x"],
    ["flags of all commands before a subcommand", ["--provider", "ollama", "chat", "x"], "x"],
    ["help as a word", ["help", "me"], "help me"],
    ["help after --", ["--", "help"], "help"],
    ["a subcommand after --", ["--", "models", "of"], "models of"],
    ["a word like a subcommand", ["showroom"], "showroom"],
    ["a word that is almost a short subcommand", ["tip"], "tip"],
    ["a word that is almost a subcommand, and another", ["modles", "of"], "modles of"],
    ["a word that is almost a subcommand after the name of one", ["chat", "modles"], "modles"],
    ["a word that is almost a subcommand after --", ["--", "modles"], "modles"],
    ["a quoted prompt that begins with a subcommand", ["models of"], "models of"],
    ["numbers and a lone dash", ["-", "-5", "+", "3"], "- -5 + 3"],
    ["dashes after --", ["-m", "m", "--", "ls", "-la", "-5 + 3"], "ls -la -5 + 3", { model: "m" }],
    ["flags after --", ["--", "--model", "--", "-h"], "--model -- -h"]
  ])("%s", ([, args, prompt, body = {}]) =>
    Effect.gen(function* () {
      const result = yield* run(args)
      expect(result).toMatchObject({ code: 0, stdout: "Yes\n" })
      expect(result.body).toMatchObject({ ...body, messages: [{ role: "user", content: prompt }] })
    })
  )

  it.live.each<[args: ReadonlyArray<string>, message: string]>([
    [["--nope", "Why?"], "unknown flag --nope (words after -- are never flags)"],
    [["--modle", "m", "--x=1"], "unknown flag --modle; did you mean --model? (words after -- are never flags)"],
    [["what", "does", "ls", "-la", "do"], "unknown flag -l (words after -- are never flags)"],
    [["--help me"], "a prompt that begins with a dash follows --"],
    [["---\ntitle: secret\n---\nWhy?"], "a prompt that begins with a dash follows --"],
    [["- an item"], "a prompt that begins with a dash follows --"],
    [["-m", "m", "models"], "unknown flag --model (flags of a command follow its name, and words after -- are never"],
    [["models", "--model", "m"], "unknown flag --model (flags of a command follow its name"],
    [["--model", "--url", "u"], "Missing value for flag --model."],
    [["x", "--model"], "Missing value for flag --model."],
    [["--model", "--", "x"], "Missing value for flag --model."],
    [["--temperature", "warm", "Why?"], 'Invalid value for flag --temperature: "warm".'],
    [["modles"], 'there is no command "modles"; did you mean models? To send it as a prompt: local-llm chat modles'],
    [["-q", "embedd"], "did you mean embed? To send it as a prompt: local-llm chat embedd"],
    [["help", "embd"], "did you mean embed? To send it as a prompt: local-llm chat help embd"],
    [["models", "of"], "to send a prompt that begins with the name of a command, put -- before it"],
    [["x", "-m", "a", "-m", "b"], 'Invalid value for flag --model: "2 occurrences".']
  ])("%j is an error of one line", ([args, message]) =>
    Effect.gen(function* () {
      const { body, code, stderr, stdout } = yield* run(args)
      expect({ code, stdout, body }).toEqual({ code: 1, stdout: "", body: undefined })
      expect(stderr).toMatch(/^local-llm: [^\n]+\n$/)
      expect(stderr).toContain(message)
    })
  )

  it.live.each<[args: ReadonlyArray<string>, usage: string]>([
    [["help"], "local-llm <subcommand> [flags]"],
    [["help", "embed"], "local-llm embed [flags]"],
    [["help", "keys", "add"], "local-llm keys add [flags]"],
    [["embed", "--help"], "local-llm embed [flags]"],
    [["--help", "embed"], "local-llm embed [flags]"]
  ])("%j prints the help", ([args, usage]) =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* CommandLine.run(args)
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
      expect(stdout).toContain(usage)
    })
  )
})
