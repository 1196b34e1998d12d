/** The words of the command line, arranged for the parser of `effect/cli`. */

/** All flags, and whether a value follows. */
const hasValue: ReadonlyMap<string, boolean> = new Map<string, boolean>([
  ...[
    "--provider",
    "--url",
    "--host",
    "--model",
    "-m",
    "--system",
    "-s",
    "--image",
    "--think",
    "--context",
    "--temperature",
    "--max-tokens",
    "--stop",
    "--seed",
    "--schema",
    "--dimensions"
  ].map((flag) => [flag, true] as const),
  ...["--json", "--jsonl", "--quiet", "-q"].map((flag) => [flag, false] as const),
  ["--completions", true],
  ["--help", false],
  ["-h", false],
  ["--version", false],
  ["-v", false]
])

const subcommands: ReadonlySet<string> = new Set([
  "chat",
  "models",
  "show",
  "ps",
  "pull",
  "rm",
  "cp",
  "load",
  "unload",
  "embed"
])

/**
 * Puts the subcommand first, then the flags, then `--` and the words of the prompt.
 *
 * Known flags are flags wherever they are. An unknown word such as `--modle` is left to the parser, which rejects it, since
 * it is most likely a mistake. All other words belong to the prompt, also those that begin with a dash (`-5 + 3`), and so
 * does everything after `--`. A subcommand is one only as the first word, before `--`.
 */
export const arrange = (args: ReadonlyArray<string>): ReadonlyArray<string> => {
  const end = args.includes("--") ? args.indexOf("--") : args.length
  const flags: Array<string> = []
  const words: Array<string> = []
  for (let index = 0; index < end; index++) {
    const word = args[index] ?? ""
    const name = word.startsWith("--") ? word.replace(/=[^]*/, "") : word
    if (!hasValue.has(name)) (isUnknownFlag(word) ? flags : words).push(word)
    else if (
      name !== word ||
      hasValue.get(name) === false ||
      index + 1 === end ||
      hasValue.has(args[index + 1] ?? "")
    ) {
      flags.push(word)
    } else flags.push(`${word}=${args[++index]}`)
  }
  const subcommand = words.slice(0, 1).filter((word) => subcommands.has(word))
  const prompt = [...words.slice(subcommand.length), ...args.slice(end + 1)]
  return [...subcommand, ...flags, ...(prompt.length === 0 ? [] : ["--", ...prompt])]
}

const isUnknownFlag = (word: string): boolean => /^--[a-z][\w-]*(=\S*)?$/i.test(word)
