// The gateway beside a proxy that copies bytes, and LiteLLM if its program is given, in front of the server.
import { setTimeout as sleep } from "node:timers/promises"
import { startLiteLlm } from "../gateway/litellm.ts"
import { start, type Program } from "../process.ts"
import { key, parseScenario, scenario } from "../server/scenarios.ts"
import { quantile, sharedNow } from "../statistics.ts"
import type { Subject } from "../subjects/catalogue.ts"
import { keep, runTask, startClient, type Bench, type Figures, type Measure } from "./Measure.ts"

export interface Load {
  /** How many clients there are. Each reads its answers one after the other. */
  readonly streams: number
  readonly answers: number
  /** What is read; none for the vectors of a thousand texts. */
  readonly scenario?: string
}

/** Clients begin one after the other, evenly over the second that a stream takes, as those of many people do. */
const loads: Readonly<Record<string, Load>> = {
  "1 paced stream": { streams: 1, answers: 8, scenario: scenario.slow },
  "50 paced streams": { streams: 50, answers: 2, scenario: scenario.slow },
  "200 paced streams": { streams: 200, answers: 2, scenario: scenario.slow },
  "answers of 5 tokens, one by one": { streams: 1, answers: 200, scenario: scenario.small },
  "32 MB of embeddings": { streams: 1, answers: 2 }
}
const proxies = ["pipe", "gateway", "LiteLLM"]
const subjects = Object.entries(loads).flatMap(([name, load]) =>
  proxies.map((proxy) => ({ name: `${proxy}, ${name}`, proxy, load }))
)

export const gateway: Measure = {
  name: "gateway",
  title: "The gateway beside other proxies",
  columns: [
    { figure: "p50", title: "p50, ms", digits: 1 },
    { figure: "p95", title: "p95, ms", digits: 1 },
    { figure: "cpu", title: "CPU per token, µs", digits: 0 },
    { figure: "memory", title: "memory, MB", digits: 0 }
  ],
  targets: ["50 paced streams", "answers of 5 tokens, one by one"].map((load) => {
    return { level: "goal", subject: `gateway, ${load}`, figure: "p50", what: "ms", atMost: 5, above: `pipe, ${load}` }
  }),
  subjects: subjects.map(({ name }) => name),
  rounds: 2,
  warmUp: true,
  task: readAll,
  open: (bench) => {
    const opened = keep((key) => openProxy(key, bench))
    const turn = async function* (subject: string, round: number) {
      const { load, proxy = "" } = subjects.find(({ name }) => name === subject) ?? {}
      const isLarge = load?.scenario === undefined
      if (load === undefined || (proxy === "LiteLLM" && bench.litellm === undefined) || (isLarge && round === 0)) return
      const [streams, answers] = bench.quick ? [5, 2] : [round === 0 ? 20 : Infinity, Infinity]
      const smaller = { streams: Math.min(load.streams, streams), answers: Math.min(load.answers, answers) }
      // The memory of the other loads must not contain what large bodies leave behind.
      yield measure(await opened.get(isLarge ? subject : proxy), { ...load, ...smaller })
    }
    return { turn, close: opened.close }
  }
}

interface Opened {
  readonly proxy: Omit<Program, "ask">
  readonly client: Program
  readonly stop: () => void
}

/** LiteLLM has the routes of OpenAI, the others those of Ollama. The key begins with the name of the proxy. */
async function openProxy(key: string, { litellm = "", serverUrl }: Bench): Promise<Opened> {
  const [name = ""] = key.split(",")
  const isLiteLlm = name === "LiteLLM"
  const proxy = await (isLiteLlm ? startLiteLlm(litellm, serverUrl) : start("gateway/proxy.ts", [name, serverUrl]))
  const client = await startClient(isLiteLlm ? "floor, SSE" : "floor, NDJSON", proxy.ready)
  const stop = () => {
    client.stop()
    proxy.stop()
  }
  return { proxy, client, stop }
}

async function measure({ client, proxy }: Opened, load: Load): Promise<Figures> {
  const before = proxy.usage()
  const { p50 = Number.NaN, p95 = Number.NaN, tokens = 0 } = await runTask(client, "gateway", load)
  const { cpu, memory } = proxy.usage()
  return { p50, p95, cpu: tokens === 0 ? Number.NaN : (cpu - before.cpu) / tokens, memory }
}

async function readAll(subject: Subject, { answers, scenario, streams }: Load, serverUrl: string): Promise<Figures> {
  const times: Array<number> = []
  const delays: Array<number> = []
  let tokens = 0
  const { amount, seconds } = parseScenario(scenario ?? "")
  // The server may send one token less in a second.
  const [isPaced, least] = seconds > 0 ? [true, 19] : [false, amount]
  const readOne = async () => {
    const startedAt = performance.now()
    let [first, received] = [Number.NaN, 0]
    if (scenario === undefined) await embed(subject, serverUrl)
    else {
      await subject.read(scenario, (text) => {
        if (text === "") return
        received++
        if (isPaced && received === 1) first = performance.now() - startedAt
        else if (isPaced) delays.push(sharedNow() - Number(text))
      })
      if (received < least) throw new Error(`only ${received} tokens arrived`)
    }
    times.push(Number.isNaN(first) ? performance.now() - startedAt : first)
    tokens += received
  }
  const readSeveral = async (_: unknown, index: number) => {
    if (isPaced) await sleep((index * 1000) / streams)
    for (let answer = 0; answer < answers; answer++) await readOne()
  }
  await Promise.all(Array.from({ length: streams }, readSeveral))
  return { p50: quantile(times, 0.5), p95: quantile(times, 0.95), delay: quantile(delays, 0.5), tokens }
}

/** Waits for the vectors of a thousand texts. */
async function embed({ protocol }: Subject, serverUrl: string): Promise<void> {
  const [path, model] = protocol === "sse" ? ["/v1/embeddings", "embeddings"] : ["/api/embed", scenario.small]
  const input = Array.from({ length: 1000 }, (_, index) => `text ${index}`)
  const headers = { "content-type": "application/json", authorization: `Bearer ${key}` }
  const response = await fetch(serverUrl + path, { method: "POST", headers, body: JSON.stringify({ model, input }) })
  const { byteLength } = await response.arrayBuffer()
  if (byteLength < 30e6) throw new Error(`${response.status}: only ${byteLength} bytes`)
}
