/** A shell on a pseudo-terminal, and what is written to it, with the times. */
import { spawn } from "node:child_process"
import { setTimeout as sleep } from "node:timers/promises"

export interface Output {
  /** In milliseconds from the first output. */
  readonly time: number
  readonly text: string
}

const longestWait = 60_000

export type Terminal = ReturnType<typeof open>

/** Starts a shell in a folder. */
export const open = (
  { columns, rows }: { readonly columns: number; readonly rows: number },
  cwd: string,
  environment: NodeJS.ProcessEnv
) => {
  // The `script` of util-linux makes the pseudo-terminal.
  const shell = `stty columns ${columns} rows ${rows}; exec bash --noprofile --norc`
  const child = spawn("script", ["--quiet", "--command", shell, "/dev/null"], {
    cwd,
    env: { ...environment, TERM: "xterm-256color", PS1: "$ " }
  })
  const output: Array<Output> = []
  let startedAt: number | undefined
  let unread = ""
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    startedAt ??= performance.now()
    output.push({ time: performance.now() - startedAt, text })
    unread += text
  })
  let keys = 0

  /** Types a text as a person does: one key after the other, not in equal times. */
  const type = async (text: string): Promise<void> => {
    for (const key of text) {
      await sleep(45 + ((keys++ * 37) % 70))
      child.stdin.write(key)
    }
  }
  /** Waits until the terminal shows something that matches, after what the last wait ended with, and then some milliseconds. */
  const until = async (pattern: RegExp, pause = 0): Promise<void> => {
    const giveUpAt = performance.now() + longestWait
    let found: RegExpExecArray | null
    while ((found = pattern.exec(unread)) === null) {
      if (performance.now() > giveUpAt) throw new Error(`${pattern} does not match ${JSON.stringify(unread)}`)
      await sleep(5)
    }
    unread = unread.slice(found.index + found[0].length)
    await sleep(pause)
  }
  return { type, until, output, close: () => void child.kill() }
}
