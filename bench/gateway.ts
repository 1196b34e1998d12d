// npm run bench:gateway [-- --streams 1,50,200] [-- --rounds 3]: the gateway beside a `node:http` proxy that copies bytes, both in front of
// the same host, which sends a token each 50 ms.
import { Agent, request } from "node:http"
import { parseArgs } from "node:util"
import { start } from "./gateway/process.ts"

const { values } = parseArgs({
  options: { streams: { type: "string", default: "1,50,200" }, rounds: { type: "string", default: "3" } }
})

const tokenMillis = 50
const tokens = 40

const body = JSON.stringify({ model: "m", messages: [{ role: "user", content: "Why is the sky blue?" }] })

/** Milliseconds to the first bytes of a completion. */
const readOne = (url: string, agent: Agent): Promise<number> =>
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
    sent.end(body)
  })

const quantile = (sorted: ReadonlyArray<number>, q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0

const names = ["pipe", "gateway"] as const
const host = await start("host", String(tokenMillis), String(tokens))
const proxies = await Promise.all(names.map(async (name) => ({ name, program: await start("proxy", name, host.url) })))
const agent = new Agent({ keepAlive: true, maxSockets: Infinity })

console.log("| streams | proxy | first token p50/p95 ms | CPU µs/token | RSS MB |\n|---|---|---|---|---|")
for (const streams of values.streams.split(",").map(Number)) {
  for (const {
    name,
    program: { url, usage }
  } of proxies) {
    // Warms up, and opens the connections.
    await Promise.all(Array.from({ length: streams }, () => readOne(url, agent)))
    const before = await usage()
    const times: Array<number> = []
    for (let round = 0; round < Number(values.rounds); round++) {
      times.push(...(await Promise.all(Array.from({ length: streams }, () => readOne(url, agent)))))
    }
    const after = await usage()
    const sorted = times.toSorted((a, b) => a - b)
    const [p50, p95] = [0.5, 0.95].map((q) => quantile(sorted, q).toFixed(0))
    const perToken = (after.cpu - before.cpu) / (times.length * tokens)
    console.log(`| ${streams} | ${name} | ${p50}/${p95} | ${perToken.toFixed(0)} | ${after.rss.toFixed(0)} |`)
  }
}
agent.destroy()
for (const { stop } of [...proxies.map(({ program }) => program), host]) stop()
