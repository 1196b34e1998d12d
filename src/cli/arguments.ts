/** The words of the command line, arranged for the parser of `effect/cli`. */
import type { CommandDescriptor, FlagDescriptor } from "effect/cli/Completions"

/** The words that are not part of a prompt. */
export interface Vocabulary {
  readonly subcommands: ReadonlySet<string>
  /** All flags, such as `--model` and `-m`, and whether a value follows. */
  readonly hasValue: ReadonlyMap<string, boolean>
}

/** The vocabulary of a command and its subcommands. */
export const vocabularyOf = (command: CommandDescriptor): Vocabulary => ({
  subcommands: new Set(command.subcommands.map(({ name }) => name)),
  hasValue: new Map(
    [command, ...command.subcommands].flatMap(({ flags }) =>
      flags.flatMap((flag) => namesOf(flag).map((name) => [name, flag.type._tag !== "Boolean"] as const))
    )
  )
})

const namesOf = ({ aliases, name }: FlagDescriptor): ReadonlyArray<string> => [
  `--${name}`,
  ...aliases.map((alias) => (alias.length === 1 ? `-${alias}` : `--${alias}`))
]

/**
 * Puts the subcommand first, then the flags, then `--` and the words of the prompt.
 *
 * Known flags are flags wherever they are. An unknown word such as `--modle` is left to the parser, which rejects it, since
 * it is most likely a mistake. All other words belong to the prompt, also those that begin with a dash (`-5 + 3`), and so
 * does everything after `--`. A subcommand is one only as the first word, before `--`. The word `help` alone is the flag.
 */
export const arrange = ({ hasValue, subcommands }: Vocabulary, args: ReadonlyArray<string>): ReadonlyArray<string> => {
  const end = args.includes("--") ? args.indexOf("--") : args.length
  const flags: Array<string> = []
  const words: Array<string> = []
  for (let index = 0; index < end; index++) {
    const word = args[index] ?? ""
    const name = word.replace(/=[^]*/, "")
    const next = args[index + 1]
    if (!hasValue.has(name)) (isUnknownFlag(word) ? flags : words).push(word)
    else if (name !== word || !hasValue.get(name) || index + 1 === end || hasValue.has(next ?? "")) flags.push(word)
    else flags.push(`${word}=${args[++index]}`)
  }
  if (words.join(" ") === "help" && end === args.length) return ["--help"]
  const subcommand = words.slice(0, 1).filter((word) => subcommands.has(word))
  const prompt = [...words.slice(subcommand.length), ...args.slice(end + 1)]
  return [...subcommand, ...flags, ...(prompt.length === 0 ? [] : ["--", ...prompt])]
}

const isUnknownFlag = (word: string): boolean => /^--[a-z][\w-]*(=\S*)?$/i.test(word)
