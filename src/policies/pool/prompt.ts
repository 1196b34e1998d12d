/** The prompt of a request as a chain of blocks, and which prefixes of prompts a host has in its cache. */
import type { CompletionRequest } from "../../CompletionRequest.ts"
import type { EmbeddingRequest } from "../../Embedding.ts"
import type { Image, Message } from "../../Message.ts"
import * as Content from "../../protocol/content.ts"

/** Only hashes and lengths are kept, no text. The hash of a block covers all blocks before it. */
export interface Prompt {
  readonly hashes: ReadonlyArray<number>
  /** How many characters the prompt has up to the end of each block. */
  readonly ends: ReadonlyArray<number>
  /** How many characters it has in all. */
  readonly characters: number
  /** How many blocks the last host knew that was looked up. Most others know as many. */
  hint: number
}

const blockCharacters = 1024
/** What follows in a longer prompt is not looked up. */
const maxBlocks = 4096
/** An image takes about as long to read as a text of this length. */
const imageCharacters = 2000

/**
 * Completions are not part of the hashes, because programs trim and reformat them. They count as cached where the prompt before them is:
 * the host that generated them has them.
 */
export const ofRequest = (request: CompletionRequest): Prompt => {
  const chain = makeChain(request.model ?? "")
  if (request.messages === undefined) {
    chain.add(request.prompt, request.images)
    return chain.prompt()
  }
  for (const { description = "", name } of request.tools ?? []) chain.add(`${name} ${description}`)
  for (const message of request.messages) addMessage(chain, message)
  return chain.prompt()
}

/** The texts of an embedding request have nothing in common. */
export const ofTexts = ({ input }: EmbeddingRequest): Prompt => ({
  hashes: [],
  ends: [],
  characters: typeof input === "string" ? input.length : input.reduce((sum, text) => sum + text.length, 0),
  hint: 0
})

const addMessage = (chain: Chain, message: Message): void => {
  const text = Content.toText(message)
  if (message.role === "assistant") return chain.skip(text.length)
  chain.mix(message.role)
  chain.add(text, Content.toImages(message))
}

type Chain = ReturnType<typeof makeChain>

/** The hash is cyrb53, of which the state runs through all blocks. */
const makeChain = (seed: string) => {
  const hashes: Array<number> = []
  const ends: Array<number> = []
  let characters = 0
  let a = 0xdeadbeef
  let b = 0x41c6ce57
  const mix = (text: string, from = 0, to = text.length): void => {
    for (let i = from; i < to; i += 2) {
      // Two characters in one step. There may be none after the last one.
      const codes = text.charCodeAt(i) | (i + 1 < to ? text.charCodeAt(i + 1) << 16 : 0)
      a = Math.imul(a ^ codes, 2_654_435_761)
      b = Math.imul(b ^ codes, 1_597_334_677)
    }
  }
  const close = (length: number): void => {
    characters += length
    if (hashes.length === maxBlocks) return
    hashes.push(finish(a, b))
    ends.push(characters)
  }
  mix(seed)
  return {
    mix,
    add: (text: string, images: ReadonlyArray<Image> = []): void => {
      for (let from = 0; from === 0 || from < text.length; from += blockCharacters) {
        // Megabytes of text would stop the event loop for long.
        if (hashes.length === maxBlocks) {
          characters += text.length - from
          break
        }
        const to = Math.min(from + blockCharacters, text.length)
        mix(text, from, to)
        close(to - from)
      }
      for (const image of images) {
        mix(sample(image))
        close(imageCharacters)
      }
    },
    skip: (length: number): void => {
      characters += length
      if (ends.length > 0) ends[ends.length - 1] = characters
    },
    prompt: (): Prompt => ({ hashes, ends, characters, hint: 0 })
  }
}

/** 30 bits: maps look such numbers up the fastest. Two prompts with equal hashes cost a prediction, nothing else. */
const finish = (a: number, b: number): number => {
  const low = Math.imul(a ^ (a >>> 16), 2_246_822_507) ^ Math.imul(b ^ (b >>> 13), 3_266_489_909)
  const high = Math.imul(b ^ (b >>> 16), 2_246_822_507) ^ Math.imul(low ^ (low >>> 13), 3_266_489_909)
  return (low ^ high) & 0x3fffffff
}

/** Images are large. */
const sample = (image: Image): string => {
  if (image instanceof Uint8Array) return `${image.length} ${image.subarray(-256).join()}`
  const text = String(image)
  return `${text.length} ${text.slice(-1024)}`
}

/** What a host has of a prompt. */
export interface Cached {
  /** How many characters are expected in its cache. */
  readonly characters: number
  /** How many characters it has read at any time. */
  readonly known: number
  /** How many characters it has read since then. */
  readonly distance: number
}

export const nothingCached: Cached = { characters: 0, known: 0, distance: 0 }

type Running = Iterable<{ readonly prompt: Prompt }>

/** The prefixes that a host has read. */
export interface Prefixes {
  /**
   * Reading before `since` does not count: the model was unloaded since. `running` has the prompts of the requests that run there: each
   * of them uses a copy of its prefixes.
   */
  readonly find: (prompt: Prompt, since: number, running: Running) => Cached
  /** The host has read the prompt. */
  readonly add: (prompt: Prompt, cached: Cached) => void
  /** How much the host has read so far, in characters. It only grows, so it serves as a time. */
  readonly read: () => number
  /** Corrects what is known by what was cached in fact, in characters. */
  readonly correct: (prompt: Prompt, expected: Cached, cached: number) => void
  /** The host is gone. */
  readonly close: () => void
}

