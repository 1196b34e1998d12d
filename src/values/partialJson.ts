/**
 * Reads JSON while it arrives, and shows as much of its value as is certain. Each character is read once. Everything shown later
 * extends what was shown before.
 */
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Json from "./json.ts"
import type { Shape } from "./shape.ts"

export interface Reader {
  readonly add: (text: string) => void
  /** The value so far, if there is more of it than the last time. Values share their complete parts. */
  readonly take: () => Option.Option<unknown>
  /** Whether the text was one JSON value and nothing else, so that the value extends everything that was shown. */
  readonly isWhole: () => boolean
}

/** Where the next character is. `start` to `content` are before the value, in which Markdown may be. */
type Phase =
  | "start"
  | "prose"
  | "info"
  | "line"
  | "content"
  | "value"
  | "item-or-end"
  | "key"
  | "key-or-end"
  | "colon"
  | "next"
  | "string"
  | "raw"
  | "done"
  | "over"

/** An object or an array that is not complete. */
interface Frame {
  readonly shape: Shape
  /** One of them has the parts that are complete. */
  readonly object: Record<string, unknown> | undefined
  readonly array: Array<unknown> | undefined
  size: number
  /** Of the field that comes next or is being read. */
  key: string
  /** Whether an item could not be shown, so that none after it can. */
  isFrozen: boolean
}

interface State {
  readonly root: Shape
  readonly frames: Array<Frame>
  phase: Phase
  /** Of the next value; `undefined` if it is not shown. */
  shape: Shape | undefined
  /** Where to go on if this is no value after all: it was prose, or belonged to the first line of a code block. */
  retry: "prose" | "line" | undefined
  /** The mark of a code block, and how often it was repeated so far. */
  mark: string
  run: number
  hasSpace: boolean
  /** The string that is being read. */
  text: string
  isKey: boolean
  /** The beginning of an escape, and the first half of a surrogate pair. */
  escape: string
  half: string
  /** A value that is shown when it is complete, or never. */
  raw: string
  depth: number
  isQuoted: boolean
  /** The value, when it is complete. */
  whole: Option.Option<unknown>
  isExact: boolean
  isChanged: boolean
  /** Of the value: nothing, an object or an array without content, or more. */
  shown: "nothing" | "empty" | "more"
  /** Characters since the last time that a value was taken. */
  since: number
}

const makeState = (root: Shape): State => ({
  root,
  frames: [],
  phase: "start",
  shape: root,
  retry: "prose",
  mark: "",
  run: 0,
  hasSpace: false,
  text: "",
  isKey: false,
  escape: "",
  half: "",
  raw: "",
  depth: 0,
  isQuoted: false,
  whole: Option.none(),
  isExact: true,
  isChanged: false,
  shown: "nothing",
  since: 0
})

export const make = (root: Shape): Reader => {
  const state = makeState(root)
  return {
    add: (text) => {
      state.since += text.length
      let i = 0
      while (i < text.length) i = steps[state.phase](state, text, i)
    },
    take: () => {
      if (!state.isChanged || !isWorthCopying(state)) return Option.none()
      state.isChanged = false
      state.since = 0
      if (state.shown !== "more") state.shown = hasContent(state) ? "more" : "empty"
      return snapshot(state)
    },
    isWhole: () => state.isExact && state.phase === "done"
  }
}

const hasContent = ({ frames, phase }: State): boolean =>
  phase === "string" || frames.length !== 1 || frames[0]?.size !== 0

/** Copies of wide objects and arrays would take quadratic time if each chunk had one. An entry of an object takes as long as many items. */
const copiesPerCharacter = 8
const freeCopies = 1024
const copiesPerField = 16

const isWorthCopying = ({ frames, since }: State): boolean =>
  frames.reduce((sum, { array, size }) => sum + size * (array === undefined ? copiesPerField : 1), 0) <=
  freeCopies + copiesPerCharacter * since

/** Copies what is not complete. */
const snapshot = ({ frames, isKey, phase, text, whole }: State): Option.Option<unknown> => {
  if (frames.length === 0 && phase !== "string") return whole
  let value: Option.Option<unknown> = phase === "string" && !isKey && text !== "" ? Option.some(text) : Option.none()
  for (const { array, key, object } of frames.toReversed()) {
    const inner = value
    value = Option.some(
      array === undefined
        ? { ...object, ...(Option.isSome(inner) && { [key]: inner.value }) }
        : [...array, ...Option.toArray(inner)]
    )
  }
  return value
}

/** Reads one or more characters from an index on, or moves to another phase. Returns the index of the next character. */
type Step = (state: State, text: string, i: number) => number

