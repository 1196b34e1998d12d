// npm run bench:gateway [-- --streams 1,50,200] [-- --rounds 5] [-- --burst]: the gateway beside a `node:http` proxy that copies bytes, both
// in front of the same host, which sends a token each 50 ms. Streams begin one after the other, evenly over the time that a stream takes, as
// those of many people do; with `--burst`, all at the same moment.
import { Agent, request } from "node:http"
import { setTimeout as sleep } from "node:timers/promises"
import { parseArgs } from "node:util"
import { start } from "./gateway/process.ts"
import { quantile } from "./statistics.ts"

const { values } = parseArgs({
  options: {
    streams: { type: "string", default: "1,50,200" },
    rounds: { type: "string", default: "5" },
    burst: { type: "boolean", default: false }
  }
})

const tokenMillis = 50

const bodyOf = (tokens: number): string =>
  JSON.stringify({
    model: "m",
    messages: [{ role: "user", content: "Why is the sky blue?" }],
    options: { num_predict: tokens }
  })

/** Milliseconds to the first bytes of a completion. */
const readOne = (url: string, tokens: number): Promise<number> =>
  new Promise((resolve, reject) => {
    const startedAt = performance.now()
    let first: number | undefined
    const sent = request(`${url}/api/chat`, { agent, method: "POST" }, (response) => {
      let last = ""
      response.on("data", (bytes: Buffer) => {
        first ??= performance.now() - startedAt
        last = bytes.toString()
      })
      response.on("end", () =>
        last.includes('"done":true') ? resolve(first ?? 0) : reject(new Error(`an incomplete response: ${last}`))
      )
    })
    sent.on("error", reject)
    sent.end(bodyOf(tokens))
  })

/** Completions of a number of streams, each of them one after the other. They begin evenly over the time of one. */
const readAll = async (url: string, streams: number, rounds: number, tokens: number): Promise<Array<number>> => {
  const apart = values.burst ? 0 : (tokenMillis * tokens) / streams
  const readSeveral = async (_: unknown, index: number) => {
    await sleep(index * apart)
    const times: Array<number> = []
    for (let round = 0; round < rounds; round++) times.push(await readOne(url, tokens))
    return times
  }
  return (await Promise.all(Array.from({ length: streams }, readSeveral))).flat()
}

const host = await start("host", String(tokenMillis))
const names = ["pipe", "gateway"] as const
const proxies = await Promise.all(names.map(async (name) => ({ name, program: await start("proxy", name, host.url) })))
const agent = new Agent({ keepAlive: true, maxSockets: Infinity })

console.log("| streams | proxy | first token p50/p95 ms | CPU µs/token | RSS MB |\n|---|---|---|---|---|")
for (const { program } of proxies) await readAll(program.url, 20, 30, 1)
for (const streams of values.streams.split(",").map(Number)) {
  const rounds = Math.max(Number(values.rounds), Math.ceil(50 / streams))
  const tokens = streams === 1 ? 10 : 40
  for (const {
    name,
    program: { url, usage }
  } of proxies) {
    // Opens the connections.
    await readAll(url, streams, 1, tokens)
    const before = await usage()
    const times = await readAll(url, streams, rounds, tokens)
    const after = await usage()
    const [p50, p95] = [0.5, 0.95].map((share) => (quantile(times, share) - tokenMillis).toFixed(1))
    const perToken = (after.cpu - before.cpu) / (times.length * tokens)
    console.log(`| ${streams} | ${name} | ${p50}/${p95} | ${perToken.toFixed(0)} | ${after.rss.toFixed(0)} |`)
  }
}
agent.destroy()
for (const { stop } of [...proxies.map(({ program }) => program), host]) stop()
