/** The completion scripts in the real shells. */
import { describe, expect, it } from "@effect/vitest"
import * as Completions from "effect/cli/Completions"
import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { describe as describeCommand } from "../../src/cli/commands.ts"
import * as CommandLine from "../support/commandLine.ts"

const shells = ["bash", "zsh", "fish", "powershell"] as const

type Shell = (typeof shells)[number]

const scriptOf = (shell: Shell): string => Completions.generate("local-llm", shell, describeCommand())

const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "local-llm-"))
for (const name of ["a.json", "b.png", "c d.json"]) Fs.writeFileSync(Path.join(folder, name), "")
for (const shell of shells) Fs.writeFileSync(Path.join(folder, `.${shell}`), scriptOf(shell))

const programs = { bash: "bash", zsh: "zsh", fish: "fish", powershell: "pwsh" } as const

const isThere = (shell: Shell): boolean => spawnSync(programs[shell], ["-c", "exit 0"]).status === 0

/** How each shell prints the candidates for the end of a line, one on each line, without their descriptions. */
const drivers: { readonly [K in Shell]: { readonly args: ReadonlyArray<string>; readonly script: string } } = {
  // Bash calls the function of a completion with these variables.
  bash: {
    args: ["--norc", "--noprofile", "-c"],
    script: `
      source .bash
      COMP_LINE=$LINE COMP_POINT=\${#LINE}
      COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
      _local_llm local-llm "\${COMP_WORDS[COMP_CWORD]}" ""
      printf '%s\\n' "\${COMPREPLY[@]}"`
  },
  // A real zsh on a pseudo-terminal of zsh itself, in which Tab lists the candidates.
  zsh: {
    args: ["-f", "-c"],
    script: `
      zmodload zsh/zpty
      zpty shell zsh -f -i
      zpty -w shell "cd $PWD; PS1=; LISTMAX=1000; autoload -U compinit; compinit -u -D; source .zsh"
      zpty -w shell 'compadd() { builtin compadd -O found "$@" 2> /dev/null; print -rl -- CANDIDATE:$^found; builtin compadd "$@" }'
      zpty -w shell 'probe() { zle list-choices; print "EN""D" }; zle -N probe; bindkey "^I" probe; echo REA""DY'
      zpty -r -m shell out "*READY*"
      zpty -n -w shell "$LINE"$'\\t'
      zpty -r -m shell out "*END*"
      print -r -- "$out"`
  },
  fish: { args: ["--no-config", "-c"], script: `source .fish; complete -C "$LINE" | string replace -r '\\t.*' ''` },
  powershell: {
    args: ["-NoProfile", "-Command"],
    script: `
      Get-Content -Raw .powershell | Invoke-Expression
      (TabExpansion2 -inputScript $env:LINE -cursorColumn $env:LINE.Length).CompletionMatches.CompletionText`
  }
}

const complete = (shell: Shell, line: string): ReadonlyArray<string> => {
  const { args, script } = drivers[shell]
  const env = { PATH: process.env["PATH"], HOME: folder, TERM: "xterm", LINE: line, LC_ALL: "C.UTF-8" }
  // Bash makes "=" and ":" words of their own.
  const words = shell === "bash" ? ["bash", ...line.split(/ +|([=:]+)/).filter((word) => word !== undefined)] : []
  const { stdout } = spawnSync(programs[shell], [...args, script, ...words], { cwd: folder, encoding: "utf8", env })
  if (shell !== "zsh") return stdout.split("\n").filter((text) => text !== "")
  return [...new Set(Array.from(stdout.matchAll(/CANDIDATE:([^\r\n]+)/g), ([, text = ""]) => text))]
}

/** What must be offered, and what must not. A flag with a value may have its `=` already. */
const rows: ReadonlyArray<[line: string, offered: ReadonlyArray<string>, others?: ReadonlyArray<string>]> = [
  ["local-llm ", ["chat", "models", "show", "ps", "pull", "rm", "cp", "load", "unload", "embed"]],
  ["local-llm mod", ["models"], ["chat", "--model"]],
  ["local-llm --", ["--model", "--schema", "--help", "--version", "--completions"], ["--dimensions", "models"]],
  ["local-llm --provider ", ["ollama", "llama-server", "lmstudio", "openai"]],
  ["local-llm --provider=l", ["llama-server", "lmstudio"], ["ollama"]],
  ["local-llm Why is --think ", ["on", "off", "low", "medium", "high", "max"]],
  ["local-llm --schema ", ["a.json", "b.png", "c d.json"]],
  ["local-llm Describe --image b", ["b.png"], ["a.json"]],
  ["local-llm --url http://gpu-1:1234 mod", ["models"]],
  ["local-llm models --", ["--json", "--url", "--provider", "--help"], ["--model", "--schema"]],
  ["local-llm --json models --", ["--url"], ["--model"]],
  ["local-llm why --mo", ["--model"], ["models"]],
  ["local-llm tell me about it --im", ["--image"]],
  ["local-llm load m --", ["--context", "--keep-alive"], ["--model"]],
  ["local-llm --completions ", ["bash", "zsh", "fish", "powershell"]]
]

const normalize = (shell: Shell, candidate: string): string =>
  candidate
    .replace(/^--[\w-]+=(?=.)/, "")
    .replace(/=$/, "")
    .replaceAll(shell === "zsh" || shell === "bash" ? "\\ " : "\u0000", " ")

for (const shell of shells)
  describe(isThere(shell) ? shell : `${shell} is not installed: skipped`, () => {
    // Effect's script for bash completes no value after "=".
    const possible = rows.filter(([line]) => shell !== "bash" || !line.includes("="))
    it.skipIf(!isThere(shell)).each(possible)("%s", (line, offered, others = []) => {
      const candidates = complete(shell, line).map((candidate) => normalize(shell, candidate))
      for (const word of offered) expect(candidates).toContain(word)
      for (const word of others) expect(candidates).not.toContain(word)
      expect(candidates.filter((candidate) => candidate.startsWith("--no-"))).toEqual([])
    })
  })

describe("--completions", () => {
  it.live.each(shells)("prints the script for %s", (shell) =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* CommandLine.run(["--completions", shell])
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
      expect(stdout.trim()).toBe(scriptOf(shell).trim())
    })
  )

  it.live.skipIf(process.platform !== "linux")("reports a disk that is full", () =>
    Effect.gen(function* () {
      const command = CommandLine.shellCommand(["--completions", "fish"])
      const { code, stderr } = yield* CommandLine.runShell(`${command} > /dev/full`)
      expect(code).toBe(1)
      expect(stderr).toMatch(/^local-llm: standard output cannot be written: ENOSPC[^\n]*\n$/)
    })
  )

  it.live.skipIf(!CommandLine.hasTerminals)("completes with Tab in an interactive bash", () =>
    Effect.gen(function* () {
      const options = { env: { TERM: "dumb", PS1: "$ " }, keepStdinOpen: true }
      const shell = yield* CommandLine.startShell(
        `cd ${folder}; exec script -qec 'bash --norc --noprofile -i' /dev/null`,
        options
      )
      yield* shell.type("bind 'set enable-bracketed-paste off'; source .bash; echo rea''dy\n")
      yield* shell.until(({ stdout }) => stdout.includes("\nready"))
      yield* shell.type("echo local-llm; local-llm --url http://x:1 mod\t")
      yield* shell.until(({ stdout }) => stdout.includes("http://x:1 models "))
    })
  )
})
