/** Turns texts into vectors. */
import * as Effect from "effect/Effect"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as Failure from "./failure.ts"
import type * as Flags from "./flags.ts"
import * as Output from "./output.ts"
import * as Prompt from "./prompt.ts"
import * as Selection from "./selection.ts"

type Input = Flags.Input<typeof Flags.embed>

/** Prints the vector of one text, or with `--lines` that of each line of standard input. */
export const embed = Effect.fnUntraced(function* (input: Input) {
  if (input.lines) return yield* embedLines(input)
  const text = yield* Prompt.read(input.words, { program: "local-llm embed" })
  const { model, provider } = yield* findModel(input)
  const embedding = yield* provider.embed({ model, input: text, dimensions: input.dimensions })
  yield* Output.writeJson(input.json ? embedding : embedding.vectors[0])
})

/** Texts of one request. Memory does not depend on the number of lines. */
const batchSize = 32

const findModel = (input: Input) => Selection.findModel({ ...input, model: input.embeddingModel }, "embed")

const embedLines = Effect.fnUntraced(function* (input: Input) {
  const { dimensions, json, words } = input
  const { stdinIsTerminal } = yield* Stdio.Stdio
  if (words.length > 0) {
    return yield* Failure.fail("--lines reads the texts from standard input, so there are no words")
  }
  if (yield* stdinIsTerminal) {
    return yield* Failure.fail("--lines needs texts on standard input: local-llm embed --lines < FILE")
  }
  const { model, provider } = yield* findModel(input)
  yield* Prompt.input.pipe(
    Stream.splitLines,
    Stream.filter((line) => line.trim() !== ""),
    Stream.grouped(batchSize),
    Stream.runForEach((texts) =>
      Effect.flatMap(provider.embed({ model, input: texts, dimensions }), ({ vectors }) =>
        Effect.forEach(
          texts,
          (text, index) => Output.writeJson(json ? { text, vector: vectors[index] } : vectors[index]),
          { discard: true }
        )
      )
    )
  )
})
