// A model of a server as llama.cpp and Ollama are, without time of its own: `advance` computes what has happened until then. So a copy
// of it tells what will happen.
//
// - Requests for a model that is not in memory wait until it is loaded. Those behind them wait too, as in Ollama.
// - The model answers one request in each of its slots; further ones wait in their order.
// - Prompts are read one after the other. That cannot be interrupted, and no tokens are generated meanwhile.
// - Tokens that the chosen sequence of the cache has in common with the prompt are not read again.
// - The more slots generate, the longer each of their tokens takes.

export const slots = 4
/** How many sequences the cache has. */
const maxSequences = 16
/** How many tokens these have together, at most. */
const cacheTokens = 80_000
const loadMillis = 12_000
/** How much longer a token takes for each further slot that generates, as a share. */
const slowdown = 0.15
/** Below this share of the prompt, llama.cpp takes the sequence that was not used for the longest time. */
const minSimilarity = 0.1
/** Of milliseconds and tokens that are left, by sums of fractions. */
const rounding = 1e-6

export interface Settings {
  readonly name: string
  /** The models that it has on its disk. Its memory has room for one. */
  readonly models: ReadonlyArray<string>
  /** The one in its memory at the start. */
  readonly loaded: string
  /** To read a token that is not cached. */
  readonly readMillis: number
  /** To generate a token, alone. */
  readonly tokenMillis: number
  /** From when until when it is off. */
  readonly off: readonly [from: number, until: number]
}

export interface Request {
  readonly model: string
  readonly prompt: ReadonlyArray<string>
  readonly answer: string
}

/** `queued`: until the model is loaded. `waiting`: for a slot. */
const states = ["queued", "waiting", "reading", "generating"] as const

/** A request on its way through the host. */
export interface Job extends Request {
  state: (typeof states)[number] | "ended" | "failed"
  /** Called when it begins to generate, and when it has ended or failed. */
  onChange: (job: Job) => void
  /** Nobody waits for it, but its prompt is being read. */
  isAbandoned: boolean
  cachedTokens: number
  /** Of the prompt. */
  readMillis: number
  /** Tokens of the answer. */
  left: number
  sequence: Sequence | undefined
}

interface Sequence {
  texts: ReadonlyArray<string>
  usedAt: number
}

/** A token has about four letters. */
export const tokensOf = (text: string): number => Math.ceil(text.length / 4)

export const countTokens = (texts: ReadonlyArray<string>): number =>
  texts.reduce((sum, text) => sum + tokensOf(text), 0)

export class Host {
  readonly settings: Settings
  isOff = false
  loaded: string | undefined
  private now = 0
  /** Those of each state are in the order in which they got there. */
  private jobs: ReadonlyArray<Job> = []
  /** Of the loaded model. */
  private sequences: Array<Sequence> = []
  private loading: { readonly name: string; millis: number } | undefined

  constructor(settings: Settings) {
    this.settings = settings
    this.loaded = settings.loaded
  }

  send(request: Request, onChange: (job: Job) => void = () => {}): Job {
    const left = tokensOf(request.answer)
    const fields = { isAbandoned: false, cachedTokens: 0, readMillis: 0, left, sequence: undefined }
    const job: Job = { ...request, ...fields, state: "failed", onChange }
    if (this.isOff) return job
    this.move(job, "queued")
    this.settle()
    return job
  }

  /** The client has gone. */
  cancel(job: Job): void {
    job.onChange = () => {}
    if (job.state === "reading") job.isAbandoned = true
    else if (this.jobs.includes(job)) this.end(job, "ended")
    this.settle()
  }

  /** When the next thing happens if no further request comes. */
  nextAt(): number {
    const [reading] = this.in("reading")
    const compute =
      reading?.readMillis ?? Math.min(...this.in("generating").map(({ left }) => left)) * this.tokenMillis()
    const [from, until] = this.settings.off
    const switched = this.now < from ? from : this.now < until ? until : Infinity
    return Math.min(switched, this.now + Math.min(this.loading?.millis ?? Infinity, compute))
  }

  advance(to: number): void {
    for (let next = this.nextAt(); next <= to; next = this.nextAt()) {
      this.progress(next)
      this.settle()
    }
    this.progress(to)
  }

  /** How long a request would wait for its first token if it came now, with all that is known here and not to a balancer. */
  forecast(request: Request): number {
    if (this.isOff) return Infinity
    const copy = this.copy()
    const job = copy.send(request)
    while (copy.jobs.includes(job) && job.state !== "generating") copy.advance(copy.nextAt())
    return job.state === "failed" ? Infinity : copy.now - this.now
  }

  private in(state: Job["state"]): ReadonlyArray<Job> {
    return this.jobs.filter((job) => job.state === state)
  }

  private move(job: Job, state: Job["state"]): void {
    job.state = state
    this.jobs = [...this.jobs.filter((each) => each !== job), job]
  }

  private tokenMillis(): number {
    return this.settings.tokenMillis * (1 + slowdown * Math.max(0, this.in("generating").length - 1))
  }

  private progress(to: number): void {
    const millis = to - this.now
    const [reading] = this.in("reading")
    if (this.loading !== undefined) this.loading.millis -= millis
    if (reading !== undefined) reading.readMillis -= millis
    else {
      const tokens = millis / this.tokenMillis()
      for (const job of this.in("generating")) job.left -= tokens
    }
    this.now = to
  }

