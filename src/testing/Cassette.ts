/**
 * Real answers in a file, and a provider that plays them in tests.
 *
 * @category Testing
 * @since 0.3.0
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as PlatformError from "effect/PlatformError"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Embedding } from "../Embedding.ts"
import { ModelInfo } from "../ModelInfo.ts"
import * as Observed from "../policies/observed.ts"
import * as RequestText from "../policies/requestText.ts"
import * as Delivered from "../protocol/delivered.ts"
import * as Provider from "../Provider.ts"
import { InvalidRequest, ProviderError } from "../ProviderError.ts"
import * as OptionSchema from "../servers/options.ts"
import type { StreamingChunk } from "../StreamingChunk.ts"
import * as Recorded from "./recorded.ts"
import * as Tape from "./tape.ts"

/**
 * How a cassette is used. All fields are optional.
 *
 * @category options
 */
export interface Options {
  /**
   * - `play`: answers come from the file. Whatever is not in it fails with `InvalidRequest`, and nothing is sent.
   * - `extend`: answers come from the file. For what is not in it, the server is asked, and the answer is added.
   * - `record`: the server is asked for everything. Its answers replace those of the file to the same requests.
   *
   * Default: `play`.
   */
  readonly mode?: "play" | "extend" | "record" | undefined
  /**
   * Changes every text of requests, answers and failures, before they are compared and written: for names of persons, and for dates and
   * ids that differ in each run. Default: none is changed.
   */
  readonly redact?: ((text: string) => string) | undefined
}

/**
 * Makes a provider whose answers are recorded into a file, or played from it.
 *
 * **When to use**
 *
 * For tests on answers of real models, without a model. `MockProvider` is simpler for answers that you write.
 *
 * **Details**
 *
 * What is recorded is what a `Provider` gives: the chunks of completions, embeddings, lists and descriptions of models, and failures with
 * their reasons. It has no headers, addresses or tokens, because no `Provider` gives any, and a test does not depend on the server that was
 * recorded or on its protocol. From failures, all texts are left out, since servers quote prompts and headers in them; what programs decide
 * on stays, such as the tag, the status and `retryAfter`. Fields of `extra` whose names are those of secrets are left out, and names of
 * providers that are addresses.
 *
 * A request is found by all of its fields, except `deadlines` and `keepAlive`. Of images, the file has hashes. Equal requests are answered in the order in which they were
 * recorded, which begins anew with each layer. Chunks come without the waits between them. A completion whose consumer stopped is recorded
 * up to there; one that pulls further fails with `InvalidRequest`.
 *
 * The file is JSON, sorted by the requests, with a line for each chunk. It is replaced as a whole after each answer, so it is never a part
 * of what was written. It has the prompts and the answers: do not record what must not be in a repository, or use `redact`. Answers that
 * are not asked for any more stay until you delete the file.
 *
 * Fails with `InvalidRequest` if an option is invalid or the file is not a cassette, with `PlatformError` if the file cannot be read, and
 * as the provider fails. A file that cannot be written is a defect, so that no handler of provider errors hides it.
 *
 * **Gotchas**
 *
 * Record with one process for each file. Policies belong around the cassette, unless what they choose is to be recorded too.
 *
 * @category constructors
 */
export function make<S extends Provider.Source<unknown, unknown>>(
  provider: S,
  file: string,
  options?: Options
): Effect.Effect<
  Provider.Provider,
  ProviderError | PlatformError.PlatformError | Provider.SourceError<S>,
  FileSystem.FileSystem | Provider.SourceServices<S>
>
export function make(
  source: Provider.Source<unknown, unknown>,
  file: string,
  options: Options = {}
): Effect.Effect<Provider.Provider, unknown, unknown> {
  return Effect.gen(function* () {
    const { mode = "play", redact } = yield* OptionSchema.readFor(definition, options, "Cassette")
    const provider = yield* Provider.fromSource(source)
    const deck = makeDeck(yield* Tape.open(file), provider, mode, redact)
    return makeRecorded(provider, deck, mode)
  })
}

/**
 * Provides a `Provider` whose answers are recorded into a file, or played from it, from another one.
 *
 * **Example** (`RECORD=1 vitest` records, and `vitest` plays)
 *
 * ```ts
 * import { NodeFileSystem, NodeHttpClient } from "@effect/platform-node"
 * import { Layer } from "effect"
 * import { Ollama } from "effect-local-llm"
 * import { Cassette } from "effect-local-llm/testing"
 *
 * const live = Cassette.layer("test/title.json", { mode: process.env["RECORD"] === "1" ? "record" : "play" }).pipe(
 *   Layer.provide(Ollama.layer()),
 *   Layer.provide([NodeHttpClient.layerUndici, NodeFileSystem.layer])
 * )
 * ```
 *
 * @see {@link make} for what is in the file.
 * @category layers
 */
export const layer = (
  file: string,
  options: Options = {}
): Layer.Layer<
  Provider.Provider,
  ProviderError | PlatformError.PlatformError,
  FileSystem.FileSystem | Provider.Provider
> => Layer.effect(Provider.Provider, make(Provider.Provider, file, options))

const definition = OptionSchema.define<Options>({
  mode: Schema.optional(Schema.Literals(["play", "extend", "record"])),
  redact: OptionSchema.fn
})

type Mode = NonNullable<Options["mode"]>

