// What the clients send, and the hosts that they have. All of it follows from the seed, so every balancer gets the same.
import type { Settings } from "./host.ts"

/** A client that sends one request after the other. */
export interface Session {
  readonly at: number
  /** The same for all requests that begin with the same long text. */
  readonly key: string
  readonly model: string
  readonly isBatch: boolean
  /** What all of its requests begin with. */
  readonly prefix: ReadonlyArray<string>
  /** Whether each request repeats the turns before it. */
  readonly isConversation: boolean
  readonly turns: ReadonlyArray<Turn>
}

export interface Turn {
  /** From the end of the turn before. */
  readonly afterMillis: number
  readonly question: string
  readonly answer: string
}

export interface Workload {
  readonly hosts: ReadonlyArray<Settings>
  readonly sessions: ReadonlyArray<Session>
}

type Random = () => number

const second = 1000
const minute = 60 * second
const length = 20 * minute

const gpu: Omit<Settings, "name" | "loaded"> = {
  models: ["large"],
  memory: 1,
  loadMillis: 12 * second,
  slots: 4,
  sequences: 16,
  cacheTokens: 80_000,
  readMillis: 0.8,
  tokenMillis: 18,
  slowdown: 0.15
}

const hosts = (differences: (index: number) => Partial<Settings> = () => ({})): ReadonlyArray<Settings> => {
  const make = (name: string, index: number): Settings => ({ ...gpu, name, loaded: ["large"], ...differences(index) })
  return ["a", "b", "c", "d"].map(make)
}

const exponential = (random: Random, mean: number): number => -Math.log(1 - random()) * mean

const between = (random: Random, low: number, high: number): number => Math.floor(low + random() * (high - low))

/** When things happen that come independently of each other. */
function poisson(random: Random, everyMillis: number, until: number = length): ReadonlyArray<number> {
  const times: Array<number> = []
  for (let at = exponential(random, everyMillis); at < until; at += exponential(random, everyMillis)) times.push(at)
  return times
}

/** A text of so many tokens that no other text begins with. */
const text = (random: Random, tokens: number): string =>
  `${random()} `.padEnd(4 * tokens, "lorem ipsum dolor sit amet ").slice(0, 4 * tokens)

const systemPrompt = text(() => 0, 400)

const chatTurn = (random: Random): Turn => ({
  afterMillis: exponential(random, 20 * second),
  question: text(random, between(random, 20, 400)),
  answer: text(random, between(random, 50, 500))
})

/** A conversation. Its later turns have thousands of tokens before them. */
const chat = (random: Random, at: number, model = "large"): Session => {
  const turns = Array.from({ length: 1 + Math.floor(exponential(random, 9)) }, () => chatTurn(random))
  const prefix = [systemPrompt, text(random, between(random, 20, 2000))]
  return { at, key: String(random()), model, isBatch: false, prefix, isConversation: true, turns }
}

const chats = (random: Random, everyMillis: number): ReadonlyArray<Session> =>
  poisson(random, everyMillis).map((at) => chat(random, at))

/** Questions of many people about long documents, which come independently of one another. */
const documents = (random: Random): ReadonlyArray<Session> =>
  poisson(random, 60 * second).flatMap((begin) => {
    const document = text(random, between(random, 5000, 15_000))
    const key = String(random())
    return poisson(random, 8 * second, exponential(random, 2 * minute)).map((after) => ({
      at: begin + after,
      key,
      model: "large",
      isBatch: false,
      prefix: [document],
      isConversation: false,
      turns: [{ ...chatTurn(random), afterMillis: 0 }]
    }))
  })

/** Some conversations, and many that begin within seconds. */
const bursts = (random: Random): ReadonlyArray<Session> => [
  ...chats(random, 45 * second),
  ...poisson(random, 4 * minute).flatMap((begin) =>
    Array.from({ length: between(random, 8, 24) }, () => chat(random, begin + exponential(random, second)))
  )
]

/** Three jobs that send 16 requests at the same time for some minutes. */
const batches = (random: Random): ReadonlyArray<Session> =>
  [0.1, 0.4, 0.7].flatMap((share) =>
    Array.from({ length: 16 }, () => ({
      at: share * length,
      key: String(random()),
      model: "large",
      isBatch: true,
      prefix: [text(random, 300)],
      isConversation: false,
      turns: Array.from({ length: 12 }, () => ({
        afterMillis: 0,
        question: text(random, between(random, 200, 1500)),
        answer: text(random, between(random, 50, 300))
      }))
    }))
  )

const workloads: Readonly<Record<string, (random: Random) => Workload>> = {
  chat: (random) => ({ hosts: hosts(), sessions: chats(random, 11 * second) }),
  document: (random) => ({ hosts: hosts(), sessions: documents(random) }),
  "two models": (random) => ({
    hosts: hosts((index) => ({ models: ["large", "small"], loaded: [index === 3 ? "small" : "large"] })),
    sessions: poisson(random, 14 * second).map((at) => chat(random, at, random() < 0.8 ? "large" : "small"))
  }),
  bursts: (random) => ({ hosts: hosts(), sessions: bursts(random) }),
  "unequal hosts": (random) => ({
    hosts: hosts((index) => {
      const factor = [0.5, 1, 2, 4][index] ?? 1
      return { readMillis: gpu.readMillis * factor, tokenMillis: gpu.tokenMillis * factor }
    }),
    sessions: chats(random, 11 * second)
  }),
  "a host dies": (random) => ({
    hosts: hosts((index) => (index === 0 ? { off: [6 * minute, 10 * minute] } : {})),
    sessions: chats(random, 12 * second)
  }),
  "batch and interactive": (random) => ({
    hosts: hosts(),
    sessions: [...chats(random, 16 * second), ...batches(random)]
  })
}

export const names: ReadonlyArray<string> = Object.keys(workloads)

export const make = (name: string, random: Random): Workload => {
  const workload = workloads[name]
  if (workload === undefined) throw new Error(`there is no workload ${name}`)
  return workload(random)
}
