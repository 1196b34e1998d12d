/** A shell on a pseudo-terminal, and what is written to it, with the times. */
import { spawn } from "node:child_process"
import { setTimeout as sleep } from "node:timers/promises"

export interface Output {
  /** In milliseconds from the first output. */
  readonly time: number
  readonly text: string
}

export interface Terminal {
  /** Types a text as a person does: one key after the other, not in equal times. */
  readonly type: (text: string) => Promise<void>
  /** Waits until the terminal shows something that matches, after what the last wait ended with. */
  readonly until: (pattern: RegExp) => Promise<void>
  readonly pause: (millis: number) => Promise<void>
  /** What was written so far. */
  readonly output: ReadonlyArray<Output>
  /** Ends the shell. */
  readonly close: () => void
}

export interface Options {
  readonly columns: number
  readonly rows: number
  /** The folder that the shell starts in. */
  readonly cwd: string
  readonly environment: NodeJS.ProcessEnv
}

const longestWait = 60_000

export const open = ({ columns, cwd, environment, rows }: Options): Terminal => {
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

  return {
    type: async (text) => {
      for (const key of text) {
        await sleep(45 + ((keys++ * 37) % 70))
        child.stdin.write(key)
      }
    },
    until: async (pattern) => {
      const giveUpAt = performance.now() + longestWait
      for (;;) {
        const found = pattern.exec(unread)
        if (found !== null) {
          unread = unread.slice(found.index + found[0].length)
          return
        }
        if (performance.now() > giveUpAt) throw new Error(`${pattern} does not match ${JSON.stringify(unread)}`)
        await sleep(5)
      }
    },
    pause: (millis) => sleep(millis),
    output,
    close: () => void child.kill()
  }
}
