/**
 * The value of a completion while it is generated, as `Provider.streamObject` emits it.
 *
 * @category Core
 * @since 0.3.0
 */
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Completion from "./Completion.ts"
import type { StreamTruncated } from "./ProviderError.ts"
import { InvalidAnswer } from "./ProviderError.ts"
import type { StreamingChunk } from "./StreamingChunk.ts"
import * as Json from "./values/json.ts"
import * as PartialJson from "./values/partialJson.ts"
import * as Shape from "./values/shape.ts"

/**
 * A value of which parts may be missing: fields of objects, the later items of arrays, and the ends of texts, whatever their
 * brand. Numbers, literals and values with methods, such as dates, are complete if they are there.
 *
 * **Details**
 *
 * At run time more can be missing than this type says. A value is whole or missing if it is an alternative among several (except
 * `null` and `undefined`), an instance of a class, or transformed from another JSON form.
 *
 * @category models
 */
export type PartialOf<A> = A extends string
  ? string extends A
    ? string
    : A extends { readonly "~effect/Brand": unknown }
      ? string
      : A
  : A extends ReadonlyArray<infer Item>
    ? number extends A["length"]
      ? ReadonlyArray<PartialOf<Item>>
      : { readonly [I in keyof A]?: PartialOf<A[I]> }
    : A extends object
      ? true extends { readonly [K in keyof A]: A[K] extends (...args: never) => unknown ? true : false }[keyof A]
        ? A
        : { readonly [K in keyof A]?: PartialOf<A[K]> }
      : A

/**
 * A part of the value, or, as the last element of a stream, the value itself. `isFinal` narrows the type.
 *
 * @category models
 */
export type PartialObject<A> =
  | {
      /** `false` on all elements but the last. */
      readonly isFinal: false
      /** What is known so far. Each value extends the one before, and shares its complete parts. */
      readonly value: PartialOf<A>
    }
  | {
      /** `true` on the last element only. */
      readonly isFinal: true
      /** The decoded value. */
      readonly value: A
    }

/**
 * The values of the chunks of a completion, for a stream that you have changed or recorded. Fails with `StreamTruncated` if there is no
 * final chunk, and with `InvalidAnswer` as `Completion.decode` does, or if the value contradicts a part that was emitted.
 *
 * **Details**
 *
 * There is at most one element for each array of chunks that arrives. Arrays and objects with more than a thousand entries that
 * still grow are emitted less often, so that the time is linear. The memory is that of the text and of the value.
 *
 * @category constructors
 */
export const fromStream = <E, R, A, RD>(
  chunks: Stream.Stream<StreamingChunk, E, R>,
  schema: Schema.ConstraintDecoder<A, RD>
): Stream.Stream<PartialObject<A>, E | InvalidAnswer | StreamTruncated, R | RD> =>
  Stream.suspend(() => {
    const reader = makeReader<A>(schema)
    const parts = Stream.mapAccumArray(chunks, constVoid, (_, chunks) => [undefined, reader.add(chunks)])
    const finish = Effect.gen(function* () {
      const completion = yield* Effect.fromResult(reader.completion())
      const value = yield* Completion.decode(completion, schema)
      const contradiction = reader.findContradiction(completion)
      if (contradiction !== undefined) return yield* Effect.fail(contradiction)
      return { isFinal: true, value } as const
    })
    return Stream.concat(parts, Stream.fromEffect(finish))
  })

/** What has arrived of a completion, and what was emitted. Mutable state. */
const makeReader = <A>(schema: Schema.Constraint) => {
  const shape = Shape.ofSchema(schema)
  const reader = PartialJson.make(shape)
  const { add, completion } = Completion.makeCollector()
  let latest: Option.Option<unknown> = Option.none()
  return {
    completion,
    /** What is new with these chunks, if anything. */
    add: (chunks: ReadonlyArray<StreamingChunk>): ReadonlyArray<PartialObject<A>> => {
      for (const chunk of chunks) {
        add(chunk)
        if (chunk.content !== "") reader.add(chunk.content)
      }
      const value = reader.take()
      if (Option.isNone(value)) return []
      latest = value
      // The shape made it from the schema of `A`.
      return [{ isFinal: false, value: value.value as PartialOf<A> }]
    },
    findContradiction: (completion: Completion.Completion): InvalidAnswer | undefined => {
      if (reader.isWhole() || Option.isNone(latest)) return undefined
      const part = latest.value
      const whole = PartialJson.make(shape)
      // Written again, it has each key once, with the value that counts.
      whole.add(Json.stringify(Json.parse(Completion.jsonText(completion))) ?? "")
      if (Option.exists(whole.take(), (value) => Shape.isPartOf(part, value))) return undefined
      const description = "it has a key twice, or more than one value, and parts of another one were emitted before"
      return new InvalidAnswer({ text: Redacted.make(completion.content), isTruncated: false, description })
    }
  }
}
