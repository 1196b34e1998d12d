/** A gateway in a process of its own, as `local-llm serve` starts it. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as CommandLine from "./commandLine.ts"

export interface Gateway extends CommandLine.Running {
  readonly url: string
  readonly get: (path: string, headers?: Readonly<Record<string, string>>) => Effect.Effect<Reply>
  readonly post: (path: string, body: unknown, headers?: Readonly<Record<string, string>>) => Effect.Effect<Reply>
}

export interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

/** On a port that the system chooses. Returns when it listens. */
export const serve = Effect.fnUntraced(function* (
  args: ReadonlyArray<string>,
  options?: CommandLine.Options
): Effect.fn.Return<Gateway, never, Scope.Scope> {
  const listen = args.includes("--listen") ? [] : ["--listen", "0"]
  const running = yield* CommandLine.start(["serve", ...listen, ...args], options)
  const ready = running.until(({ stderr, stdout }) => stderr.includes("Look at it") && stdout.includes("ANTHROPIC"))
  const ended = Effect.flatMap(running.result, ({ stderr }) =>
    Effect.die(new Error(`the gateway has ended: ${stderr}`))
  )
  yield* Effect.raceFirst(ready, ended)
  const { stdout } = yield* running.output
  const [, url = ""] = /OLLAMA_HOST=(\S+)/.exec(stdout) ?? []
  const send = (path: string, init?: RequestInit) =>
    Effect.promise(async (signal) => {
      const response = await fetch(url + path, { ...init, signal })
      return { status: response.status, headers: response.headers, text: await response.text() }
    })
  return {
    ...running,
    url,
    get: (path, headers = {}) => send(path, { headers }),
    post: (path, body, headers = {}) => send(path, { method: "POST", body: JSON.stringify(body), headers })
  }
})

/** A request for a chat. */
export const chat = (model: string, more: object = {}) => ({
  model,
  messages: [{ role: "user", content: "Why?" }],
  ...more
})