/** Asks the file first, as the mode has it, and then the provider. */
interface Deck {
  /** What the file has; a function that records what the provider answers; or the failure of a question that is new. */
  readonly ask: (
    call: Tape.Question["call"],
    request: string
  ) => Tape.Answer | ((answer: Tape.Answer) => Effect.Effect<void>) | ProviderError
  readonly toError: (failure: Recorded.Failure) => ProviderError
  readonly fail: (description: string) => ProviderError
  readonly chunk: (chunk: StreamingChunk) => Recorded.Chunk
  readonly value: Recorded.Redact
}

const makeDeck = (
  tape: Tape.Tape,
  { name, server }: Provider.Provider,
  mode: Mode,
  redact?: (text: string) => string
): Deck => {
  const value = redact === undefined ? identity : Recorded.makeRedact(redact)
  const fail = (description: string) =>
    new ProviderError({ provider: name, server, reason: new InvalidRequest({ description }) })
  return {
    ask: (call, text) => {
      const question = { call, request: Recorded.toQuestion(text, value) }
      const answer = mode === "record" ? undefined : tape.next(question)
      if (answer !== undefined) return answer
      if (mode === "play") return fail(Recorded.describeMissing(question.request, tape.known(question)))
      const write = tape.record(question, mode === "record")
      return (answer) => Effect.orDie(write(answer))
    },
    fail,
    toError: (failure) => new ProviderError({ provider: name, server, reason: Recorded.toReason(failure) }),
    chunk: (chunk) => Recorded.fromChunk(chunk, value),
    value
  }
}

const makeRecorded = (provider: Provider.Provider, deck: Deck, mode: Mode): Provider.Provider => {
  const { hasUnlistedModels, isSameModel, kind, name, oneModelAtATime, server, unload } = provider
  return Provider.make({
    name,
    kind,
    server,
    isSameModel,
    hasUnlistedModels,
    oneModelAtATime,
    unload: mode === "play" ? undefined : unload,
    stream: (request) =>
      Stream.suspend(() => {
        const text = RequestText.make(request)
        // The provider rejects it.
        if (text === undefined) return provider.stream(request)
        const asked = deck.ask("stream", text)
        if (asked instanceof ProviderError) return Stream.fail(asked)
        return typeof asked === "function" ? record(provider.stream(request), deck, asked) : play(asked, deck)
      }),
    embed: (request) =>
      Effect.suspend(() => {
        const text = RequestText.make(request)
        if (text === undefined) return provider.embed(request)
        return call(deck, "embed", text, Embedding, provider.embed(request))
      }),
    listModels: Effect.suspend(() => call(deck, "listModels", "{}", Schema.Array(ModelInfo), provider.listModels)),
    model: (model, options) =>
      Effect.suspend(() => call(deck, "model", JSON.stringify({ model }), ModelInfo, provider.model(model, options)))
  })
}

const stopped = "the cassette has no more of this completion; the consumer that was recorded stopped here"

/** One at a time, as they came. */
const play = ({ chunks = [], failure }: Tape.Answer, deck: Deck) => {
  const played = Stream.fromArrays(...chunks.map((chunk) => [Recorded.toChunk(chunk)]))
  if (failure !== undefined) return Stream.concat(played, Stream.fail(deck.toError(failure)))
  // Someone may have edited the file.
  const isComplete = chunks.at(-1)?.["isFinal"] === true
  return isComplete ? played : Stream.concat(played, Stream.fail(deck.fail(stopped)))
}

const record = (
  chunks: Stream.Stream<StreamingChunk, ProviderError>,
  deck: Deck,
  write: (answer: Tape.Answer) => Effect.Effect<void>
) =>
  Observed.make(chunks, () => {
    const recorded: Array<Recorded.Chunk> = []
    let isComplete = false
    return {
      add: (chunks) => {
        for (const chunk of chunks) {
          if (Delivered.carries(chunk)) recorded.push(deck.chunk(chunk))
          isComplete ||= chunk.isFinal
        }
      },
      end: (outcome) => {
        if (outcome instanceof ProviderError)
          return write({ chunks: recorded, failure: Recorded.fromReason(outcome.reason) })
        return write(isComplete ? { chunks: recorded } : { chunks: recorded, isStopped: true })
      }
    }
  })

/** A call that returns one value, which the file has in the JSON form of this schema. */
const call = <A>(
  deck: Deck,
  name: Tape.Question["call"],
  text: string,
  schema: Schema.Codec<A, unknown>,
  ask: Effect.Effect<A, ProviderError>
): Effect.Effect<A, ProviderError> => {
  const codec = Schema.toCodecJson(schema)
  const asked = deck.ask(name, text)
  if (asked instanceof ProviderError) return Effect.fail(asked)
  if (typeof asked !== "function") {
    if (asked.failure !== undefined) return Effect.fail(deck.toError(asked.failure))
    return Effect.orDie(Schema.decodeUnknownEffect(codec)(asked.value))
  }
  return ask.pipe(
    Effect.tap((value) =>
      Effect.flatMap(Effect.orDie(Schema.encodeEffect(codec)(value)), (value) =>
        asked({ value: deck.value(Recorded.fromValue(value)) })
      )
    ),
    Effect.tapError((error) => asked({ failure: Recorded.fromReason(error.reason) }))
  )
}
