/** Values while they are generated. */
import { describe, expect, expectTypeOf, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Completion from "../../src/Completion.ts"
import * as PartialObject from "../../src/PartialObject.ts"
import * as PartialJson from "../../src/values/partialJson.ts"
import * as Shape from "../../src/values/shape.ts"
import type { FinishReason, StreamingChunk } from "../../src/StreamingChunk.ts"

const toChunks = (
  pieces: ReadonlyArray<string>,
  finishReason: FinishReason = "stop"
): ReadonlyArray<StreamingChunk> => [
  ...pieces.map((content) => ({ content, isFinal: false as const })),
  { content: "", isFinal: true, model: "m", finishReason }
]

interface Outcome<A> {
  readonly parts: ReadonlyArray<PartialObject.PartialOf<A>>
  readonly end: Result.Result<A, string>
}

/** The parts, and the value or the description of the failure. */
const run = <A>(
  schema: Schema.ConstraintDecoder<A>,
  chunks: ReadonlyArray<StreamingChunk>
): Effect.Effect<Outcome<A>> =>
  Effect.gen(function* () {
    const parts: Array<PartialObject.PartialOf<A>> = []
    let end: Outcome<A>["end"] | undefined
    const failure = yield* PartialObject.fromStream(Stream.rechunk(Stream.fromIterable(chunks), 1), schema).pipe(
      Stream.runForEach((element) =>
        Effect.sync(() => {
          if (end !== undefined) throw new Error("an element after the last one")
          if (element.isFinal) end = Result.succeed(element.value)
          else parts.push(element.value)
        })
      ),
      Effect.flip,
      Effect.option
    )
    if (Option.isSome(failure)) end = Result.fail(failure.value.message)
    return { parts, end: end ?? Result.fail("no end") }
  })

/** What `Provider.object` returns for the same completion. */
const whole = <A>(schema: Schema.ConstraintDecoder<A>, chunks: ReadonlyArray<StreamingChunk>) =>
  Completion.fromStream(Stream.fromIterable(chunks)).pipe(
    Effect.flatMap((completion) => Completion.decode(completion, schema)),
    Effect.mapError(({ message }) => message),
    Effect.result
  )

/** Whether the second value is the first one with more in it. Independent of the library. */
const extendsPart = (before: unknown, after: unknown): boolean => {
  if (typeof before === "string") return typeof after === "string" && after.startsWith(before)
  if (Array.isArray(before))
    return Array.isArray(after) && before.every((item, i) => i in after && extendsPart(item, after[i]))
  if (typeof before !== "object" || before === null || Object.getPrototypeOf(before) !== Object.prototype) {
    return Equal.equals(before, after)
  }
  return (
    typeof after === "object" &&
    after !== null &&
    Object.entries(before).every(
      ([key, value]) => Object.hasOwn(after, key) && extendsPart(value, Reflect.get(after, key))
    )
  )
}

const expectMonotone = (values: ReadonlyArray<unknown>): void => {
  for (const [i, value] of values.slice(1).entries()) {
    if (!extendsPart(values[i], value)) expect(value).toEqual({ extends: values[i] })
  }
}

class Point extends Schema.Class<Point>("Point")({ x: Schema.Finite, y: Schema.Finite }) {}

interface Tree {
  readonly name: string
  readonly children: ReadonlyArray<Tree>
}
const Tree = Schema.Struct({
  name: Schema.String,
  children: Schema.Array(Schema.suspend((): Schema.Codec<Tree> => Tree))
})

const Everything = Schema.Struct({
  text: Schema.String,
  branded: Schema.String.pipe(Schema.brand("Name")),
  "": Schema.optional(Schema.NullOr(Schema.String)),
  count: Schema.Int,
  size: Schema.Number,
  isOn: Schema.Boolean,
  kind: Schema.Literals(["a", "ab", "😀"]),
  at: Schema.DateTimeUtc,
  list: Schema.Array(Schema.Struct({ a: Schema.optional(Schema.String), b: Schema.Array(Schema.Finite) })),
  pair: Schema.Tuple([Schema.String, Schema.Boolean]),
  record: Schema.Record(Schema.String, Schema.String),
  either: Schema.Union([Schema.Struct({ a: Schema.String }), Schema.Struct({ b: Schema.Finite }), Schema.String]),
  point: Schema.NullOr(Point),
  maybe: Schema.Option(Schema.String),
  tree: Tree
})

/** How a JSON text is written: which characters are escapes, where white space is, and how it is cut. */
const Writing = Schema.Struct({
  seed: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 })),
  longest: Schema.Literals([1, 2, 5, 40, 10_000]),
  fence: Schema.Literals(["", "", "```json\n", "Here it is:\n```\n", "~~~~json ", '```json title="{a}" {1}\r\n'])
})

