import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Arguments from "../../src/cli/arguments.ts"
import { command, describe as describeCommand } from "../../src/cli/commands.ts"
import * as CommandLine from "../support/commandLine.ts"

const vocabulary = Arguments.vocabularyOf(describeCommand(command))

const alone = ["--help", "-h", "--version", "-v", "--json", "--jsonl", "--quiet", "-q"]

describe("arguments", () => {
  it.each<[title: string, args: ReadonlyArray<string>, arranged: ReadonlyArray<string>]>([
    ["nothing", [], []],
    ["words", ["why", "is"], ["--", "why", "is"]],
    ["flags between words", ["why", "--model", "m", "is"], ["--model=m", "--", "why", "is"]],
    ["a flag with its value in one word", ["--model=a=b c", "why"], ["--model=a=b c", "--", "why"]],
    ["a short flag with its value in one word", ["-m=a=b", "why"], ["-m=a=b", "--", "why"]],
    ["a value that begins with a dash", ["--system", "- Be brief.", "x"], ["--system=- Be brief.", "--", "x"]],
    ["a negative value", ["--temperature", "-1", "x"], ["--temperature=-1", "--", "x"]],
    ["a flag without its value", ["--model", "--url", "u"], ["--model", "--url=u"]],
    ["a flag without its value at the end", ["x", "--model"], ["--model", "--", "x"]],
    ["a flag without its value before --", ["--model", "--", "x"], ["--model", "--", "x"]],
    ["short flags", ["-h", "-v"], ["-h", "-v"]],
    ["a subcommand after flags", ["--url", "u", "models"], ["models", "--url=u"]],
    ["help alone", ["help"], ["--help"]],
    ["help as a word", ["help", "me"], ["--", "help", "me"]],
    ["help after --", ["--", "help"], ["--", "help"]],
    ["a subcommand as a later word", ["the", "models"], ["--", "the", "models"]],
    ["a subcommand after --", ["--", "models"], ["--", "models"]],
    ["a quoted prompt that begins with a subcommand", ["models of"], ["--", "models of"]],
    ["dashes", ["-", "---", "-5", "-la"], ["--", "-", "---", "-5", "-la"]],
    ["a quoted prompt that begins with a flag", ["--help me", "--x y"], ["--", "--help me", "--x y"]],
    ["an unknown flag", ["--modle", "m", "--x=1"], ["--modle", "--x=1", "--", "m"]],
    ["flags after --", ["--", "--model", "--", "-h"], ["--", "--model", "--", "-h"]],
    ["an empty word", [""], ["--", ""]]
  ])("%s", (_, args, arranged) => {
    expect(Arguments.arrange(vocabulary, args)).toEqual(arranged)
  })

  it.live("all flags of the help are known", () =>
    Effect.gen(function* () {
      const { stdout } = yield* CommandLine.run(["--help"])
      const flags = stdout.match(/(?<=[\s,])--?[a-z][a-z-]*/g) ?? []
      expect(flags).toContain("--max-tokens")
      // A known flag takes the next word as its value, or stands alone. An unknown one does neither.
      for (const flag of flags) {
        const arranged = Arguments.arrange(vocabulary, [flag, "m"])
        expect([[`${flag}=m`], [flag, "--", "m"]]).toContainEqual(arranged)
        if (arranged.length > 1) expect(alone).toContain(flag)
      }
    })
  )
})