/**
 * Which hosts have read prompts with this first block. Most prompts are new to most hosts, and to look that up in the blocks of each
 * host takes most of the time of a choice.
 */
export type Readers = Map<number, Set<object>>

interface Block {
  /** When it was last read. */
  at: number
  /** How many sequences in the cache have it. A server reads a prefix again while another request uses the only one. */
  copies: number
}

const maxBlocksOfHost = 8192
const firstCapacity = 1_000_000
const minCapacity = 8192

interface State {
  readonly readers: Readers
  /** The oldest first. A block is at least as new as those after it. */
  readonly blocks: Map<number, Block>
  read: number
  /** A prefix is expected in the cache until the host has read so many other characters. */
  capacity: number
}

/** `readers`: shared by the hosts of a pool. */
export const makePrefixes = (readers: Readers = new Map()): Prefixes => {
  const state: State = { readers, blocks: new Map(), read: 0, capacity: firstCapacity }
  return {
    find: (prompt, since, running) => find(state, prompt, since, running),
    add: (prompt, cached) => add(state, prompt, cached),
    read: () => state.read,
    correct: (prompt, expected, cached) => correct(state, prompt, expected, cached),
    close: () => {
      for (const hash of state.blocks.keys()) forget(state, hash)
    }
  }
}

const find = (state: State, prompt: Prompt, since: number, running: Running): Cached => {
  const { blocks, capacity, read, readers } = state
  const [first] = prompt.hashes
  if (first === undefined || readers.get(first)?.has(blocks) !== true) return nothingCached
  const known = count(state, prompt, since)
  const last = blockOf(state, prompt, known - 1)
  if (last === undefined) return nothingCached
  let cached = known
  // A running request may use the only copy of a long prefix, but there may be more of a shorter one.
  for (let block: Block | undefined = last; cached > 0; block = blockOf(state, prompt, cached - 1)) {
    if (block !== undefined && block.at >= read - capacity && isFree(prompt, cached - 1, block, running)) break
    cached = cached >>> 1
  }
  return { characters: prompt.ends[cached - 1] ?? 0, known: prompt.ends[known - 1] ?? 0, distance: read - last.at }
}

const blockOf = ({ blocks }: State, { hashes }: Prompt, i: number): Block | undefined => {
  const hash = hashes[i]
  return hash === undefined ? undefined : blocks.get(hash)
}

/** The number of blocks that were read since. */
const count = (state: State, prompt: Prompt, since: number): number => {
  const isNew = (i: number): boolean => {
    const block = blockOf(state, prompt, i)
    return block !== undefined && block.at >= since
  }
  let low = 0
  let high = prompt.hashes.length
  for (let middle = Math.min(prompt.hint, high); low < high; middle = (low + high + 1) >>> 1) {
    if (middle > 0 && !isNew(middle - 1)) high = middle - 1
    // Most often, this is the end.
    else if (!isNew(middle)) low = high = middle
    else low = middle + 1
  }
  prompt.hint = low
  return low
}

/** Whether there are more copies of a block than requests that use one. */
const isFree = ({ hashes }: Prompt, i: number, { copies }: Block, running: Running): boolean => {
  let used = 0
  for (const other of running) if (other.prompt.hashes[i] === hashes[i]) used++
  return used < copies
}

const forget = ({ blocks, readers }: State, hash: number): void => {
  blocks.delete(hash)
  const known = readers.get(hash)
  known?.delete(blocks)
  if (known?.size === 0) readers.delete(hash)
}

const add = (state: State, prompt: Prompt, { characters: cached }: Cached): void => {
  const { blocks, readers } = state
  const { characters, ends, hashes } = prompt
  state.read += Math.max(0, characters - cached)
  const [first] = hashes
  if (first !== undefined) readers.set(first, (readers.get(first) ?? new Set()).add(blocks))
  // Servers copy a prefix that is a small part of a sequence, and go on with the sequence itself otherwise.
  const isBranch = 2 * cached < characters
  for (let i = hashes.length - 1; i >= 0; i--) {
    const isCopied = isBranch || (ends[i] ?? 0) > cached
    const copies = (blockOf(state, prompt, i)?.copies ?? 0) + (isCopied ? 1 : 0)
    const hash = hashes[i] ?? 0
    blocks.delete(hash)
    blocks.set(hash, { at: state.read, copies: Math.max(1, copies) })
  }
  for (const oldest of blocks.keys()) {
    if (blocks.size <= maxBlocksOfHost) return
    forget(state, oldest)
  }
}

const correct = (state: State, prompt: Prompt, { characters, distance, known }: Cached, cached: number): void => {
  if (known === 0) return
  if (cached >= known / 2) state.capacity = Math.max(state.capacity, 2 * distance)
  if (cached >= characters / 2) return
  // There are other causes, such as a request that used the sequence meanwhile. So one of them halves the capacity at most.
  const shown = Math.sqrt(state.capacity * Math.min(state.capacity, 0.8 * distance))
  state.capacity = Math.max(minCapacity, state.capacity / 2, shown)
  // Only the one of this request is left.
  for (let i = 0; i < prompt.hashes.length; i++) {
    const block = blockOf(state, prompt, i)
    if (block !== undefined) block.copies = 1
  }
}