const makeRandom = (seed: number) => {
  let state = seed
  return (below: number): number => {
    state = (state * 48_271) % 2_147_483_647
    return state % below
  }
}

const write = (json: string, { fence, longest, seed }: typeof Writing.Type): ReadonlyArray<string> => {
  const random = makeRandom(seed)
  let isQuoted = false
  let written = ""
  for (let i = 0; i < json.length; i++) {
    const char = json.charAt(i)
    if (char === "\\") {
      const escape = json.slice(i, i + (json[i + 1] === "u" ? 6 : 2))
      written += escape
      i += escape.length - 1
    } else if (char === '"') {
      isQuoted = !isQuoted
      written += char
    } else if (isQuoted) {
      written += random(4) === 0 ? `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}` : char
    } else {
      // A number or a literal must not be divided.
      const isDivider = "{}[],:".includes(char)
      written += isDivider && random(5) === 0 ? ` ${char}\n\t` : char
    }
  }
  const mark = /[`~]{3,}/.exec(fence)?.[0]
  return cut(mark === undefined ? `\n ${written} \n` : `${fence}${written}\n${mark}\nAnything else?`, longest, random)
}

const cut = (text: string, longest: number, random: (below: number) => number): ReadonlyArray<string> => {
  const pieces: Array<string> = []
  for (let i = 0; i < text.length;) {
    const length = 1 + random(longest)
    pieces.push(text.slice(i, i + length))
    i += length
  }
  return pieces
}

describe("the parts of a value", () => {
  it.effect.prop(
    "grow into it, however its text is written and cut",
    { value: Arbitrary.schema(Everything), writing: Arbitrary.schema(Writing) },
    ({ value, writing }) =>
      Effect.gen(function* () {
        const json = JSON.stringify(Schema.encodeSync(Schema.toCodecJson(Everything))(value))
        const expected = yield* whole(Everything, toChunks([json]))
        const chunks = toChunks(write(json, writing))
        const { end, parts } = yield* run(Everything, chunks)
        expect(end).toEqual(yield* whole(Everything, chunks))
        if (Result.isFailure(expected)) return
        expect(end).toEqual(expected)
        expectMonotone([...parts, expected.success])
        expect(parts.some((part, i) => i > 0 && Equal.equals(part, parts[i - 1]))).toBe(false)
        // The last part has everything.
        if (writing.longest < 10) expect(parts.at(-1)).toEqual(expected.success)
      }),
    { arbitrary: { runs: 60 }, timeout: 60_000 }
  )

  const Small = Schema.Struct({
    a: Schema.String,
    b: Schema.Array(Schema.Union([Schema.String, Schema.Finite])),
    c: Schema.NullOr(Schema.Struct({ a: Schema.String })),
    d: Schema.Record(Schema.String, Schema.String)
  })
  const Tokens = Schema.Array(
    Schema.Literals([
      ..."{}[]:,",
      '"',
      '"a"',
      '"b"',
      '"c"',
      '"d"',
      '"__proto__"',
      '{"a":"x","b":[1,"y"],"c":null,"d":{}}',
      '{"a":"',
      '","b":[],"c":{"a":"z","a":"zz"},"d":{"k":"v","k":"w"}}',
      "null",
      "12",
      "-",
      "tru",
      "\\",
      "\\u12",
      "\\ud83d",
      "\\ude00",
      "\ud83d",
      "\n",
      " ",
      "\u0001",
      "```",
      "~~~",
      "json",
      "Sure: "
    ])
  ).check(Schema.isMaxLength(14))

  it.effect.prop(
    "of a hostile answer are not withdrawn, and its end is that of the whole",
    { tokens: Arbitrary.schema(Tokens), writing: Arbitrary.schema(Writing) },
    ({ tokens, writing }) =>
      Effect.gen(function* () {
        const chunks = toChunks(cut(tokens.join(""), writing.longest, makeRandom(writing.seed)))
        const { end, parts } = yield* run(Small, chunks)
        const expected = yield* whole(Small, chunks)
        expectMonotone(Result.isSuccess(end) ? [...parts, end.success] : parts)
        if (Result.isFailure(end) && Result.isSuccess(expected)) {
          expect(end.failure).toContain("parts of another one were emitted before")
          expect(extendsPart(parts.at(-1), expected.success)).toBe(false)
        } else expect(end).toEqual(expected)
      }),
    { arbitrary: { runs: 400 }, timeout: 60_000 }
  )
})

