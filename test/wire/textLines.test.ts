/** Lines that repeat the JSON around their text: only the text is parsed, and the chunks are the same. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Endpoints from "../../src/protocol/openai/endpoints.ts"
import { chat as ollamaChat } from "../../src/protocol/ollama/endpoints.ts"
import type { Text } from "../../src/protocol/textLines.ts"
import * as TextLines from "../../src/protocol/textLines.ts"
import { dialect as lmStudio } from "../../src/servers/lmStudio.ts"
import * as Json from "../../src/values/json.ts"
import type { Protocol } from "../support/decoding.ts"
import { read } from "../support/decoding.ts"

const time = "2026-01-02T03:04:05.678901234Z"
const ollamaLine = (message: string, more = `"done":false`, model = "m", at = time): string =>
  `{"model":"${model}","created_at":"${at}","message":{"role":"assistant",${message}},${more}}`

const openaiLine = (delta: string, more = `"finish_reason":null`, model = "m", top = ""): string =>
  `{"id":"1","model":"${model}","choices":[{"index":0,"delta":{${delta}},"logprobs":null,${more}}]${top}}`

const texts = [
  " sky",
  "Hel",
  "lo",
  "\\n",
  "\\u00e9",
  '\\"',
  "\\\\",
  ",",
  "stop",
  "m",
  "x",
  "",
  " 日本",
  "🦊",
  "a".repeat(30)
]
const content = (text: string): string => `"content":"${text}"`

const protocols: Readonly<
  Record<string, { readonly protocol: Protocol; readonly lines: ReadonlyArray<string>; readonly end: string }>
> = {
  ollama: {
    protocol: ollamaChat,
    lines: [
      ...texts.flatMap((text) => [ollamaLine(content(text)), ollamaLine(`${content("")},"thinking":"${text}"`)]),
      ollamaLine(content("later"), `"done":false`, "m", "2026-01-02T03:04:06.7Z"),
      ollamaLine(content("odd"), `"done":false`, "m", 'no \\"time'),
      ollamaLine(content("other"), `"done":false`, "n"),
      ollamaLine(`${content("both")},"thinking":"both"`),
      ollamaLine(`${content("")},"tool_calls":[{"function":{"name":"f","arguments":{}}}]`),
      ollamaLine(content("shown"), `"done":false,"image":"i"`),
      `{"response":" sky","done":false}`
    ],
    end: ollamaLine(content(""), `"done":true,"done_reason":"stop"`)
  },
  "OpenAI-compatible": {
    protocol: Endpoints.chat(lmStudio),
    lines: [
      ...texts.flatMap((text) => [
        openaiLine(content(text)),
        openaiLine(`"reasoning_content":"${text}"`),
        openaiLine(`"role":"assistant","content":null,"reasoning":"${text}"`)
      ]),
      openaiLine(content("other"), `"finish_reason":null`, "n"),
      openaiLine(content("counted"), `"finish_reason":null`, "m", `,"usage":{"prompt_tokens":1,"completion_tokens":2}`),
      openaiLine(`${content("both")},"reasoning_content":"both"`),
      openaiLine(`"refusal":"no"`),
      openaiLine(`"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{}"}}]`),
      openaiLine(content("ended"), `"finish_reason":"stop"`),
      openaiLine(""),
      `{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}`
    ],
    end: `${openaiLine("", `"finish_reason":"stop"`)}\n\ndata: [DONE]`
  }
}

/** The lines with different white space, so that none repeats another. */
const differing = (lines: ReadonlyArray<string>): ReadonlyArray<string> =>
  lines.map((line, i) => line.replace("{", `{${" ".repeat(i + 1)}`))

/** A sequence that looks random and is the same in each run. In it, lines are often repeated. */
const sequence = (lines: ReadonlyArray<string>, seed: number): ReadonlyArray<string> => {
  let state = seed
  const next = (below: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor((state / 2_147_483_648) * below)
  }
  return Array.from({ length: 6 }, () => {
    const line = lines[next(lines.length)] ?? ""
    return Array.from({ length: 1 + next(4) }, (_, i) => line.replace(" sky", i % 2 === 0 ? " sea" : " sky"))
  }).flat()
}

