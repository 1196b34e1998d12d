/** Runs the cases of a client and reports what it saw: one line of JSON for each. `run.py` is the same for Python. */
import facts from "../facts.json" with { type: "json" }

export { facts }

/** A gateway, and what is behind it. */
export interface Target {
  /** The server behind it. */
  readonly host: string
  readonly url: string
  /** Answers when the host's sockets for this model are closed: `${control}/${model}`. */
  readonly control: string
}

/** What the client shows of a failure: the class of its error, and the status. */
export interface Failure {
  readonly error: string
  readonly status?: number | undefined
}

/** The text that came, and how it ended. */
export interface Reading {
  readonly text: string
  readonly finish?: string | undefined
  readonly tokens?: ReadonlyArray<number | undefined> | undefined
  /** Whether it came in several parts. */
  readonly isStreamed?: boolean | undefined
}

/** Each returns what the client saw. */
export interface Cases {
  readonly [name: string]: () => Promise<object>
}

/** The failure of a program that should have failed. */
export const failureOf = async (use: () => Promise<unknown>): Promise<Failure> => {
  try {
    await use()
    return { error: "none" }
  } catch (error) {
    return toFailure(error)
  }
}

export const toFailure = (error: unknown): Failure => {
  if (!(error instanceof Error)) return { error: JSON.stringify(error) }
  const named = error as Error & {
    readonly status?: unknown
    readonly status_code?: unknown
    readonly statusCode?: unknown
  }
  const status = named.status ?? named.status_code ?? named.statusCode
  const name = error.name === "Error" ? error.constructor.name : error.name
  return { error: name, ...(typeof status === "number" ? { status } : {}) }
}

export interface Part {
  readonly text?: string | undefined
  readonly finish?: string | undefined
}

/** Reads parts until they end or fail. */
export const read = async (parts: () => AsyncIterable<Part>): Promise<Reading & Partial<Failure>> => {
  let text = ""
  let count = 0
  let finish: string | undefined
  try {
    for await (const part of parts()) {
      text += part.text ?? ""
      if (part.text) count++
      finish = part.finish ?? finish
    }
  } catch (error) {
    return { text, ...toFailure(error) }
  }
  return { text, isStreamed: count > 2, ...(finish === undefined ? {} : { finish: toFinish(finish) }) }
}

const finishes: { readonly [name: string]: string } = { end_turn: "stop", max_tokens: "length", completed: "stop" }

/** Protocols have different words for the same. */
export const toFinish = (finish: string | null | undefined): string => finishes[finish ?? "none"] ?? finish ?? "none"

/** How many of 32 requests at once get the text that they asked for. */
export const many = async (ask: (question: string) => Promise<string | null | undefined>): Promise<object> => {
  const questions = Array.from({ length: 32 }, (_, index) => `number ${index}`)
  const answers = await Promise.all(questions.map(ask))
  return { right: answers.filter((answer, index) => answer === questions[index]).length }
}

/** Whether the host's sockets for the model were closed, while this process runs on. */
export const closed = async ({ control }: Target, model: string): Promise<object> =>
  (await fetch(`${control}/${model}`)).json() as Promise<object>

const timeLimit = 60_000

/** `clients`: by name, for each gateway of the command line. */
export const run = async (clients: { readonly [name: string]: (target: Target) => Cases }): Promise<void> => {
  const targets: ReadonlyArray<Target> = JSON.parse(process.argv[2] ?? "[]")
  const only = process.argv[3]
  for (const [client, makeCases] of Object.entries(clients)) {
    for (const target of targets) {
      for (const [name, use] of Object.entries(makeCases(target))) {
        if (only !== undefined && only !== name) continue
        const result = await within(use)
        process.stdout.write(`${JSON.stringify({ client, host: target.host, case: name, ...result })}\n`)
      }
    }
  }
  // Some clients keep connections or timers.
  process.exit()
}

const within = async (use: () => Promise<object>): Promise<object> => {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("too late")), timeLimit)
  })
  try {
    return { result: await Promise.race([use(), late]) }
  } catch (error) {
    return { fault: error instanceof Error ? `${error.name}: ${error.message}\n${error.stack}` : JSON.stringify(error) }
  } finally {
    clearTimeout(timer)
  }
}
