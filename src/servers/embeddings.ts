/** Embeddings of any number of texts: batches of bounded size, sent with bounded concurrency. */
import * as Effect from "effect/Effect"
import * as Num from "effect/Number"
import * as Redacted from "effect/Redacted"
import type { Embedding, ValidRequest } from "../Embedding.ts"
import type { ProviderErrorReason } from "../ProviderError.ts"
import { ContextOverflow, InvalidRequest, ParseError, ProviderError, Unsupported } from "../ProviderError.ts"

/** The texts that one request to a server has. */
export interface BatchRequest extends ValidRequest {
  readonly input: ReadonlyArray<string>
}

/** Servers read a whole batch before they respond. These keep each request short and its response within `maxLineBytes`. */
const maxTexts = 32
const maxCharacters = 64 * 1024
/** How many requests of one input a server gets at a time. */
const defaultConcurrency = 4

interface Batch {
  /** The index of its first text in the whole input. */
  readonly start: number
  readonly texts: ReadonlyArray<string>
}

export const embed = Effect.fnUntraced(function* (
  request: ValidRequest,
  send: (request: BatchRequest) => Effect.Effect<Embedding, ProviderError>,
  toError: (reason: ProviderErrorReason) => ProviderError,
  concurrency = defaultConcurrency
): Effect.fn.Return<Embedding, ProviderError> {
  const sendBatch = ({ start, texts }: Batch): Effect.Effect<ReadonlyArray<Embedding>, ProviderError> =>
    Effect.matchEffect(send({ ...request, input: texts }), {
      onSuccess: (embedding) => {
        const problem = findProblem(embedding, texts.length, start, request.dimensions)
        return problem === undefined ? Effect.succeed([embedding]) : Effect.fail(toError(problem))
      },
      onFailure: (error) => {
        const named = nameText(error.reason, start)
        if (named === undefined) return Effect.fail(error)
        const isNamed = "index" in error.reason && error.reason.index !== undefined
        if (texts.length === 1 || isNamed) {
          const { provider, server } = error
          return Effect.fail(new ProviderError({ provider, server, reason: named }))
        }
        // The server does not report which text it is.
        const middle = Math.ceil(texts.length / 2)
        const halves = [
          { start, texts: texts.slice(0, middle) },
          { start: start + middle, texts: texts.slice(middle) }
        ]
        return Effect.map(Effect.forEach(halves, sendBatch), (parts) => parts.flat())
      }
    })
  const batches = toBatches(typeof request.input === "string" ? [request.input] : request.input)
  const parts = (yield* Effect.forEach(batches, sendBatch, { concurrency })).flat()
  const counts = parts.flatMap(({ promptTokens }) => promptTokens ?? [])
  return {
    model: parts[0]?.model ?? request.model,
    vectors: parts.flatMap(({ vectors }) => vectors),
    // The sum would be wrong if a part had none.
    ...(counts.length === 0 || counts.length < parts.length ? {} : { promptTokens: Num.sumAll(counts) })
  }
})

/** The reason with the index of the text, if it is about one text of the batch: it does not fit, or it has no vector. */
const nameText = (reason: ProviderErrorReason, start: number): ProviderErrorReason | undefined => {
  if (reason._tag !== "ContextOverflow" && reason._tag !== "InvalidRequest") return undefined
  const index = start + (reason.index ?? 0)
  if (reason._tag === "ContextOverflow") return new ContextOverflow({ ...reason, index })
  return reason.field === "input" || reason.index !== undefined
    ? new InvalidRequest({ ...reason, field: `input[${index}]`, index })
    : undefined
}

const toBatches = (texts: ReadonlyArray<string>): ReadonlyArray<Batch> => {
  const batches: Array<{ readonly start: number; readonly texts: Array<string> }> = []
  let characters = 0
  for (const [index, text] of texts.entries()) {
    const last = batches.at(-1)
    characters += text.length
    if (last === undefined || last.texts.length === maxTexts || characters > maxCharacters) {
      batches.push({ start: index, texts: [text] })
      characters = text.length
    } else last.texts.push(text)
  }
  return batches
}

const findProblem = (
  { vectors }: Embedding,
  expected: number,
  start: number,
  dimensions: number | undefined
): ParseError | Unsupported | undefined => {
  const excerpt = Redacted.make("")
  if (vectors.length !== expected) {
    const texts = `input[${start}] to input[${start + expected - 1}]`
    return new ParseError({ description: `${vectors.length} vectors for the ${expected} texts ${texts}`, excerpt })
  }
  const empty = vectors.findIndex((vector) => vector.length === 0)
  if (empty !== -1) return new ParseError({ description: `the vector of input[${start + empty}] is empty`, excerpt })
  const other = vectors.findIndex((vector) => vector.length !== (dimensions ?? vectors[0]?.length))
  if (other === -1) return undefined
  // Servers ignore what they do not know.
  if (dimensions !== undefined) {
    const description = `the vectors have ${vectors[other]?.length} instead of ${dimensions}`
    return new Unsupported({ feature: "dimensions", description })
  }
  return new ParseError({ description: `the vector of input[${start + other}] has another length`, excerpt })
}