describe.each(Object.entries(protocols))("%s", (_, { end, lines, protocol }) => {
  const toBody = (lines: ReadonlyArray<string>): string =>
    [...lines, end].map((line) => (protocol.framing === "sse" ? `data: ${line}\n\n` : `${line}\n`)).join("")

  it.effect("gives the same chunks as lines of which none repeats another", () =>
    Effect.gen(function* () {
      const all = lines.flatMap((first) => lines.map((second) => [first, first, second, second, first]))
      const random = Array.from({ length: 300 }, (_, seed) => sequence(lines, seed + 1))
      for (const sent of [...all, ...random]) {
        const { failure, ...seen } = yield* read(protocol, toBody(sent))
        const { failure: otherFailure, ...other } = yield* read(protocol, toBody(differing(sent)))
        expect(seen).toEqual(other)
        expect(failure?._tag).toBe(otherFailure?._tag)
      }
    })
  )
})

describe("the text of a line", () => {
  const findText = (line: string): Text | undefined => {
    const text = Json.toText(Json.get(Json.parse(line), "content"))
    return text === undefined ? undefined : { kind: "content", text }
  }
  const line = (text: string, at = time, more = ""): string => `{"at":"${at}","content":"${text}","more":"x"${more}}`
  const learned = (text: string, first = line(text)): TextLines.TextLines => {
    const lines = TextLines.make(findText, '"at":"')
    lines.learn(first, { kind: "content", text })
    return lines
  }

  it("is read from lines that repeat the learned one, whatever their time", () => {
    const lines = learned("one")
    expect(lines.read(line("two"))).toEqual({ kind: "content", text: "two" })
    expect(lines.read(line("\\n\\u00e9", "later"))).toEqual({ kind: "content", text: "\né" })
  })

  it.each([
    line(""),
    line("two", 'a\\"b'),
    line("two", "a\\\\"),
    line("two", "a\\q"),
    line("two", "a\tb"),
    line("two", time, `,"other":1`),
    line('two","other":"three'),
    line("two\n"),
    line("two\\"),
    line("two").slice(0, -1),
    ` ${line("two")}`,
    "",
    "{}"
  ])("is not read from %j", (other) => expect(learned("one").read(other)).toBeUndefined())

  it("is not learned if it is not clear which text of the line it is", () => {
    expect(learned("x").read(line("two"))).toBeUndefined()
    expect(learned("é", line("\\u00e9")).read(line("two"))).toBeUndefined()
    expect(
      learned("one", `{"content":"one","content":"one"}`).read(`{"content":"one","content":"two"}`)
    ).toBeUndefined()
    expect(learned("one", `{"cont\\u0065nt":"\\u006fne","b":"one"}`).read(`{"content":"\\u006fne","b":"two"}`)).toBe(
      undefined
    )
  })

  it("is learned anew, until the lines prove to differ in more", () => {
    const lines = TextLines.make(findText)
    const counted = (text: string, i: number): string => `{"content":"${text}","i":${i}}`
    for (let i = 0; i < 10; i++) lines.learn(counted("one", i), { kind: "content", text: "one" })
    expect(lines.read(counted("two", 9))).toBeUndefined()
    const used = TextLines.make(findText)
    for (let i = 0; i < 10; i++) {
      used.learn(counted("one", i), { kind: "content", text: "one" })
      expect(used.read(counted("two", i))?.text).toBe("two")
    }
    used.forget()
    expect(used.read(counted("two", 9))).toBeUndefined()
  })

  const numbered = (text: string, id: number): string => `{"content":"${text}","id":${id}}`
  it.each([
    ["is too long", [numbered("one", 1), numbered("x".repeat(5000), 2)]],
    ["is not learned any more", [1, 2, 3, 4].map((id) => numbered("one", id))]
  ])("is not read from lines that repeat one before the latest, if that %s", (_, sent) => {
    const lines = TextLines.make(findText)
    for (const line of sent) lines.learn(line, findText(line) ?? { kind: "content", text: "" })
    for (const line of sent) expect(lines.read(line)).toBeUndefined()
  })
})
