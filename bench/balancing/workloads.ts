// What the clients send, and the hosts that they have. All of it follows from the seed, so every balancer gets the same.
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { Settings } from "./host.ts"

/** A client that sends one request after the other. */
export interface Session {
  readonly at: number
  /** The same for all requests that begin with the same long text. */
  readonly key: string
  readonly model: string
  readonly isBatch: boolean
  /** The system message. */
  readonly system: string
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
  /** When the last request begins, at the latest, in milliseconds. */
  readonly length: number
}

interface Load {
  readonly random: () => number
  /** For how long sessions begin, in milliseconds. */
  readonly length: number
}

const second = 1000
const minute = 60 * second

const gpu: Omit<Settings, "name"> = {
  models: ["large"],
  loaded: "large",
  readMillis: 0.8,
  tokenMillis: 18,
  off: [Infinity, Infinity]
}

const hosts = (differences: (index: number) => Partial<Settings> = () => ({})): ReadonlyArray<Settings> => {
  const make = (name: string, index: number): Settings => ({ ...gpu, name, ...differences(index) })
  return ["a", "b", "c", "d"].map(make)
}

const exponential = (random: () => number, mean: number): number => -Math.log(1 - random()) * mean

const between = ({ random }: Load, low: number, high: number): number => Math.floor(low + random() * (high - low))

/** When things happen that come independently of each other. */
function poisson(load: Load, everyMillis: number, until: number = load.length): ReadonlyArray<number> {
  const times: Array<number> = []
  for (let at = exponential(load.random, everyMillis); at < until; at += exponential(load.random, everyMillis))
    times.push(at)
  return times
}

/** A text of so many tokens that no other text begins with. */
const text = ({ random }: Load, tokens: number): string =>
  `${random()} `.padEnd(4 * tokens, "lorem ipsum dolor sit amet ").slice(0, 4 * tokens)

const systemPrompt = text({ random: () => 0, length: 0 }, 400)

const session = (fields: Pick<Session, "at" | "key" | "system" | "turns"> & Partial<Session>): Session => ({
  model: "large",
  isBatch: false,
  isConversation: false,
  ...fields
})

const chatTurn = (load: Load): Turn => ({
  afterMillis: exponential(load.random, 20 * second),
  question: text(load, between(load, 20, 400)),
  answer: text(load, between(load, 50, 500))
})

/** A conversation. Its first question may be long, and its later ones have thousands of tokens before them. */
const chat = (load: Load, at: number, model = "large"): Session => {
  const first = { ...chatTurn(load), afterMillis: 0, question: text(load, between(load, 50, 2500)) }
  const later = Array.from({ length: Math.floor(exponential(load.random, 9)) }, () => chatTurn(load))
  const [key, turns] = [String(load.random()), [first, ...later]]
  return session({ at, key, model, system: systemPrompt, isConversation: true, turns })
}

const chats = (load: Load, everyMillis: number): ReadonlyArray<Session> =>
  poisson(load, everyMillis).map((at) => chat(load, at))

/** Questions of many people about long documents, which come independently of one another. */
const documents = (load: Load): ReadonlyArray<Session> =>
  poisson(load, 60 * second).flatMap((begin) => {
    const document = text(load, between(load, 5000, 15_000))
    const key = String(load.random())
    return poisson(load, 8 * second, exponential(load.random, 2 * minute)).map((after) =>
      session({ at: begin + after, key, system: document, turns: [{ ...chatTurn(load), afterMillis: 0 }] })
    )
  })

/** Some conversations, and many that begin within seconds. */
const bursts = (load: Load): ReadonlyArray<Session> => [
  ...chats(load, 45 * second),
  ...poisson(load, 4 * minute).flatMap((begin) =>
    Array.from({ length: between(load, 8, 24) }, () => chat(load, begin + exponential(load.random, second)))
  )
]

/** Three jobs that send 16 requests at the same time for some minutes. */
const batches = (load: Load): ReadonlyArray<Session> =>
  [0.1, 0.4, 0.7].flatMap((share) => {
    const batchPrompt = text(load, 300)
    return Array.from({ length: 16 }, () =>
      session({
        at: share * load.length,
        key: String(load.random()),
        isBatch: true,
        system: batchPrompt,
        turns: Array.from({ length: 12 }, () => ({
          afterMillis: 0,
          question: text(load, between(load, 200, 1500)),
          answer: text(load, between(load, 50, 300))
        }))
      })
    )
  })

const workloads: Readonly<Record<string, (load: Load) => Omit<Workload, "length">>> = {
  chat: (load) => ({ hosts: hosts(), sessions: chats(load, 11 * second) }),
  document: (load) => ({ hosts: hosts(), sessions: documents(load) }),
  "two models": (load) => ({
    hosts: hosts((index) => ({ models: ["large", "small"], loaded: index === 3 ? "small" : "large" })),
    sessions: poisson(load, 14 * second).map((at) => chat(load, at, load.random() < 0.8 ? "large" : "small"))
  }),
  bursts: (load) => ({ hosts: hosts(), sessions: bursts(load) }),
  "unequal hosts": (load) => ({
    hosts: hosts((index) => {
      const factor = [0.5, 1, 2, 4][index] ?? 1
      return { readMillis: gpu.readMillis * factor, tokenMillis: gpu.tokenMillis * factor }
    }),
    sessions: chats(load, 11 * second)
  }),
  "a host dies": (load) => ({
    hosts: hosts((index) => (index === 0 ? { off: [0.3 * load.length, 0.5 * load.length] } : {})),
    sessions: chats(load, 12 * second)
  }),
  "batch and interactive": (load) => ({
    hosts: hosts(),
    sessions: [...chats(load, 16 * second), ...batches(load)]
  })
}

export const names: ReadonlyArray<string> = Object.keys(workloads)

export const make = (name: string, seed: number, minutes: number): Workload => {
  const load = { random: randomOf(`${name} ${seed}`), length: minutes * minute }
  const workload = workloads[name]
  if (workload === undefined) throw new Error(`there is no workload ${name}`)
  return { ...workload(load), length: load.length }
}

const randomOf = (seed: string): (() => number) =>
  Effect.runSync(Effect.map(Random.Random, (random) => () => random.nextDoubleUnsafe()).pipe(Random.withSeed(seed)))
