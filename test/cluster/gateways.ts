/** Two gateways of `local-llm serve` with the same hosts, keys and Redis, and nginx in front of them. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as CommandLine from "../support/commandLine.ts"
import * as Client from "../support/gateway.ts"
import * as Serve from "../support/serve.ts"
import * as Host from "./host.ts"
import * as Nginx from "./nginx.ts"
import * as Path from "node:path"
import * as Process from "./process.ts"
import * as Redis from "./redis.ts"

export interface Gateway extends Serve.Gateway {
  /** Another one at the same address, after this one was killed. */
  readonly restart: Effect.Effect<Gateway, never, Scope.Scope>
}

export interface Setup {
  readonly hosts: readonly [Host.Host, Host.Host]
  readonly gateways: readonly [Gateway, Gateway]
  readonly nginx: Nginx.Nginx
  readonly redis: Redis.Redis
  /** A new key with these limits. */
  readonly addKey: (...limits: ReadonlyArray<string>) => Effect.Effect<string>
}

const serve = (
  args: ReadonlyArray<string>,
  port: number,
  redis: Redis.Redis
): Effect.Effect<Gateway, never, Scope.Scope> =>
  Effect.map(
    Serve.serve([...args, "--listen", String(port)], { env: { REDISCLI_AUTH: redis.password } }),
    (gateway) => ({ ...gateway, restart: Effect.suspend(() => serve(args, port, redis)) })
  )

export const make: Effect.Effect<Setup, never, Scope.Scope> = Effect.gen(function* () {
  const folder = yield* Process.folder
  const keys = ["--keys", Path.join(folder, "keys.json")]
  let added = 0
  const addKey = Effect.fnUntraced(function* (...limits: ReadonlyArray<string>) {
    const { stdout } = yield* CommandLine.run(["keys", "add", `key${added++}`, ...keys, "--status", ...limits])
    // The gateways look at the file once in a second.
    yield* Effect.sleep("1100 millis")
    return stdout.trim()
  })
  yield* addKey()
  const hosts = yield* Effect.all([Host.make("only-0"), Host.make("only-1")])
  const redis = yield* Redis.make
  const args = [...keys, "--provider", "ollama", "--redis", redis.url, "--gateways", "2"]
  const all = [...args, ...hosts.flatMap(({ url }) => ["--host", url])]
  const start = Effect.flatMap(Process.freePort, (port) => serve(all, port, redis))
  const gateways = yield* Effect.all([start, start], { concurrency: 2 })
  const nginx = yield* Nginx.make(gateways.map(({ url }) => url))
  return { hosts, gateways, nginx, redis, addKey }
})

interface Asking {
  readonly key?: string | undefined
  readonly prompt?: string
  readonly model?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Sends a request for a streamed chat to a gateway, or to nginx. */
export const send = (
  { url }: { readonly url: string },
  { headers = {}, key, model = "m", prompt = "Why?" }: Asking
): Client.Sent =>
  Client.send(
    `${url}/v1/chat/completions`,
    { model, stream: true, messages: [{ role: "user", content: prompt }] },
    { headers: { ...(key !== undefined && { authorization: `Bearer ${key}` }), ...headers } }
  )

/** The response to such a request, when it has ended. */
export const ask = (to: { readonly url: string }, asking: Asking) => Effect.promise(() => send(to, asking).seen)

/** The words that were received, as numbers. */
export const wordsOf = (text: string): ReadonlyArray<number> =>
  [...text.matchAll(/"content":"w(\d+) "/g)].map(([, number]) => Number(number))

/** Whether it is a completion as a whole. */
export const isComplete = ({ isWhole, status, text }: Client.Seen): boolean =>
  status === 200 &&
  isWhole &&
  text.includes("[DONE]") &&
  wordsOf(text).join() === Array.from({ length: 20 }, (_, i) => i).join()

/** Waits until it is so. */
export const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.repeat(Effect.delay(Effect.sync(condition), "10 millis"), { until: (is) => is }).pipe(Effect.asVoid)