const partsOf = <A>(schema: Schema.ConstraintDecoder<A>, pieces: ReadonlyArray<string>) =>
  Effect.map(run(schema, toChunks(pieces)), ({ parts }) => parts)

describe("each chunk", () => {
  it.effect.each<
    readonly [
      what: string,
      schema: Schema.ConstraintDecoder<unknown>,
      pieces: ReadonlyArray<string>,
      parts: ReadonlyArray<unknown>
    ]
  >([
    [
      "a text grows",
      Schema.Struct({ a: Schema.String }),
      ['{"a":', '"', "x", "y", '"', "}"],
      [{}, { a: "x" }, { a: "xy" }]
    ],
    ["an empty text", Schema.Struct({ a: Schema.String }), ['{"a":"', '"', "}"], [{}, { a: "" }]],
    ["a number is whole", Schema.Array(Schema.Finite), ["[1", "2", ",", "3]"], [[], [12], [12, 3]]],
    ["a literal is whole", Schema.Array(Schema.Literals(["a", "ab"])), ['["a', 'b"', "]"], [[], ["ab"]]],
    ["null is whole", Schema.Struct({ a: Schema.NullOr(Schema.String) }), ['{"a":nu', "ll", "}"], [{}, { a: null }]],
    [
      "an escape is whole",
      Schema.Array(Schema.String),
      ['["a\\', "u00", "e9", "\\", "n", '"]'],
      [["a"], ["aé"], ["aé\n"]]
    ],
    [
      "a pair of surrogates is whole",
      Schema.Array(Schema.String),
      ['["\\ud83d', "\\ude00", '", "a\ud83d', '\ude00"]'],
      [[], ["😀"], ["😀", "a"], ["😀", "a😀"]]
    ],
    ["half of a pair alone", Schema.Array(Schema.String), ['["\\ud83d', 'x"]'], [[], ["\ud83dx"]]],
    [
      "an unknown field",
      Schema.Struct({ a: Schema.String }),
      ['{"x":{"a":[1,"]', '}"]},', '"a":"y', '"}'],
      [{}, { a: "y" }]
    ],
    [
      "alternatives",
      Schema.Array(Schema.Union([Schema.Struct({ a: Schema.String }), Schema.String])),
      ['[{"a":"x', '"}', ',"y"', "]"],
      [[], [{ a: "x" }], [{ a: "x" }, "y"]]
    ],
    ["an invalid value", Schema.Struct({ n: Schema.Int, a: Schema.String }), ['{"n":1.5,"a"', ':"x'], [{}, { a: "x" }]],
    ["an invalid item, and those after it", Schema.Array(Schema.Int), ["[1,", "1.5,", "2]"], [[1]]],
    ["a text alone", Schema.String, ['"a', "b", '"'], ["a", "ab"]],
    ["other white space before it", Schema.Struct({ a: Schema.String }), ["\ufeff\u00a0{", '"a":"x'], [{}, { a: "x" }]],
    [
      "a __proto__ inside a value",
      Schema.Record(Schema.String, Schema.Unknown),
      ['{"a":1,', '"b":{"__proto__":{"x":1}}', ',"c":1}'],
      [{ a: 1 }]
    ],
    [
      "another value after one that is not JSON",
      Schema.Struct({ a: Schema.String }),
      ['{"a":"x', '\u0001 ```json {"a":"', 'y"}```'],
      [{ a: "x" }]
    ],
    [
      "a value after prose that looks like one",
      Schema.Struct({ a: Schema.String }),
      ["{", 'braces} ```json {"a":"', 'y"}```'],
      [{}, { a: "y" }]
    ],
    [
      "the __proto__ of a record",
      Schema.Record(Schema.String, Schema.String),
      ['{"a":"x","__proto__', '":"y"', ',"b":"z"}'],
      [{ a: "x" }]
    ]
  ])("%s", ([, schema, pieces, parts]) =>
    Effect.map(partsOf(schema, pieces), (actual) => expect(actual).toEqual(parts))
  )

  it.effect("a value that is transformed appears decoded", () =>
    Effect.gen(function* () {
      const schema = Schema.Struct({ on: Schema.Date, n: Schema.NumberFromString })
      const parts = yield* partsOf(schema, ['{"on":"2026-01-', '02"', ',"n":"1', '2"', "}"])
      expect(parts).toEqual([{}, { on: new Date("2026-01-02") }, { on: new Date("2026-01-02"), n: 12 }])
    })
  )

  it.effect("complete parts are shared", () =>
    Effect.gen(function* () {
      const schema = Schema.Struct({ a: Schema.Array(Schema.Finite), b: Schema.String })
      const [first, second] = yield* partsOf(schema, ['{"a":[1,2],"b":"x', "y"])
      expect(first?.a).toEqual([1, 2])
      expect(second?.a).toBe(first?.a)
      expect(first).not.toBe(second)
    })
  )
})

