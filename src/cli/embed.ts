/** Turns texts into vectors. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import type { Provider } from "../Provider.ts"
import * as Discovery from "./discovery.ts"
import * as Manage from "./manage.ts"
import * as Prompt from "./prompt.ts"

export interface Input extends Manage.Input {
  readonly words: ReadonlyArray<string>
  readonly dimensions: number | undefined
  readonly lines: boolean
}

/** There is no text, or it is given in two ways. */
export class WrongTexts extends Data.TaggedError("WrongTexts")<{ readonly message: string }> {}

/** Prints the vector of one text, or with `--lines` that of each line of standard input. */
export const embed = Effect.fnUntraced(function* (input: Input) {
  if (input.lines) return yield* embedLines(input)
  const text = yield* Prompt.read(input.words, "local-llm embed")
  const { model, provider } = yield* Discovery.findModel(input, "embed")
  const embedding = yield* provider.embed(toRequest(input, model, text))
  yield* Manage.writeJson(input.json ? embedding : embedding.vectors[0])
})

/** Texts of one request. Memory does not depend on the number of lines. */
const batchSize = 32

const embedLines = Effect.fnUntraced(function* (input: Input) {
  if (input.words.length > 0) {
    return yield* new WrongTexts({ message: "--lines reads the texts from standard input, so there are no words" })
  }
  const { stdinIsTerminal } = yield* Stdio.Stdio
  if (yield* stdinIsTerminal) {
    return yield* new WrongTexts({ message: "--lines needs texts on standard input: local-llm embed --lines < FILE" })
  }
  const { model, provider } = yield* Discovery.findModel(input, "embed")
  yield* Prompt.input.pipe(
    Stream.splitLines,
    Stream.filter((line) => line.trim() !== ""),
    Stream.grouped(batchSize),
    Stream.mapEffect((texts) => Effect.zip(Effect.succeed(texts), vectorsOf(provider, toRequest(input, model, texts)))),
    Stream.runForEach(([texts, vectors]) =>
      Effect.forEach(
        texts,
        (text, index) => Manage.writeJson(input.json ? { text, vector: vectors[index] } : vectors[index]),
        { discard: true }
      )
    )
  )
})

type EmbeddingRequest = Parameters<Provider["embed"]>[0]

const vectorsOf = (provider: Provider, request: EmbeddingRequest) =>
  Effect.map(provider.embed(request), ({ vectors }) => vectors)

const toRequest = ({ dimensions }: Input, model: string, input: string | ReadonlyArray<string>): EmbeddingRequest => ({
  model,
  input,
  ...(dimensions === undefined ? {} : { dimensions })
})
