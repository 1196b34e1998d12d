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
  /** To read a token that is not cached. */
  readonly readMillis: number
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

/** A request on its way through the host. */
export interface Job extends Request {
  state: "queued" | "reading" | "generating" | "ended" | "failed"
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
  isUsed: boolean
  usedAt: number
}

interface Model {
  readonly waiting: Array<Job>
  readonly sequences: Array<Sequence>
  active: number
  usedAt: number
}

/** A token has about four letters. */
export const tokensOf = (text: string): number => Math.ceil(text.length / 4)

export const countTokens = (texts: ReadonlyArray<string>): number =>
  texts.reduce((sum, text) => sum + tokensOf(text), 0)

/** Below this share of the prompt, llama.cpp takes the sequence that was not used for the longest time. */
const minSimilarity = 0.1

export class Host {
  readonly settings: Settings
  /** Called when a job begins to generate, and when it has ended or failed. */
  readonly onChange: (job: Job) => void
  private now = 0
  private isOff = false
  private queue: Array<Job> = []
  private models = new Map<string, Model>()
  private loading: { readonly name: string; millis: number } | undefined
  private reading: Array<Job> = []
  private generating: Array<Job> = []

  constructor(settings: Settings, onChange: (job: Job) => void) {
    this.settings = settings
    this.onChange = onChange
    for (const name of settings.loaded) this.models.set(name, makeModel(0))
  }

  isLoaded(model: string): boolean {
    return this.models.has(model)
  }

  get isDown(): boolean {
    return this.isOff
  }

  send(request: Request): Job {
    const job: Job = {
      ...request,
      state: this.isOff ? "failed" : "queued",
      isAbandoned: false,
      cachedTokens: 0,
      readMillis: 0,
      left: tokensOf(request.answer),
      sequence: undefined
    }
    if (this.isOff) return job
    this.queue.push(job)
    this.settle()
    return job
  }

  /** The client has gone. */
  cancel(job: Job): void {
    if (job.state === "reading") {
      job.isAbandoned = true
      return
    }
    if (job.state === "queued") {
      this.queue = without(this.queue, job)
      const waiting = this.models.get(job.model)?.waiting
      waiting?.splice(0, waiting.length, ...without(waiting, job))
    } else if (job.state === "generating") this.leave(job)
    job.state = "ended"
    this.settle()
  }

  /** When the next thing happens if no further request comes. */
  nextAt(): number {
    const [first] = this.reading
    const compute =
      first === undefined ? Math.min(...this.generating.map(({ left }) => left)) * this.tokenMillis() : first.readMillis
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
    while (job.state === "queued" || job.state === "reading") copy.advance(copy.nextAt())
    return job.state === "failed" ? Infinity : copy.now - this.now
  }

  private tokenMillis(): number {
    const { slowdown, tokenMillis } = this.settings
    return tokenMillis * (1 + slowdown * Math.max(0, this.generating.length - 1))
  }

  private progress(to: number): void {
    const millis = to - this.now
    const [first] = this.reading
    if (this.loading !== undefined) this.loading.millis -= millis
    if (first !== undefined) first.readMillis -= millis
    else {
      const tokens = millis / this.tokenMillis()
      for (const job of this.generating) job.left -= tokens
    }
    this.now = to
  }

  /** Does what takes no time. */
  private settle(): void {
    const [from, until] = this.settings.off ?? [Infinity, Infinity]
    const isOff = this.now >= from && this.now < until
    if (isOff !== this.isOff) return this.switchTo(isOff)
    if (this.loading !== undefined && this.loading.millis <= rounding) {
      this.models.set(this.loading.name, makeModel(this.now))
      this.loading = undefined
    }
    const [read] = this.reading
    if (read !== undefined && read.readMillis <= rounding) {
      this.reading.shift()
      if (read.isAbandoned) this.end(read, "ended")
      else {
        // Reading the prompt gives the first token.
        read.left -= 1
        read.state = "generating"
        this.generating.push(read)
        this.onChange(read)
      }
    }
    for (const job of this.generating.filter(({ left }) => left <= rounding)) this.end(job, "ended")
    this.admit()
    for (const model of this.models.values()) this.fill(model)
  }

  /** Gives requests to their models, which may have to be loaded. */
  private admit(): void {
    for (let [job] = this.queue; job !== undefined; [job] = this.queue) {
      const model = this.models.get(job.model)
      if (model === undefined) {
        if (this.loading !== undefined) return
        if (this.models.size >= this.settings.memory) {
          const idle = [...this.models].filter(([, { active, waiting }]) => active + waiting.length === 0)
          const [oldest] = idle.toSorted(([, a], [, b]) => a.usedAt - b.usedAt)
          if (oldest === undefined) return
          this.models.delete(oldest[0])
        }
        this.loading = { name: job.model, millis: this.settings.loadMillis }
        return
      }
      this.queue.shift()
      model.waiting.push(job)
      model.usedAt = this.now
    }
  }