describe("the end", () => {
  const schema = Schema.Struct({ a: Schema.String })
  const endOf = (pieces: ReadonlyArray<string>, finishReason?: FinishReason) =>
    Effect.map(run(schema, toChunks(pieces, finishReason)), ({ end }) => end)

  it.effect.each<readonly [what: string, pieces: ReadonlyArray<string>, message: RegExp]>([
    ["a second value of a key", ['{"a":"x', '","a":"y"}'], /emitted before/],
    ["a second block", ['{"a":"x"}', '\n```json\n{"a":"y"}\n```'], /emitted before/],
    ["text after the value", ['{"a":"x"}', " Done."], /it is not JSON/],
    ["an invalid escape", ['{"a":"C:\\H', 'i"}'], /it is not JSON/],
    ["nothing", [], /it is empty/],
    ["a missing field", ["{", "}"], /a/],
    ["a prototype", ['{"a":"x",', '"__proto__":{}}'], /unsafe/]
  ])("of %s is a failure", ([, pieces, message]) =>
    Effect.map(endOf(pieces), (end) => expect(Result.getOrThrow(Result.flip(end))).toMatch(message))
  )

  it.effect("of a second value that extends the first one is the value", () =>
    Effect.map(endOf(['{"a":"x', '","a":"xy"}']), (end) => expect(end).toEqual(Result.succeed({ a: "xy" })))
  )

  it.effect("of a truncated answer is a failure that says so", () =>
    Effect.map(endOf(['{"a":"x'], "length"), (end) => expect(Result.getOrThrow(Result.flip(end))).toMatch(/truncated/))
  )

  it.effect("of a stream without final chunk is StreamTruncated", () =>
    Effect.gen(function* () {
      const chunks = Stream.fromIterable(toChunks(['{"a":"x"}']).slice(0, 1))
      const error = yield* Effect.flip(Stream.runDrain(PartialObject.fromStream(chunks, schema)))
      expect(error._tag).toBe("StreamTruncated")
    })
  )

  it.effect("of JSON in the thinking of LM Studio is the value, without parts", () =>
    Effect.gen(function* () {
      const chunks: ReadonlyArray<StreamingChunk> = [
        { content: "", thinking: '{"a":"x"}', isFinal: false },
        ...toChunks([])
      ]
      expect(yield* run(schema, chunks)).toEqual({ parts: [], end: Result.succeed({ a: "x" }) })
    })
  )
})