const isSpace = (char: string | undefined): boolean => char === " " || char === "\n" || char === "\r" || char === "\t"

const skipSpace =
  (step: (state: State, char: string, i: number) => number): Step =>
  (state, text, i) => {
    const char = text.charAt(i)
    return isSpace(char) ? i + 1 : step(state, char, i)
  }

const begins = ({ field, isText, item }: Shape, char: string): boolean =>
  (char === "{" && field !== undefined) || (char === "[" && item !== undefined) || (char === '"' && isText)

const goTo = (state: State, phase: Phase, i: number): number => {
  state.phase = phase
  return i
}

/** What was shown is not the beginning of the value, or no more of it is certain. */
const breakOff = (state: State, i: number): number => {
  const { retry, shown } = state
  state.isExact = false
  if (retry === undefined || shown === "more") return goTo(state, "over", i)
  state.frames.length = 0
  state.retry = undefined
  state.shape = state.root
  return goTo(state, retry, i)
}

/** The value is complete. `isNew`: it was not shown before with all that it has. */
const attach = (state: State, value: unknown, isNew: boolean, i: number): number => {
  const frame = state.frames.at(-1)
  state.isChanged ||= isNew
  if (frame === undefined) {
    state.whole = Option.some(value)
    return goTo(state, "done", i)
  }
  frame.size++
  if (frame.array !== undefined) frame.array.push(value)
  else if (frame.object !== undefined) frame.object[frame.key] = value
  return goTo(state, "next", i)
}

/** The value is complete, but not shown. */
const leaveOut = (state: State, i: number): number => {
  const frame = state.frames.at(-1)
  if (frame?.array !== undefined) frame.isFrozen = true
  return goTo(state, frame === undefined ? "done" : "next", i)
}

const open = (state: State, shape: Shape, isArray: boolean, i: number): number => {
  // `Json.findFault` refuses what is nested more deeply.
  if (state.frames.length === Json.maxDepth) return breakOff(state, i)
  state.frames.push({
    shape,
    object: isArray ? undefined : {},
    array: isArray ? [] : undefined,
    size: 0,
    key: "",
    isFrozen: false
  })
  state.isChanged ||= state.frames.length > 1 || state.shown === "nothing"
  return goTo(state, isArray ? "item-or-end" : "key-or-end", i + 1)
}

const close = (state: State, i: number): number => {
  const frame = state.frames.pop()
  return attach(state, frame?.array ?? frame?.object, false, i + 1)
}

const openString = (state: State, isKey: boolean, i: number): number => {
  state.text = ""
  state.isKey = isKey
  return goTo(state, "string", i + 1)
}

const closeString = (state: State, i: number): number => {
  const isNew = state.text === "" || state.half !== ""
  const text = (state.text += state.half)
  state.half = ""
  if (!state.isKey) return attach(state, text, isNew, i)
  const frame = state.frames.at(-1)
  // The last value of a key counts, so the one that was shown would be withdrawn.
  if (frame === undefined || text === "__proto__" || Object.hasOwn(frame.object ?? {}, text)) return breakOff(state, i)
  frame.key = text
  return goTo(state, "colon", i)
}

/** Half of a surrogate pair waits for the other one. */
const append = (state: State, piece: string): void => {
  const text = state.half + piece
  const isHalf = /[\ud800-\udbff]$/.test(text.slice(-1))
  state.half = isHalf ? text.slice(-1) : ""
  state.text += isHalf ? text.slice(0, -1) : text
  state.isChanged ||= !state.isKey && text.length > state.half.length
}

const readEscape = (state: State, char: string, i: number): number => {
  const escape = (state.escape += char)
  if (escape.length < (escape[1] === "u" ? 6 : 2)) return i
  state.escape = ""
  const value = Json.parse(`"${escape}"`)
  if (!Predicate.isString(value)) return breakOff(state, i)
  append(state, value)
  return i
}

const readString: Step = (state, text, i) => {
  if (state.escape !== "") return readEscape(state, text.charAt(i), i + 1)
  let end = i
  while (end < text.length && !endsRun(text.charCodeAt(end))) end++
  if (end > i) append(state, text.slice(i, end))
  if (end === text.length) return end
  const char = text.charAt(end)
  if (char === '"') return closeString(state, end + 1)
  if (char !== "\\") return breakOff(state, end)
  state.escape = char
  return end + 1
}

/** A quote, a backslash, or a control character, which JSON does not allow. */
const endsRun = (code: number): boolean => code === 34 || code === 92 || code < 32