  private fill(model: Model): void {
    while (model.active < this.settings.slots) {
      const job = model.waiting.shift()
      if (job === undefined) return
      const total = countTokens(job.prompt)
      const sequence = this.chooseSequence(model, job.prompt, total)
      // At least one token is read, to get the next one.
      job.cachedTokens = Math.min(commonTokens(sequence.texts, job.prompt), total - 1)
      job.readMillis = (total - job.cachedTokens) * this.settings.readMillis
      job.sequence = sequence
      job.state = "reading"
      sequence.texts = job.prompt
      sequence.isUsed = true
      model.active++
      this.reading.push(job)
    }
  }

  /**
   * As llama.cpp: the one that has the most in common with the prompt, or else the one that was not used for the longest time. If
   * there is memory for more than the slots use, a sequence that would lose more than half of itself is copied first.
   */
  private chooseSequence({ sequences }: Model, prompt: ReadonlyArray<string>, total: number): Sequence {
    const { sequences: max, slots } = this.settings
    const idle = sequences.filter(({ isUsed }) => !isUsed).toSorted((a, b) => a.usedAt - b.usedAt)
    const common = idle.map((sequence) => ({ sequence, tokens: commonTokens(sequence.texts, prompt) }))
    const [best] = common.toSorted((a, b) => b.tokens - a.tokens)
    const isSimilar = best !== undefined && best.tokens > minSimilarity * total
    if (isSimilar && (max === slots || best.tokens >= countTokens(best.sequence.texts) / 2)) return best.sequence
    const texts = isSimilar ? best.sequence.texts : []
    const [oldest] = idle
    if (oldest !== undefined && sequences.length >= max) return Object.assign(oldest, { texts })
    const added: Sequence = { texts, isUsed: false, usedAt: this.now }
    sequences.push(added)
    return added
  }

  private evict({ sequences }: Model): void {
    let tokens = sequences.reduce((sum, { texts }) => sum + countTokens(texts), 0)
    for (const oldest of sequences.filter(({ isUsed }) => !isUsed).toSorted((a, b) => a.usedAt - b.usedAt)) {
      if (tokens <= this.settings.cacheTokens) return
      tokens -= countTokens(oldest.texts)
      sequences.splice(sequences.indexOf(oldest), 1)
    }
  }

  private end(job: Job, state: "ended" | "failed"): void {
    this.leave(job)
    job.state = state
    if (!job.isAbandoned) this.onChange(job)
  }

  private leave(job: Job): void {
    this.generating = without(this.generating, job)
    const model = this.models.get(job.model)
    if (model === undefined || job.sequence === undefined) return
    const generated = job.answer.length - 4 * Math.max(0, Math.ceil(job.left))
    job.sequence.texts = [...job.prompt, job.answer.slice(0, generated)]
    job.sequence.isUsed = false
    job.sequence.usedAt = this.now
    model.active--
    model.usedAt = this.now
    this.evict(model)
  }

  private switchTo(isOff: boolean): void {
    const waiting = [...this.models.values()].flatMap((model) => model.waiting)
    const jobs = [...this.queue, ...waiting, ...this.reading, ...this.generating]
    this.isOff = isOff
    this.queue = []
    this.models = new Map()
    this.loading = undefined
    this.reading = []
    this.generating = []
    for (const job of jobs) this.end(job, "failed")
  }

  private fork(): Host {
    const copy = new Host(this.settings, () => {})
    const sequences = new Map<Sequence | undefined, Sequence>()
    const copyJob = (job: Job): Job => ({ ...job, sequence: sequences.get(job.sequence) })
    for (const [name, { active, sequences: all, usedAt, waiting }] of this.models) {
      for (const sequence of all) sequences.set(sequence, { ...sequence })
      const copied = all.flatMap((sequence) => sequences.get(sequence) ?? [])
      copy.models.set(name, { waiting: waiting.map(copyJob), sequences: copied, active, usedAt })
    }
    copy.now = this.now
    copy.isOff = this.isOff
    copy.queue = this.queue.map(copyJob)
    copy.loading = this.loading && { ...this.loading }
    copy.reading = this.reading.map(copyJob)
    copy.generating = this.generating.map(copyJob)
    return copy
  }
}

const makeModel = (usedAt: number): Model => ({ waiting: [], sequences: [], active: 0, usedAt })

/** Of milliseconds and tokens that are left, by sums of fractions. */
const rounding = 1e-6

const without = (jobs: ReadonlyArray<Job>, job: Job): Array<Job> => jobs.filter((each) => each !== job)

/** How many tokens two sequences begin with in common. */
function commonTokens(a: ReadonlyArray<string>, b: ReadonlyArray<string>): number {
  let letters = 0
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const [left = "", right = ""] = [a[i], b[i]]
    if (left !== right) {
      let same = 0
      while (same < Math.min(left.length, right.length) && left[same] === right[same]) same++
      return Math.floor((letters + same) / 4)
    }
    letters += left.length
  }
  return Math.floor(letters / 4)
}
