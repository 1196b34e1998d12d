/**
 * The requests that wait for a host, in a fair order. Requests that the same hosts suit are a group with a heap, so only the first of each
 * group has to be tried.
 */
import * as Context from "effect/Context"

/** Who sends requests. */
export interface Caller {
  /** Requests with the same name share the turns of one caller. */
  readonly name: string
  /** How large its share is beside other callers with requests that wait. Counts as 0.001 at least and 1,000 at most. Default: 1. */
  readonly weight?: number | undefined
  /**
   * `batch`: its requests are served while none of the other kind wait. If they have waited for 30 seconds, every eighth request is one
   * of them. Default: `interactive`.
   */
  readonly priority?: "interactive" | "batch" | undefined
}

export const Caller = Context.Reference<Caller>("effect-local-llm/Pool/caller", { defaultValue: () => ({ name: "" }) })

export interface Item {
  readonly caller: Caller
  /** Items with the same text suit the same hosts. Constant while the item is in the list. */
  suits: string
  /** How much of its caller's turns it uses. */
  readonly cost: number
  /** When it began to wait. */
  waitingSince: number
}

interface Entry<A> {
  readonly item: A
  readonly group: Group<A>
  readonly flow: Flow
  /** The turn of its caller, in virtual time. */
  readonly turn: number
  readonly order: number
  index: number
}

/** What a caller has used, in virtual time. */
interface Flow {
  turn: number
  waiting: number
}

interface Kind<A> {
  readonly groups: Map<string, Group<A>>
  readonly flows: Map<string, Flow>
  /** The turn of the last item that left the list for a host. */
  turn: number
}

export interface Group<A> {
  readonly entries: Array<Entry<A>>
}

export interface WaitingList<A> {
  readonly size: () => number
  readonly items: () => ReadonlyArray<A>
  /** How many items of its group are before an item that is added now. */
  readonly countBefore: (item: A) => number
  readonly add: (item: A) => void
  /** Returns whether the item was in the list. `isServed`: it has a host now, so it was its caller's turn. */
  readonly remove: (item: A, isServed: boolean) => boolean
  /** The group whose first item is next, except for these. */
  readonly next: (now: number, except: ReadonlySet<Group<A>>) => Group<A> | undefined
}

/** A batch that has waited so long is due, once after so many other requests. */
const agedMillis = 30_000
const batchEvery = 8

const maxIdleCallers = 100

export const make = <A extends Item>(): WaitingList<A> => {
  const makeKind = (): Kind<A> => ({ groups: new Map(), flows: new Map(), turn: 0 })
  const kinds = { interactive: makeKind(), batch: makeKind() }
  const kindOf = ({ caller }: A): Kind<A> => (caller.priority === "batch" ? kinds.batch : kinds.interactive)
  const entries = new Map<A, Entry<A>>()
  let order = 0
  let servedSinceBatch = 0

  return {
    size: () => entries.size,
    items: () => [...entries.keys()],
    countBefore: (item) => kindOf(item).groups.get(item.suits)?.entries.length ?? 0,
    add: (item) => {
      const kind = kindOf(item)
      const group = getOrMake(kind.groups, item.suits, () => ({ entries: [] }))
      const flow = getOrMake(kind.flows, item.caller.name, () => ({ turn: 0, waiting: 0 }))
      const turn = Math.max(kind.turn, flow.turn)
      flow.turn = turn + turnsOf(item)
      flow.waiting++
      const entry: Entry<A> = { item, group, flow, turn, order: order++, index: group.entries.length }
      entries.set(item, entry)
      group.entries.push(entry)
      moveUp(group.entries, entry)
    },
    remove: (item, isServed) => {
      const entry = entries.get(item)
      if (entry === undefined) return false
      entries.delete(item)
      const kind = kindOf(item)
      const { flow, group } = entry
      removeFromHeap(group.entries, entry)
      if (group.entries.length === 0) kind.groups.delete(item.suits)
      flow.waiting--
      if (isServed) {
        kind.turn = Math.max(kind.turn, entry.turn)
        servedSinceBatch = kind === kinds.batch ? 0 : servedSinceBatch + 1
      } else flow.turn -= turnsOf(item)
      forgetCallers(kind, entries.size)
      return true
    },
    next: (now, except) => {
      const batch = first(kinds.batch, except)
      const isDue =
        batch !== undefined && servedSinceBatch >= batchEvery - 1 && now - batch.item.waitingSince >= agedMillis
      return (isDue ? batch : (first(kinds.interactive, except) ?? batch))?.group
    }
  }
}

/** Turns are sums, so one that is not finite, or much larger than the others, would end their order. */
const minWeight = 0.001
const maxWeight = 1000

const turnsOf = ({ caller: { weight = 1 }, cost }: Item): number =>
  cost / (Number.isNaN(weight) ? 1 : Math.min(Math.max(weight, minWeight), maxWeight))

const first = <A>({ groups }: Kind<A>, except: ReadonlySet<Group<A>>): Entry<A> | undefined => {
  let found: Entry<A> | undefined
  for (const group of groups.values()) {
    const [entry] = group.entries
    if (entry !== undefined && !except.has(group) && (found === undefined || isBefore(entry, found))) found = entry
  }
  return found
}

/** Those who have nothing to wait for have no claim, and none is owed to them. */
const forgetCallers = <A>({ flows, groups, turn }: Kind<A>, waiting: number): void => {
  if (groups.size === 0) return flows.clear()
  if (flows.size <= 2 * waiting + maxIdleCallers) return
  for (const [name, flow] of flows) if (flow.waiting === 0 && flow.turn <= turn) flows.delete(name)
}

const getOrMake = <A>(map: Map<string, A>, key: string, make: () => A): A => {
  const found = map.get(key) ?? make()
  map.set(key, found)
  return found
}

type Heap = Array<Entry<unknown>>

const isBefore = (a: Entry<unknown>, b: Entry<unknown>): boolean =>
  a.turn < b.turn || (a.turn === b.turn && a.order < b.order)

const put = (heap: Heap, entry: Entry<unknown>, index: number): void => {
  heap[index] = entry
  entry.index = index
}

const moveUp = (heap: Heap, entry: Entry<unknown>): void => {
  for (;;) {
    const { index } = entry
    const parent = heap[(index - 1) >> 1]
    if (index === 0 || parent === undefined || !isBefore(entry, parent)) return
    put(heap, entry, parent.index)
    put(heap, parent, index)
  }
}

const moveDown = (heap: Heap, entry: Entry<unknown>): void => {
  for (;;) {
    const { index } = entry
    const left = heap[2 * index + 1]
    const right = heap[2 * index + 2]
    const child = left !== undefined && right !== undefined && isBefore(right, left) ? right : left
    if (child === undefined || !isBefore(child, entry)) return
    put(heap, entry, child.index)
    put(heap, child, index)
  }
}

const removeFromHeap = (heap: Heap, entry: Entry<unknown>): void => {
  const last = heap.pop()
  if (last === undefined || last === entry) return
  put(heap, last, entry.index)
  moveUp(heap, last)
  moveDown(heap, last)
}
