/** The file of a cassette: what was asked, and what was answered, as JSON with one entry for each request. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as PlatformError from "effect/PlatformError"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import * as RequestText from "../policies/requestText.ts"
import { InvalidRequest, ProviderError } from "../ProviderError.ts"
import type { JsonObject } from "../values/json.ts"
import * as Json from "../values/json.ts"

export const Call = Schema.Literals(["stream", "embed", "listModels", "model"])

/** How a call was answered. */
const Answer = Schema.Struct({
  /** The chunks of a completion. */
  chunks: Schema.optionalKey(Schema.Array(Schema.JsonObject)),
  /** The value of any other call. */
  value: Schema.optionalKey(Schema.Json),
  /** Why it failed. */
  failure: Schema.optionalKey(Schema.JsonObject),
  /** The consumer stopped before the end. */
  isStopped: Schema.optionalKey(Schema.Literal(true))
})
export interface Answer extends Schema.Schema.Type<typeof Answer> {}

/** What was asked. */
export interface Question {
  readonly call: typeof Call.Type
  /** Equal questions have equal texts. */
  readonly request: string
}

const Entry = Schema.Struct({ call: Call, request: Schema.JsonObject, ...Answer.fields })

const File = Schema.Struct({ version: Schema.Literal(1), entries: Schema.Array(Entry) })

const decodeFile = Schema.decodeUnknownResult(File, { onExcessProperty: "error" })

interface Recording {
  readonly question: Question
  /** Mutable. `undefined`: not there yet. */
  readonly answers: Array<Answer | undefined>
  played: number
  /** Whether it was asked anew, so that what the file has does not count. */
  isNew: boolean
}

type Recordings = Map<string, Recording>

const keyOf = ({ call, request }: Question): string => `${call} ${request}`

const getOrMake = (recordings: Recordings, question: Question): Recording => {
  const key = keyOf(question)
  const found = recordings.get(key) ?? { question, answers: [], played: 0, isNew: false }
  recordings.set(key, found)
  return found
}

export interface Tape {
  /** The next answer to a question; `undefined` if there is none. */
  readonly next: (question: Question) => Answer | undefined
  /** Takes the place of the next answer to a question. `replaces`: before the first one, those of the file are dropped. */
  readonly record: (
    question: Question,
    replaces: boolean
  ) => (answer: Answer) => Effect.Effect<void, PlatformError.PlatformError | ProviderError>
  /** The questions of the same kind, and how often this one is answered. */
  readonly known: (question: Question) => { readonly others: ReadonlyArray<string>; readonly answers: number }
}

export const open = Effect.fnUntraced(function* (file: string) {
  const files = yield* FileSystem.FileSystem
  const lock = Semaphore.makeUnsafe(1)
  const recordings = yield* load(files, file)

  /** What other layers have written since is kept. */
  const save = Effect.gen(function* () {
    const all = yield* load(files, file)
    for (const [key, recording] of recordings) if (recording.isNew) all.set(key, recording)
    yield* replace(files, file, format(all))
  }).pipe(lock.withPermit, Effect.uninterruptible)

  const tape: Tape = {
    next: (question) => {
      const found = recordings.get(keyOf(question))
      return found?.answers[found.played] && found.answers[found.played++]
    },
    record: (question, replaces) => {
      const recording = getOrMake(recordings, question)
      if (replaces && !recording.isNew) recording.answers.length = 0
      recording.isNew = true
      const index = recording.answers.push(undefined) - 1
      recording.played = recording.answers.length
      return (answer) =>
        Effect.suspend(() => {
          recording.answers[index] = answer
          return save
        })
    },
    known: (question) => ({
      others: [...recordings.values()]
        .filter(({ question: { call } }) => call === question.call)
        .map(({ question }) => question.request),
      answers: recordings.get(keyOf(question))?.answers.length ?? 0
    })
  }
  return tape
})

/** The recordings of a file; none if there is no such file. */
const load = Effect.fnUntraced(function* (files: FileSystem.FileSystem, file: string) {
  const recordings: Recordings = new Map()
  if (!(yield* files.exists(file))) return recordings
  const decoded = decodeFile(Json.parse(yield* files.readFileString(file)))
  if (Result.isFailure(decoded)) {
    const reason = new InvalidRequest({ field: "file", description: "it is not a cassette of this version" })
    return yield* Effect.fail(new ProviderError({ provider: "Cassette", reason }))
  }
  for (const { call, request, ...answer } of decoded.success.entries) {
    // Someone may have sorted the fields in another way.
    getOrMake(recordings, { call, request: RequestText.sortedText(request) ?? "" }).answers.push(answer)
  }
  return recordings
})

/** Replaces the file as a whole, so that it is never a part of what was written. */
const replace = Effect.fnUntraced(function* (files: FileSystem.FileSystem, file: string, text: string) {
  const [folder] = /^.*[/\\]/.exec(file) ?? []
  if (folder !== undefined) yield* files.makeDirectory(folder, { recursive: true })
  const written = `${file}.${Math.abs(yield* Random.nextInt).toString(36)}.tmp`
  yield* files.writeFileString(written, text)
  yield* Effect.tapError(files.rename(written, file), () => Effect.ignore(files.remove(written)))
})

/** Sorted by the question, so that requests at once do not change the order. Each chunk has a line. */
const format = (recordings: Recordings): string => {
  const sorted = [...recordings].toSorted(([a], [b]) => (a < b ? -1 : 1))
  const entries = sorted.flatMap(([, { answers, question }]) =>
    answers.flatMap((answer) => (answer === undefined ? [] : [formatEntry(question, answer)]))
  )
  return `{\n  "version": 1,\n  "entries": [${list(entries, "    ")}]\n}\n`
}

const formatEntry = ({ call, request }: Question, { chunks, ...answer }: Answer): string => {
  const fields: JsonObject = { call, request: JSON.parse(request), ...answer }
  const lines = Object.entries(fields).map(([key, value]) => {
    // A vector has one line.
    const text = key === "value" && call === "embed" ? JSON.stringify(value) : JSON.stringify(value, null, 2)
    return `${JSON.stringify(key)}: ${text.replaceAll("\n", "\n      ")}`
  })
  if (chunks !== undefined) {
    const texts = chunks.map((chunk) => JSON.stringify(chunk))
    lines.splice(2, 0, `"chunks": [${list(texts, "        ")}]`)
  }
  return `{\n      ${lines.join(",\n      ")}\n    }`
}

const list = (items: ReadonlyArray<string>, indent: string): string =>
  items.length === 0 ? "" : `\n${indent}${items.join(`,\n${indent}`)}\n${indent.slice(2)}`