  /** Does what takes no time. */
  private settle(): void {
    const [from, until] = this.settings.off
    const isOff = this.now >= from && this.now < until
    if (isOff !== this.isOff) return this.switchTo(isOff)
    if (this.loading !== undefined && this.loading.millis <= rounding) this.load(this.loading.name)
    const [read] = this.in("reading")
    if (read !== undefined && read.readMillis <= rounding) {
      if (read.isAbandoned) this.end(read, "ended")
      else {
        // Reading the prompt gives the first token.
        read.left -= 1
        this.move(read, "generating")
        read.onChange(read)
      }
    }
    for (const job of this.in("generating").filter(({ left }) => left <= rounding)) this.end(job, "ended")
    this.admit()
    const free = slots - this.in("reading").length - this.in("generating").length
    for (const job of this.in("waiting").slice(0, Math.max(0, free))) this.begin(job)
  }

  /** Gives requests to the model, which may have to be loaded when the one before it has no more requests. */
  private admit(): void {
    for (const job of this.in("queued")) {
      if (job.model !== this.loaded) {
        if (this.jobs.some(({ state }) => state !== "queued") || this.loading !== undefined) return
        this.load(undefined)
        this.loading = { name: job.model, millis: loadMillis }
        return
      }
      this.move(job, "waiting")
    }
  }

  private load(name: string | undefined): void {
    this.loaded = name
    this.sequences = []
    this.loading = undefined
  }

  private begin(job: Job): void {
    const total = countTokens(job.prompt)
    job.sequence = this.chooseSequence(job.prompt, total)
    // At least one token is read, to get the next one.
    job.cachedTokens = Math.min(commonTokens(job.sequence.texts, job.prompt), total - 1)
    job.readMillis = (total - job.cachedTokens) * this.settings.readMillis
    job.sequence.texts = job.prompt
    this.move(job, "reading")
  }

  /**
   * As llama.cpp: the one that has the most in common with the prompt, or else the one that was not used for the longest time. A
   * sequence that would lose more than half of itself is copied first.
   */
  private chooseSequence(prompt: ReadonlyArray<string>, total: number): Sequence {
    const idle = this.idleSequences()
    const common = idle.map((sequence) => ({ sequence, tokens: commonTokens(sequence.texts, prompt) }))
    const [best] = common.toSorted((a, b) => b.tokens - a.tokens)
    const isSimilar = best !== undefined && best.tokens > minSimilarity * total
    if (isSimilar && best.tokens >= countTokens(best.sequence.texts) / 2) return best.sequence
    const texts = isSimilar ? best.sequence.texts : []
    const [oldest] = idle
    if (oldest !== undefined && this.sequences.length >= maxSequences) return Object.assign(oldest, { texts })
    const added: Sequence = { texts, usedAt: this.now }
    this.sequences.push(added)
    return added
  }

  /** Those that no request uses, the one that was not used for the longest time first. */
  private idleSequences(): ReadonlyArray<Sequence> {
    const used = new Set(this.jobs.map(({ sequence }) => sequence))
    return this.sequences.filter((sequence) => !used.has(sequence)).toSorted((a, b) => a.usedAt - b.usedAt)
  }

  private end(job: Job, state: "ended" | "failed"): void {
    job.state = state
    this.jobs = this.jobs.filter((each) => each !== job)
    if (job.sequence !== undefined) {
      const generated = job.answer.length - 4 * Math.max(0, Math.ceil(job.left))
      job.sequence.texts = [...job.prompt, job.answer.slice(0, generated)]
      job.sequence.usedAt = this.now
      this.evict()
    }
    job.onChange(job)
  }

  private evict(): void {
    let tokens = this.sequences.reduce((sum, { texts }) => sum + countTokens(texts), 0)
    for (const oldest of this.idleSequences()) {
      if (tokens <= cacheTokens) return
      tokens -= countTokens(oldest.texts)
      this.sequences = this.sequences.filter((each) => each !== oldest)
    }
  }

  private switchTo(isOff: boolean): void {
    this.isOff = isOff
    this.load(undefined)
    for (const job of states.flatMap((state) => this.in(state))) this.end(job, "failed")
  }

  private copy(): Host {
    const copy = new Host(this.settings)
    const sequences = new Map(this.sequences.map((sequence) => [sequence, { ...sequence }]))
    const copyJob = (job: Job): Job => ({
      ...job,
      sequence: job.sequence && sequences.get(job.sequence),
      onChange: () => {}
    })
    copy.sequences = [...sequences.values()]
    copy.jobs = this.jobs.map(copyJob)
    copy.loaded = this.loaded
    copy.loading = this.loading && { ...this.loading }
    copy.now = this.now
    return copy
  }
}

/** How many tokens two sequences begin with in common. */
function commonTokens(a: ReadonlyArray<string>, b: ReadonlyArray<string>): number {
  let letters = 0
  for (const [i, left] of a.entries()) {
    const right = b[i] ?? ""
    let same = left === right ? left.length : 0
    while (same < Math.min(left.length, right.length) && left[same] === right[same]) same++
    letters += same
    if (left !== right) break
  }
  return Math.floor(letters / 4)
}
