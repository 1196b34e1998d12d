// npm run bench:gateway [-- --write] [-- --litellm PROGRAM] [-- --rounds 5] [-- --burst]: the gateway beside a `node:http` proxy that copies
// bytes, and LiteLLM if its program is given, in front of the same host. Streams have a token each 50 ms. They begin one after the other,
// evenly over the time that a stream takes, as those of many people do; with `--burst`, all at the same moment. `--write` publishes.
import { execFileSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { type Answer, embed, read } from "./gateway/client.ts"
import { type Program, start, startLiteLlm } from "./gateway/process.ts"
import { fillIn, formatNumber, table } from "./report/page.ts"
import { describeEnvironment } from "./report/results.ts"
import { median, quantile } from "./statistics.ts"

const { values } = parseArgs({
  options: {
    streams: { type: "string", default: "1,50,200" },
    rounds: { type: "string", default: "5" },
    burst: { type: "boolean", default: false },
    litellm: { type: "string" },
    write: { type: "boolean", default: false }
  }
})

const tokenMillis = 50

interface Proxy extends Program {
  readonly name: string
}

/** The proxies before a host that sends a token each so many milliseconds. */
const withProxies = async (millis: number, use: (proxies: ReadonlyArray<Proxy>) => Promise<void>): Promise<void> => {
  const host = await start("host", String(millis))
  const proxies: Array<Proxy> = []
  for (const name of ["pipe", "gateway"]) proxies.push({ name, ...(await start("proxy", name, host.url)) })
  if (values.litellm !== undefined) {
    proxies.push({ name: "LiteLLM", ...(await startLiteLlm(values.litellm, host.url)) })
  }
  // Compiles what runs often.
  for (const proxy of proxies)
    await readAll(proxy, { streams: 20, rounds: proxy.name === "LiteLLM" ? 3 : 30, tokens: 1 })
  await use(proxies)
  for (const { stop } of [...proxies, host]) stop()
}

/** Completions of a number of streams, each of them one after the other. */
const readAll = async (
  proxy: Proxy,
  { apart = 0, rounds, streams, tokens }: { apart?: number; rounds: number; streams: number; tokens: number }
): Promise<Array<Answer>> => {
  const readSeveral = async (_: unknown, index: number) => {
    await new Promise((resolve) => setTimeout(resolve, index * apart))
    const answers: Array<Answer> = []
    for (let round = 0; round < rounds; round++) answers.push(await read(proxy.url, proxy.name === "LiteLLM", tokens))
    return answers
  }
  return (await Promise.all(Array.from({ length: streams }, readSeveral))).flat()
}

const rows: Array<ReadonlyArray<string>> = []
const add = (...row: ReadonlyArray<string>): void => {
  rows.push(row)
  process.stderr.write(`${row.join(" | ")}\n`)
}
const show = (value: number, digits = 0): string => (Number.isFinite(value) ? formatNumber(value, digits) : "")

const measurePaced = (streams: number) => async (proxies: ReadonlyArray<Proxy>) => {
  const tokens = streams === 1 ? 10 : 40
  const apart = values.burst ? 0 : (tokenMillis * tokens) / streams
  const rounds = Math.max(Number(values.rounds), Math.ceil(20 / streams))
  for (const proxy of proxies) {
    // Opens the connections.
    await readAll(proxy, { streams, rounds: 1, tokens, apart })
    const before = proxy.usage()
    const answers = await readAll(proxy, { streams, rounds, tokens, apart })
    const after = proxy.usage()
    const waits = answers.map(({ first }) => first - tokenMillis)
    const cpu = (after.cpu - before.cpu) / (answers.length * tokens)
    add(
      `${streams} paced stream${streams === 1 ? "" : "s"}`,
      proxy.name,
      ...[0.5, 0.95].map((share) => show(quantile(waits, share), 1)),
      show(cpu),
      show(after.rss)
    )
  }
}

const measureSmall = async (proxies: ReadonlyArray<Proxy>) => {
  for (const proxy of proxies) {
    const before = proxy.usage()
    const answers = await readAll(proxy, { streams: 1, rounds: proxy.name === "LiteLLM" ? 100 : 1000, tokens: 5 })
    const after = proxy.usage()
    const times = answers.map(({ whole }) => whole)
    const cpu = (after.cpu - before.cpu) / (answers.length * 5)
    add(
      "answers of 5 tokens, one by one",
      proxy.name,
      ...[0.5, 0.95].map((share) => show(quantile(times, share), 1)),
      show(cpu),
      show(after.rss)
    )
  }
}

const measureEmbeddings = async (proxies: ReadonlyArray<Proxy>) => {
  for (const proxy of proxies) {
    const times: Array<number> = []
    for (let round = 0; round < 3; round++) times.push(await embed(proxy.url, proxy.name === "LiteLLM"))
    add("32 MB of embeddings", proxy.name, show(median(times)), show(Math.max(...times)), "", show(proxy.usage().rss))
  }
}

for (const streams of values.streams.split(",").map(Number)) await withProxies(tokenMillis, measurePaced(streams))
await withProxies(0, measureSmall)
await withProxies(0, measureEmbeddings)

const heading = ["load", "proxy", "p50, ms", "p95, ms", "CPU, µs per token", "memory, MB"]
// It prints "LiteLLM: Current Version = 1.2.3".
const peer =
  values.litellm === undefined
    ? ""
    : ` LiteLLM ${execFileSync(values.litellm, ["--version"]).toString().split("= ")[1]?.trim()}.`
const tables = `${table([heading, ...rows])}\n\nMeasured on ${new Date().toISOString().slice(0, 10)}. ${describeEnvironment()}${peer}`
console.log(tables)
if (values.write) {
  const page = new URL("../docs/performance.md", import.meta.url)
  writeFileSync(page, fillIn(readFileSync(page, "utf8"), "gateway", tables))
}
