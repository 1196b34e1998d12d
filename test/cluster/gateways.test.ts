/** Two gateways behind nginx that share limits and health on Redis, as the guide has them, while parts of it are killed. */
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Gateways from "./gateways.ts"
import * as Process from "./process.ts"

const { ask, isComplete, send, until, wordsOf } = Gateways

describe.skipIf(Process.isMissing("nginx", "redis"))("two gateways", () => {
  const scope = Scope.makeUnsafe()
  let setup: Gateways.Setup
  let gateways: [Gateways.Gateway, Gateways.Gateway]
  let key: string

  beforeAll(async () => {
    setup = await Effect.runPromise(Scope.provide(Gateways.make, scope))
    gateways = [...setup.gateways]
    key = await Effect.runPromise(setup.addKey())
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  const restart = (i: 0 | 1) =>
    Effect.map(Scope.provide(gateways[i].restart, scope), (restarted) => {
      gateways[i] = restarted
    })
  const kill = (i: 0 | 1) => Effect.andThen(gateways[i].kill("SIGKILL"), gateways[i].result)
  const session = (name: string) => ({ key, headers: { "x-session-id": name } })
  const gatewayOf = (headers: Readonly<Record<string, unknown>>): 0 | 1 =>
    headers["x-gateway"] === new URL(gateways[0].url).host ? 0 : 1
  /** A conversation that nginx sends to this gateway. */
  const findSession = Effect.fnUntraced(function* (i: 0 | 1) {
    for (let n = 0; ; n++) {
      const { headers } = yield* ask(setup.nginx, session(`session ${n}`))
      if (gatewayOf(headers) === i) return session(`session ${n}`)
    }
  })
  const statusOf = (i: 0 | 1, host: 0 | 1) =>
    Effect.map(gateways[i].get("/status", { authorization: `Bearer ${key}` }), ({ text }) => {
      const { hosts }: { readonly hosts: ReadonlyArray<{ readonly name: string; readonly status: string }> } =
        JSON.parse(text)
      return hosts.find(({ name }) => name === setup.hosts[host].url)?.status
    })
  const untilStatus = (i: 0 | 1, host: 0 | 1, status: string) =>
    Effect.repeat(Effect.delay(statusOf(i, host), "50 millis"), { until: (is) => is === status })
  const untilLogged = (i: 0 | 1, pattern: RegExp) => gateways[i].until(({ stderr }) => pattern.test(stderr))

  it.live("the limit of a key holds for both", () =>
    Effect.gen(function* () {
      const limited = yield* setup.addKey("--requests-per-minute", "4")
      const responses = yield* Effect.forEach([0, 1, 1, 0, 1, 0] as const, (i) => ask(gateways[i], { key: limited }))
      expect(responses.map(({ status }) => status)).toEqual([200, 200, 200, 200, 429, 429])
    })
  )

  it.live("a key stays with one gateway, and so does a conversation, while conversations are spread", () =>
    Effect.gen(function* () {
      const ofKey = yield* Effect.replicateEffect(ask(setup.nginx, { key }), 6)
      expect(ofKey.every(isComplete)).toBe(true)
      expect(new Set(ofKey.map(({ headers }) => gatewayOf(headers))).size).toBe(1)
      const names = Array.from({ length: 12 }, (_, i) => `conversation ${i}`)
      const asked = yield* Effect.forEach([...names, ...names], (name) => ask(setup.nginx, session(name)), {
        concurrency: 4
      })
      const chosen = asked.map(({ headers }) => gatewayOf(headers))
      expect(chosen.slice(names.length)).toEqual(chosen.slice(0, names.length))
      expect(new Set(chosen).size).toBe(2)
    })
  )

  it.live("a client that leaves stops the host, before the first word and after it", () =>
    Effect.gen(function* () {
      for (const prompt of ["silent", "endless"]) {
        const sent = send(setup.nginx, { key, prompt })
        sent.seen.catch(() => undefined)
        yield* until(() => setup.hosts.some(({ running }) => running() === 1))
        if (prompt === "endless") yield* Effect.promise(() => sent.until((text) => wordsOf(text).length > 2))
        sent.request.destroy()
        yield* until(() => setup.hosts.every(({ running }) => running() === 0))
      }
    })
  )

  it.live(
    "a gateway is killed in mid-answer: it breaks, it is not sent again, and the next goes to the other one",
    () =>
      Effect.gen(function* () {
        const [first, second] = yield* Effect.all([findSession(0), findSession(1)])
        const asked = () => setup.hosts.reduce((sum, host) => sum + host.asked(), 0)
        const before = asked()
        const broken = send(setup.nginx, { ...first, prompt: "endless" })
        const other = send(setup.nginx, { ...second, prompt: "endless" })
        for (const sent of [broken, other]) yield* Effect.promise(() => sent.until((text) => wordsOf(text).length > 5))
        yield* kill(0)
        const { isWhole, status, text } = yield* Effect.promise(() => broken.seen)
        expect({ status, isWhole }).toEqual({ status: 200, isWhole: false })
        expect(text).not.toContain("[DONE]")
        expect(text).not.toMatch(/"finish_reason":"/)
        expect(wordsOf(text)).toEqual(Array.from(wordsOf(text), (_, i) => i))
        const next = yield* ask(setup.nginx, first)
        expect(isComplete(next)).toBe(true)
        expect(gatewayOf(next.headers)).toBe(1)
        // That of the other gateway goes on.
        const had = wordsOf(other.text()).length
        yield* Effect.promise(() => other.until((text) => wordsOf(text).length > had + 5))
        expect(wordsOf(other.text())).toEqual(Array.from(wordsOf(other.text()), (_, i) => i))
        other.request.destroy()
        other.seen.catch(() => undefined)
        expect(asked() - before).toBe(3)
        yield* until(() => setup.hosts.every(({ running }) => running() === 0))
        yield* restart(0)
        const isBack = Effect.map(ask(setup.nginx, first), ({ headers }) => gatewayOf(headers) === 0)
        yield* Effect.repeat(Effect.delay(isBack, "200 millis"), { until: (is) => is })
      })
  )

  it.live("a gateway is killed before the answer: 502, and no host gets the request a second time", () =>
    Effect.gen(function* () {
      const first = yield* findSession(0)
      const before = setup.hosts.reduce((sum, host) => sum + host.asked(), 0)
      const sent = send(setup.nginx, { ...first, prompt: "silent" })
      yield* until(() => setup.hosts.some(({ running }) => running() === 1))
      yield* kill(0)
      const { status, text } = yield* Effect.promise(() => sent.seen)
      expect(status).toBe(502)
      expect(wordsOf(text)).toEqual([])
      expect(setup.hosts.reduce((sum, host) => sum + host.asked(), 0) - before).toBe(1)
      yield* restart(0)
    })
  )

  it.live("a host that one gateway finds dead is avoided by the other one, and is back for both", () =>
    Effect.gen(function* () {
      const [dead] = setup.hosts
      const asking = { key, model: "only-0" }
      expect(isComplete(yield* ask(gateways[0], asking))).toBe(true)
      yield* dead.kill
      const trying = Array.from({ length: 6 }, (_, i) => send(gateways[0], { ...asking, prompt: `question ${i}` }))
      yield* untilStatus(0, 0, "off")
      yield* untilStatus(1, 0, "off")
      const responses = yield* Effect.replicateEffect(ask(gateways[1], { key }), 5)
      expect(responses.every(isComplete)).toBe(true)
      yield* dead.start
      for (const { seen } of trying) yield* Effect.promise(() => seen)
      yield* Effect.all([untilStatus(0, 0, "ready"), untilStatus(1, 0, "ready")], { concurrency: 2 })
    })
  )

  it.live("Redis is killed: requests go on, each gateway counts by itself, and they share again when it is back", () =>
    Effect.gen(function* () {
      const [during, after] = yield* Effect.all([
        setup.addKey("--requests-per-minute", "2"),
        setup.addKey("--requests-per-minute", "2")
      ])
      const running = send(gateways[0], { key, prompt: "endless" })
      yield* Effect.promise(() => running.until((text) => wordsOf(text).length > 2))
      yield* setup.redis.kill
      const order = [0, 0, 0, 1, 1, 1] as const
      const alone = yield* Effect.forEach(order, (i) => ask(gateways[i], { key: during }))
      expect(alone.map(({ status }) => status)).toEqual([200, 200, 429, 200, 200, 429])
      const had = wordsOf(running.text()).length
      yield* Effect.promise(() => running.until((text) => wordsOf(text).length > had + 2))
      running.request.destroy()
      running.seen.catch(() => undefined)
      for (const i of [0, 1] as const) {
        yield* untilLogged(i, /limits of keys: the shared store does not answer/)
        yield* untilLogged(i, /health of hosts: the shared store does not answer/)
      }
      yield* setup.redis.start
      for (const i of [0, 1] as const) yield* untilLogged(i, /health of hosts: the shared store answers again/)
      // The first request after a second asks the store again.
      yield* Effect.sleep("1100 millis")
      const together = yield* Effect.forEach(order, (i) => ask(gateways[i], { key: after }))
      expect(together.filter(({ status }) => status === 200)).toHaveLength(2)
      for (const { output } of gateways) expect((yield* output).stderr).not.toContain(setup.redis.password)
    })
  )

  it.live("Redis hangs: requests go on; a gateway starts and stops while it hangs, and while it is off", () =>
    Effect.gen(function* () {
      yield* setup.redis.signal("SIGSTOP")
      const limited = yield* setup.addKey("--requests-per-minute", "9")
      for (const i of [0, 1] as const) {
        const responses = yield* Effect.replicateEffect(ask(gateways[i], { key: limited }), 3)
        expect(responses.every(isComplete)).toBe(true)
      }
      const restartGently = Effect.gen(function* () {
        yield* gateways[0].kill("SIGTERM")
        expect((yield* gateways[0].result).code).toBe(0)
        yield* restart(0)
        expect(isComplete(yield* ask(gateways[0], { key: limited }))).toBe(true)
      })
      yield* restartGently
      yield* setup.redis.signal("SIGCONT")
      yield* setup.redis.kill
      yield* restartGently
      yield* untilLogged(0, /does not answer/)
      yield* setup.redis.start
      yield* untilLogged(0, /answers again/)
    })
  )
})
