/**
 * Completion scripts for a command line where flags may stand anywhere, before and after the words of the prompt, and only the
 * first word is a subcommand.
 */
import type { CommandDescriptor, FlagDescriptor, FlagType } from "effect/cli/Completions"

export const shells = ["bash", "zsh", "fish"] as const

export const script = (shell: (typeof shells)[number], command: CommandDescriptor): string => scripts[shell](command)

const namesOf = ({ aliases, name }: FlagDescriptor): ReadonlyArray<string> => [
  `--${name}`,
  ...aliases.map((alias) => `-${alias}`)
]

const hasValue = ({ type }: FlagDescriptor): boolean => type._tag !== "Boolean"

/** Each flag of any command once. */
const allFlags = ({ flags, subcommands }: CommandDescriptor): ReadonlyArray<FlagDescriptor> => {
  const all = [...flags, ...subcommands.flatMap(({ flags }) => flags)]
  return [...new Map(all.map((flag) => [flag.name, flag])).values()]
}

const valueFlags = (command: CommandDescriptor): string => allFlags(command).filter(hasValue).flatMap(namesOf).join("|")

const subcommandNames = ({ subcommands }: CommandDescriptor): string => subcommands.map(({ name }) => name).join("|")

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

/** Finds the command in the words before the cursor: empty before the first word, and `chat` if that is not a subcommand. */
const bash = (command: CommandDescriptor): string => {
  const complete = ({ _tag, ...type }: FlagType): string => {
    if (_tag === "Path") return 'compopt -o filenames 2> /dev/null; COMPREPLY=($(compgen -f -- "$cur"))'
    return "values" in type ? `COMPREPLY=($(compgen -W ${quote(type.values.join("\n"))} -- "$cur"))` : ":"
  }
  const words = (names: ReadonlyArray<string>): string => quote(names.join("\n"))
  return `# local-llm completions for bash. In ~/.bashrc: eval "$(local-llm --completions bash)"
_local_llm() {
  # Bash makes "=" and ":" words of their own, so the line is read anew. The mark keeps an empty word at its end.
  local cur=\${2#=} prev command= i line last
  read -ra line <<< "\${COMP_LINE:0:COMP_POINT}_"
  last=$((\${#line[@]} - 1))
  prev=\${line[last-1]}
  [[ \${line[last]} == --*=* ]] && prev=\${line[last]%%=*}
  for ((i = 1; i < last; i++)); do
    case \${line[i]} in
      ${valueFlags(command)}) ((i++)) ;;
      --) return ;;
      -?*) ;;
      ${subcommandNames(command)}) command=\${command:-\${line[i]}} ;;
      *) command=\${command:-chat} ;;
    esac
  done
  local IFS=$'\\n' words
  case $prev in
${allFlags(command)
  .filter(hasValue)
  .map((flag) => `    ${namesOf(flag).join("|")}) ${complete(flag.type)}; return ;;`)
  .join("\n")}
  esac
  case $command in
    "") [[ $cur == -* ]] && words=${words(command.flags.flatMap(namesOf))} || words=${words(command.subcommands.map(({ name }) => name))} ;;
${command.subcommands.map((sub) => `    ${sub.name}) words=${words(sub.flags.flatMap(namesOf))} ;;`).join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _local_llm local-llm`
}

const zsh = (command: CommandDescriptor): string => {
  const escape = (text: string): string => text.replaceAll(/[\\[\]:]/g, "\\$&")
  const action = ({ _tag, ...type }: FlagType): string => {
    if (_tag === "Boolean") return ""
    if (_tag === "Path") return ":file:_files"
    return "values" in type ? `:value:(${type.values.join(" ")})` : ":value: "
  }
  const specs = ({ flags }: CommandDescriptor): string =>
    flags
      .flatMap((flag) =>
        namesOf(flag).map((name) =>
          quote(
            `*${name}${hasValue(flag) && name.startsWith("--") ? "=" : ""}[${escape(flag.description ?? "")}]${action(flag.type)}`
          )
        )
      )
      .join(" ")
  const described = command.subcommands.map(({ description, name }) => quote(`${name}:${escape(description ?? "")}`))
  return `#compdef local-llm
# local-llm completions for zsh. In ~/.zshrc, after compinit: eval "$(local-llm --completions zsh)"
_local_llm() {
  local command= i
  local -a flags commands=(${described.join(" ")})
  for ((i = 2; i < CURRENT; i++)); do
    case $words[i] in
      (${valueFlags(command)}) ((i++)) ;;
      (--) return ;;
      (-?*) ;;
      (${subcommandNames(command)}) command=\${command:-$words[i]} ;;
      (*) command=\${command:-chat} ;;
    esac
  done
  case $command in
    ('') flags=(${specs(command)}) ;;
${command.subcommands.map((sub) => `    (${sub.name}) flags=(${specs(sub)}) ;;`).join("\n")}
  esac
  local state line context
  typeset -A opt_args
  _arguments "\${flags[@]}" '*: :->word'
  [[ -n $state && -z $command ]] && _describe command commands
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _local_llm "$@"; else compdef _local_llm local-llm; fi`
}

const fish = (command: CommandDescriptor): string => {
  const value = ({ _tag, ...type }: FlagType): string => {
    if (_tag === "Boolean") return ""
    if (_tag === "Path") return " -r -F"
    return "values" in type ? ` -x -a ${quoteFish(type.values.join(" "))}` : " -x"
  }
  const quoteFish = (text: string): string => `'${text.replaceAll(/[\\']/g, "\\$&")}'`
  const line = (name: string, rest: string): string =>
    `complete -c local-llm -n '__local_llm_command_is ${name}' ${rest}`
  const flagLines = ({ flags }: CommandDescriptor, name: string): ReadonlyArray<string> =>
    flags.map((flag) => {
      const aliases = flag.aliases.map((alias) => ` -s ${alias}`).join("")
      return line(name, `-l ${flag.name}${aliases}${value(flag.type)} -d ${quoteFish(flag.description ?? "")}`)
    })
  return `# local-llm completions for fish. local-llm --completions fish > ~/.config/fish/completions/local-llm.fish
function __local_llm_command_is
  set -l words (commandline -poc)[2..-1]
  set -l name none
  while set -q words[1]
    switch $words[1]
      case ${valueFlags(command).replaceAll("|", " ")}
        set -e words[1]
      case --
        return 1
      case '-?*'
      case ${subcommandNames(command).replaceAll("|", " ")}
        set name $words[1]
        break
      case '*'
        set name chat
        break
    end
    set -e words[1]
  end
  test $name = $argv[1]
end
complete -c local-llm -f
${command.subcommands.map(({ description, name }) => line("none", `-a ${name} -d ${quoteFish(description ?? "")}`)).join("\n")}
${flagLines(command, "none").join("\n")}
${command.subcommands.flatMap((sub) => flagLines(sub, sub.name)).join("\n")}`
}

const scripts = { bash, zsh, fish }
