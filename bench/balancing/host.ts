// A model of a server as llama.cpp and Ollama are, without time of its own: `advance` computes what has happened until then. So a copy
// of it tells what will happen.
//
// - Requests for a model that is not in memory wait until it is loaded. Those behind them wait too, as in Ollama.
// - A model answers one request in each of its slots; further ones wait in their order.
// - Prompts are read one after the other. That cannot be interrupted, and no tokens are generated meanwhile.
// - Tokens that the chosen sequence of the cache has in common with the prompt are not read again.
// - The more slots generate, the longer each of their tokens takes.

export interface Settings {
  readonly name: string
  /** The models that it has on its disk. */
  readonly models: ReadonlyArray<string>
  /** How many models fit into its memory. */
  readonly memory: number
  /** Those that are in its memory at the start. */
  readonly loaded: ReadonlyArray<string>
  readonly loadMillis: number
  /** How many requests each model answers at the same time. */
  readonly slots: number
  /** How many sequences each model keeps in its cache: as many as slots, or more. */
  readonly sequences: number
  /** How many tokens these have together, at most. */
  readonly cacheTokens: number
  /** To read a token that is not cached, if it is the first of a prompt. */
  readonly readMillis: number
  /** How much longer that takes for each token before it. */
  readonly attentionMillis: number
  /** To generate a token, alone. */
  readonly tokenMillis: number
  /** How much longer a token takes for each further slot that generates, as a share. */
  readonly slowdown: number
  /** From when until when it is off, if it fails. */
  readonly off?: readonly [from: number, until: number] | undefined
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

interface Model {
  sequences: Array<Sequence>
  usedAt: number
}

/** A token has about four letters. */
export const tokensOf = (text: string): number => Math.ceil(text.length / 4)

export const countTokens = (texts: ReadonlyArray<string>): number =>
  texts.reduce((sum, text) => sum + tokensOf(text), 0)

/** Below this share of the prompt, llama.cpp takes the sequence that was not used for the longest time. */
const minSimilarity = 0.1

/** Of milliseconds and tokens that are left, by sums of fractions. */
const rounding = 1e-6

export class Host {
  readonly settings: Settings
  isOff = false
  private now = 0
  /** Those of each state are in the order in which they got there. */
  private jobs: ReadonlyArray<Job> = []
  private models: Map<string, Model>
  private loading: { readonly name: string; millis: number } | undefined

  constructor(settings: Settings) {
    this.settings = settings
    this.models = new Map(settings.loaded.map((name) => [name, { sequences: [], usedAt: 0 }]))
  }

  isLoaded(model: string): boolean {
    return this.models.has(model)
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
    const [from, until] = this.settings.off ?? [Infinity, Infinity]
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
    const copy = this.fork()
    const job = copy.send(request)
    while (copy.jobs.includes(job) && job.state !== "generating") copy.advance(copy.nextAt())
    return job.state === "failed" ? Infinity : copy.now - this.now
  }

  private in(state: Job["state"], model?: string): ReadonlyArray<Job> {
    return this.jobs.filter((job) => job.state === state && (model === undefined || job.model === model))
  }

  private move(job: Job, state: Job["state"]): void {
    job.state = state
    this.jobs = [...this.jobs.filter((each) => each !== job), job]
  }

  private tokenMillis(): number {
    const { slowdown, tokenMillis } = this.settings
    return tokenMillis * (1 + slowdown * Math.max(0, this.in("generating").length - 1))
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
    const [from, until] = this.settings.off ?? [Infinity, Infinity]
    const isOff = this.now >= from && this.now < until
    if (isOff !== this.isOff) return this.switchTo(isOff)
    if (this.loading !== undefined && this.loading.millis <= rounding) {
      this.models.set(this.loading.name, { sequences: [], usedAt: this.now })
      this.loading = undefined
    }
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
    for (const [name, model] of this.models) this.fill(name, model)
  }

  /** Gives requests to their models, which may have to be loaded. */
  private admit(): void {
    for (const job of this.in("queued")) {
      const model = this.models.get(job.model)
      if (model === undefined) {
        if (this.loading === undefined && this.makeRoom())
          this.loading = { name: job.model, millis: this.settings.loadMillis }
        return
      }
      this.move(job, "waiting")
      model.usedAt = this.now
    }
  }