describe("hostile sizes", () => {
  it.effect("of 100,000 levels are refused, known and unknown", () =>
    Effect.gen(function* () {
      const deep = '{"name":"x","children":['.repeat(100_000)
      const { end, parts } = yield* run(Tree, toChunks([deep.slice(0, 1000), deep.slice(1000)]))
      expect(parts.length).toBeGreaterThan(0)
      // Values that are passed on can be written and compared.
      expect(JSON.stringify(parts.at(-1)).length).toBeLessThan(500 * 30)
      expect(Result.isFailure(end)).toBe(true)
      const unknown = `{"x":${"[".repeat(100_000)}${"]".repeat(100_000)},"name":"x","children":[]}`
      expect((yield* run(Tree, toChunks([unknown]))).end).toMatchObject({ failure: expect.stringContaining("deep") })
    })
  )

  const readAll = (schema: Schema.Constraint, begin: string, pieces: number, piece: (i: number) => string) => {
    const reader = PartialJson.make(Shape.ofSchema(schema))
    reader.add(begin)
    let count = 0
    let copied = 0
    for (let i = 0; i < pieces; i++) {
      reader.add(piece(i))
      const value = reader.take()
      if (Option.isNone(value)) continue
      count++
      if (typeof value.value === "object" && value.value !== null) copied += Object.keys(value.value).length
    }
    return { count, copied }
  }

  // If the time was quadratic, each of these would take minutes.
  it.each<readonly [what: string, schema: Schema.Constraint, begin: string, piece: string, count: number]>([
    ["a long text", Schema.Array(Schema.String), '["', "abcdef", 100_000],
    ["a long number", Schema.Array(Schema.Finite), "[1", "222222", 1],
    ["a long unknown field", Schema.Struct({}), '{"a":["', 'x","y', 1],
    ["prose", Schema.Array(Schema.Finite), "", "so ``", 0],
    ["escapes", Schema.Array(Schema.String), '["', "\\ud83d\\ude00", 100_000]
  ])("of %s take linear time", (_, schema, begin, piece, count) => {
    expect(readAll(schema, begin, 100_000, () => piece).count).toBe(count)
  })

  it("of many items and many fields are copied less often", () => {
    const items = readAll(Schema.Array(Schema.Finite), "[1", 10_000, () => ",2,3")
    expect(items.copied).toBeLessThan(10_000 * (1024 + 8 * 4))
    expect(items.count).toBeGreaterThan(500)
    const fields = readAll(Schema.Record(Schema.String, Schema.String), "{", 10_000, (i) => `"${i}":"",`)
    expect(fields.copied).toBeLessThan((10_000 * (1024 + 8 * 10)) / 16)
    expect(fields.count).toBeGreaterThan(90)
  })
})

it("the types", () => {
  const Branded = Schema.String.pipe(Schema.brand("Name"))
  type Of<S extends Schema.Constraint> = PartialObject.PartialOf<S["Type"]>
  expectTypeOf<Of<typeof Branded>>().toEqualTypeOf<string>()
  expectTypeOf<Of<typeof Tree>>().toEqualTypeOf<{
    readonly name?: string
    readonly children?: ReadonlyArray<PartialObject.PartialOf<Tree>>
  }>()
  type All = Of<typeof Everything>
  expectTypeOf<NonNullable<All["at"]>>().toEqualTypeOf<DateTime.Utc>()
  expectTypeOf<NonNullable<All["kind"]>>().toEqualTypeOf<"a" | "ab" | "😀">()
  expectTypeOf<NonNullable<All["pair"]>>().toEqualTypeOf<readonly [string?, boolean?]>()
  expectTypeOf<NonNullable<All["maybe"]>>().toEqualTypeOf<Option.Option<string>>()
  expectTypeOf<NonNullable<NonNullable<All["list"]>[number]["b"]>>().toEqualTypeOf<ReadonlyArray<number>>()
})
