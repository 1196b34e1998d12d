/**
 * When a host would send the first chunk of a request. What does not depend on the request is computed once for each state of the host,
 * and the parts are written into an object of the host: this runs for every host of each request.
 */
import * as Host from "./host.ts"
import * as Knowledge from "./knowledge.ts"
import * as Prompt from "./prompt.ts"

/** What a prediction is about. */
export interface Subject {
  readonly model: string | undefined
  readonly prompt: Prompt.Prompt
  /** How many tokens the prompt has, estimated. */
  readonly promptTokens: number
  /** What is known of the model from all hosts. */
  readonly learned: Host.Learned | undefined
  /** Whether the request has failed on a host. */
  readonly hasFailedOn: (host: Host.Host) => boolean
}

/** What waits in the pool. */
export interface Load {
  /** How many requests wait before this one, for each permit of the suitable hosts. */
  readonly ahead: number
  /** How many requests wait, for each host. */
  readonly perHost: number
}

/** How long an outlook is used at most. Models count as used or in memory for many seconds. */
const maxAgeMillis = 100

export const outlookOf = (host: Host.Host, subject: Subject, now: number): Host.Outlook => {
  const model = Host.findModel(host, subject.model)
  const known = model?.outlook
  if (known !== undefined && known.version === host.version && now - known.madeAt < maxAgeMillis) {
    // Without measurements of its own, it has those of the other hosts.
    if (known.changes === undefined || known.changes === subject.learned?.changes) return known
  }
  const outlook = makeOutlook(host, subject, model, now)
  if (model !== undefined) model.outlook = outlook
  return outlook
}

const makeOutlook = (
  host: Host.Host,
  { learned, model: name }: Subject,
  model: Host.Model | undefined,
  now: number
): Host.Outlook => {
  const times = Knowledge.estimate(model?.learned, learned, now)
  const work = observe(host, name)
  const isFull = !Host.hasPermit(host)
  const isInMemory = work.isLoading || name === undefined || Host.isLoaded(model, now)
  return {
    version: host.version,
    madeAt: now,
    changes: model === undefined || model.learned.changes === 0 ? learned?.changes : undefined,
    times,
    work,
    isFull,
    isOpen: !isFull && Host.isLaneOpen(host, name),
    load: isInMemory ? 0 : times.load + evicting(host, name, times.load, now),
    cachedSince: cachedSince(model, now)
  }
}

/** Writes what is expected into `host.prediction` and `host.cached`. Returns the total. */
export const predict = (
  host: Host.Host,
  subject: Subject,
  outlook: Host.Outlook,
  { ahead, perHost }: Load,
  now: number
): number => {
  const { prompt, promptTokens } = subject
  const { cachedSince, isOpen, load, times, work } = outlook
  const cached = cachedSince === Infinity ? Prompt.nothingCached : host.prefixes.find(prompt, cachedSince, host.running)
  const cachedTokens = prompt.characters === 0 ? 0 : (promptTokens * cached.characters) / prompt.characters
  const read = times.base + (promptTokens - cachedTokens) * times.perToken + work.generating * times.perRunning
  const queue = queueOf(work, now)
  const permit = isOpen ? 0 : waitForPermit(outlook, queue, now) + ahead * (times.generation + read)
  const failed = subject.hasFailedOn(host) ? failedMillis : 0
  const others = othersWeight * read * perHost
  const total = Math.max(permit, queue) + load + read + others + failed
  const prediction = (host.prediction ??= Host.makePrediction())
  prediction.permit = permit
  prediction.queue = queue
  prediction.load = load
  prediction.read = read
  prediction.others = others
  prediction.failed = failed
  prediction.total = total
  prediction.promptTokens = promptTokens
  prediction.cachedTokens = cachedTokens
  host.cached = cached
  return total
}

/** Reading keeps a host from the prompts of those who wait, and from generating, which gives permits back. */
const othersWeight = 2

/** A request that failed on a host waits so long for another one. */
const failedMillis = 30_000

/** Servers unload models and drop caches that nobody used for a while. */
const cacheMillis = 10 * 60_000

const cachedSince = (model: Host.Model | undefined, now: number): number =>
  model === undefined || now - model.answeredAt > cacheMillis ? Infinity : model.cachedSince

const observe = (host: Host.Host, model: string | undefined): Host.Work => {
  const work = {
    expected: 0,
    readingSince: Infinity,
    generating: 0,
    firstBegunAt: Infinity,
    lastBegunAt: -Infinity,
    isAnyUnread: false,
    isLoading: false
  }
  const add = ({ model: other, prediction, sentAt }: Host.Running): void => {
    work.expected += prediction.load + prediction.read
    work.readingSince = Math.min(work.readingSince, sentAt)
    work.isLoading ||= other === model
  }
  for (const running of host.running) {
    const { begunAt } = running
    if (begunAt === undefined) {
      work.isAnyUnread = true
      add(running)
      continue
    }
    work.generating++
    work.firstBegunAt = Math.min(work.firstBegunAt, begunAt)
    work.lastBegunAt = Math.max(work.lastBegunAt, begunAt)
  }
  for (const abandoned of host.abandoned) add(abandoned)
  work.readingSince = work.readingSince === Infinity ? Infinity : Math.max(work.readingSince, host.lastBegunAt)
  return work
}

/** A server reads one prompt after the other. If it takes longer than expected, it is expected to take half as long again. */
const queueOf = ({ expected, readingSince }: Host.Work, now: number): number => {
  if (readingSince === Infinity) return 0
  const left = expected - (now - readingSince)
  return left >= 0 ? left : -left / 2
}

/** Until the first of the requests that run ends, or all of them if another model is in the way. */
const waitForPermit = (
  { isFull, times: { generation }, work: { firstBegunAt, generating, isAnyUnread, lastBegunAt } }: Host.Outlook,
  queue: number,
  now: number
): number => {
  const none = isFull ? Infinity : 0
  const begunAt = isFull ? firstBegunAt : lastBegunAt
  const generated = generating === 0 ? none : Math.max(generation - (now - begunAt), generation / 4)
  const unread = isAnyUnread ? queue + generation : none
  return isFull ? Math.min(generated, unread) : Math.max(generated, unread)
}

/** How long a model counts as used after its last completion began. */
const usedMillis = 60_000

/** A host that cannot hold one more model drops another one, which those who use it then wait for. */
const evicting = (host: Host.Host, name: string, load: number, now: number): number => {
  let loaded = 0
  let cost = 0
  for (const [other, model] of host.models) {
    if (other === name || !Host.isLoaded(model, now)) continue
    loaded++
    if (now - model.answeredAt < usedMillis) cost = Math.max(cost, model.learned.values.load ?? load)
  }
  return loaded < host.holds ? 0 : cost
}