const readValue = (state: State, char: string, i: number): number => {
  const { shape } = state
  if (shape !== undefined && begins(shape, char)) {
    return char === '"' ? openString(state, false, i) : open(state, shape, char === "[", i)
  }
  if (!/["{[\-0-9tfn]/.test(char)) return breakOff(state, i)
  state.raw = ""
  state.depth = 0
  state.isQuoted = false
  return goTo(state, "raw", i)
}

const readRaw: Step = (state, text, i) => {
  const end = findEnd(state, text, i)
  if (state.shape !== undefined) state.raw += text.slice(i, end ?? text.length)
  if (end === undefined) return text.length
  if (state.shape === undefined) return leaveOut(state, end)
  const json = Json.parse(state.raw)
  if (json === undefined || Json.findFault(json) !== undefined) return breakOff(state, end)
  const value = state.shape.decode(json)
  return Option.isSome(value) ? attach(state, value.value, true, end) : leaveOut(state, end)
}

/** The index after a value; `undefined` if it goes on. */
const findEnd = (state: State, text: string, from: number): number | undefined => {
  for (let i = from; i < text.length; i++) {
    const char = text.charAt(i)
    if (state.isQuoted) {
      if (state.escape !== "") state.escape = ""
      else if (char === "\\") state.escape = char
      else if (char === '"') {
        state.isQuoted = false
        if (state.depth === 0) return i + 1
      }
    } else if (char === '"') state.isQuoted = true
    else if (char === "{" || char === "[") state.depth++
    else if (state.depth === 0) {
      // A number, `true`, `false` or `null`.
      if (isSpace(char) || char === "," || char === "}" || char === "]") return i
    } else if ((char === "}" || char === "]") && --state.depth === 0) return i + 1
  }
  return undefined
}

const readNext = (state: State, char: string, i: number): number => {
  const frame = state.frames.at(-1)
  if (frame === undefined) return breakOff(state, i)
  if (char === (frame.array === undefined ? "}" : "]")) return close(state, i)
  if (char !== ",") return breakOff(state, i)
  return frame.array === undefined ? goTo(state, "key", i + 1) : readItem(state, frame, i + 1)
}

const readItem = (state: State, { isFrozen, shape, size }: Frame, i: number): number => {
  state.shape = isFrozen ? undefined : shape.item?.(size)
  return goTo(state, "value", i)
}

const steps: { readonly [P in Phase]: Step } = {
  // `trim` removes more than the white space of JSON.
  start: (state, text, i) => {
    const char = text.charAt(i)
    return char.trim() === "" ? i + 1 : goTo(state, begins(state.root, char) ? "value" : "prose", i)
  },
  prose: (state, text, i) => {
    const char = text.charAt(i)
    state.isExact = false
    if (char === "`" || char === "~") {
      state.run = char === state.mark ? state.run + 1 : 1
      state.mark = char
      return i + 1
    }
    const isFence = state.run >= 3
    state.run = 0
    state.hasSpace = false
    return isFence ? goTo(state, "info", i) : i + 1
  },
  // A code block has a language, and its content begins on the same line or on the next one.
  info: (state, text, i) => {
    const char = text.charAt(i)
    if (char === "\n") return goTo(state, "content", i + 1)
    if (begins(state.root, char)) {
      state.retry = "line"
      return goTo(state, "value", i)
    }
    if (state.hasSpace && !isSpace(char)) return goTo(state, "line", i)
    state.hasSpace ||= isSpace(char)
    return i + 1
  },
  line: (state, text, i) => {
    const end = text.indexOf("\n", i)
    return end === -1 ? text.length : goTo(state, "content", end + 1)
  },
  content: skipSpace((state, char, i) => {
    state.retry = undefined
    return goTo(state, begins(state.root, char) ? "value" : "over", i)
  }),
  value: skipSpace(readValue),
  "item-or-end": skipSpace((state, char, i) => {
    const frame = state.frames.at(-1)
    return char === "]" || frame === undefined ? close(state, i) : readItem(state, frame, i)
  }),
  key: skipSpace((state, char, i) => (char === '"' ? openString(state, true, i) : breakOff(state, i))),
  "key-or-end": skipSpace((state, char, i) =>
    char === "}" ? close(state, i) : char === '"' ? openString(state, true, i) : breakOff(state, i)
  ),
  colon: skipSpace((state, char, i) => {
    const frame = state.frames.at(-1)
    if (char !== ":" || frame === undefined) return breakOff(state, i)
    state.shape = frame.shape.field?.(frame.key)
    return goTo(state, "value", i + 1)
  }),
  next: skipSpace(readNext),
  string: readString,
  raw: readRaw,
  done: skipSpace((state, _, i) => {
    state.isExact = false
    return goTo(state, "over", i)
  }),
  over: (_state, text) => text.length
}