  /** Returns whether there is memory for one more model. */
  private makeRoom(): boolean {
    if (this.models.size < this.settings.memory) return true
    const isIdle = (name: string) => !this.jobs.some(({ model, state }) => model === name && state !== "queued")
    const idle = [...this.models].filter(([name]) => isIdle(name)).toSorted(([, a], [, b]) => a.usedAt - b.usedAt)
    return idle[0] !== undefined && this.models.delete(idle[0][0])
  }

  private fill(name: string, model: Model): void {
    const free = this.settings.slots - this.in("reading", name).length - this.in("generating", name).length
    for (const job of this.in("waiting", name).slice(0, Math.max(0, free))) {
      const total = countTokens(job.prompt)
      job.sequence = this.chooseSequence(model, job.prompt, total)
      // At least one token is read, to get the next one.
      job.cachedTokens = Math.min(commonTokens(job.sequence.texts, job.prompt), total - 1)
      job.readMillis = this.readMillis(job.cachedTokens, total)
      job.sequence.texts = job.prompt
      this.move(job, "reading")
    }
  }

  private readMillis(from: number, to: number): number {
    const { attentionMillis, readMillis } = this.settings
    return (to - from) * (readMillis + (attentionMillis * (from + to)) / 2)
  }

  /**
   * As llama.cpp: the one that has the most in common with the prompt, or else the one that was not used for the longest time. If
   * there is memory for more than the slots use, a sequence that would lose more than half of itself is copied first.
   */
  private chooseSequence(model: Model, prompt: ReadonlyArray<string>, total: number): Sequence {
    const { sequences: max, slots } = this.settings
    const idle = this.idleSequences(model)
    const common = idle.map((sequence) => ({ sequence, tokens: commonTokens(sequence.texts, prompt) }))
    const [best] = common.toSorted((a, b) => b.tokens - a.tokens)
    const isSimilar = best !== undefined && best.tokens > minSimilarity * total
    if (isSimilar && (max === slots || best.tokens >= countTokens(best.sequence.texts) / 2)) return best.sequence
    const texts = isSimilar ? best.sequence.texts : []
    const [oldest] = idle
    if (oldest !== undefined && model.sequences.length >= max) return Object.assign(oldest, { texts })
    const added: Sequence = { texts, usedAt: this.now }
    model.sequences.push(added)
    return added
  }

  /** Those that no request uses, the one that was not used for the longest time first. */
  private idleSequences({ sequences }: Model): ReadonlyArray<Sequence> {
    const used = new Set(this.jobs.map(({ sequence }) => sequence))
    return sequences.filter((sequence) => !used.has(sequence)).toSorted((a, b) => a.usedAt - b.usedAt)
  }

  private end(job: Job, state: "ended" | "failed"): void {
    job.state = state
    this.jobs = this.jobs.filter((each) => each !== job)
    const model = this.models.get(job.model)
    if (model !== undefined && job.sequence !== undefined) {
      const generated = job.answer.length - 4 * Math.max(0, Math.ceil(job.left))
      job.sequence.texts = [...job.prompt, job.answer.slice(0, generated)]
      job.sequence.usedAt = this.now
      model.usedAt = this.now
      this.evict(model)
    }
    job.onChange(job)
  }

  private evict(model: Model): void {
    let tokens = model.sequences.reduce((sum, { texts }) => sum + countTokens(texts), 0)
    for (const oldest of this.idleSequences(model)) {
      if (tokens <= this.settings.cacheTokens) return
      tokens -= countTokens(oldest.texts)
      model.sequences = model.sequences.filter((each) => each !== oldest)
    }
  }

  private switchTo(isOff: boolean): void {
    this.isOff = isOff
    this.models = new Map()
    this.loading = undefined
    for (const job of states.flatMap((state) => this.in(state))) this.end(job, "failed")
  }

  private fork(): Host {
    const copy = new Host(this.settings)
    const copies = new Map<Sequence | undefined, Sequence>()
    const copySequence = (sequence: Sequence): Sequence => {
      const copied = { ...sequence }
      copies.set(sequence, copied)
      return copied
    }
    const copyModel = ({ sequences, usedAt }: Model): Model => ({ sequences: sequences.map(copySequence), usedAt })
    copy.models = new Map([...this.models].map(([name, model]) => [name, copyModel(model)]))
    copy.jobs = this.jobs.map((job) => ({ ...job, sequence: copies.get(job.sequence), onChange: () => {} }))
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
    if (left === right) {
      letters += left.length
      continue
    }
    let same = 0
    while (same < Math.min(left.length, right.length) && left[same] === right[same]) same++
    return Math.floor((letters + same) / 4)
  }
  return Math.floor(letters / 4)
}
