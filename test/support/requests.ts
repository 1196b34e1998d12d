/** Requests for completions as programs write them, for laws that hold for any request. All are valid. */
import * as Arbitrary from "effect/Arbitrary"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import type { Message, PromptRequest, Tool } from "../../src/CompletionRequest.ts"
import { ChatRequest } from "../../src/CompletionRequest.ts"

const oneOf = <const A extends ReadonlyArray<unknown>>(...values: A): Arbitrary.Arbitrary<A[number]> =>
  Arbitrary.map(
    Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: values.length - 1 }))),
    (index): A[number] => values[index]
  )

type Options = Omit<ChatRequest, "images" | "messages" | "model" | "prompt" | "think" | "toolChoice" | "tools">

const options: Arbitrary.Arbitrary<Options> = Arbitrary.map(
  Arbitrary.all({
    fields: Arbitrary.schema(
      Schema.Struct(
        Struct.pick(ChatRequest.fields, [
          "temperature",
          "topP",
          "topK",
          "typicalP",
          "minP",
          "seed",
          "stop",
          "maxTokens",
          "repeatPenalty",
          "presencePenalty",
          "frequencyPenalty",
          "contextLength",
          "overflow"
        ])
      )
    ),
    keepAlive: oneOf(undefined, undefined, 0, Infinity, "5 minutes" as const, Duration.millis(1500)),
    format: oneOf(undefined, undefined, "json" as const, {
      type: "object",
      properties: { city: { type: "string" } },
      required: ["city"]
    })
  }),
  ({ fields, format, keepAlive }): Options => ({
    // As JSON has it: no -0.
    ...JSON.parse(JSON.stringify(fields)),
    ...(keepAlive === undefined ? {} : { keepAlive }),
    ...(format === undefined ? {} : { format })
  })
)

const model = oneOf("llama3.2", "qwen/qwen3-8b", "modèle:latest")
const text = oneOf("", "Why?", "\ud83d lone", "😀\u2028\n", '"}]', "data: [DONE]", "x".repeat(2000))
const image = oneOf(
  "iVBORw0KGgo=",
  "/9j/4AAQ",
  new Uint8Array([137, 80, 78, 71]),
  new URL("data:image/png;base64,iVBORw0KGgo=")
)
const args = oneOf({}, { city: "Åre 😀" }, { deep: { list: [1, null, { x: false }] } })

interface Turn {
  readonly user: string
  readonly images: ReadonlyArray<string | Uint8Array | URL>
  readonly assistant: string
  readonly thinking: string | undefined
  readonly calls: ReadonlyArray<{ readonly name: string; readonly arguments: object }>
  /** What the results say of their call. */
  readonly results: "id" | "name" | "both" | "none"
}

const turn: Arbitrary.Arbitrary<Turn> = Arbitrary.all({
  user: text,
  images: Arbitrary.array(image, { maxLength: 2 }),
  assistant: text,
  thinking: oneOf(undefined, "", "Hm"),
  calls: Arbitrary.array(Arbitrary.all({ name: oneOf("get_weather", "f"), arguments: args }), { maxLength: 3 }),
  results: oneOf("id", "name", "both", "none")
})

const toResult = (says: Turn["results"], id: string, name: string, i: number): Message => {
  const content = `result ${i}`
  if (says === "id") return { role: "tool", content, toolCallId: id }
  if (says === "name") return { role: "tool", content, toolName: name }
  return { role: "tool", content, toolCallId: id, toolName: name }
}

const toMessages = (turn: Turn, position: number): ReadonlyArray<Message> => {
  const { assistant, calls, images, results, thinking, user } = turn
  const toolCalls = calls.map(({ arguments: value, name }, i) => ({
    id: `call_${position}_${i}`,
    name,
    arguments: value
  }))
  return [
    { role: "user", content: user, ...(images.length === 0 ? {} : { images }) },
    {
      role: "assistant",
      content: assistant,
      ...(thinking === undefined ? {} : { thinking }),
      ...(toolCalls.length === 0 ? {} : { toolCalls })
    },
    ...(results === "none" ? [] : toolCalls.map(({ id, name }, i) => toResult(results, id, name, i)))
  ]
}

const tools: Arbitrary.Arbitrary<ReadonlyArray<Tool>> = Arbitrary.array(
  oneOf(
    { name: "f" },
    { name: "get_weather", description: "The weather", parameters: { type: "object", properties: { city: {} } } }
  ),
  { maxLength: 2 }
)

/** Requests with `messages`. */
export const chat: Arbitrary.Arbitrary<ChatRequest> = Arbitrary.map(
  Arbitrary.all({
    model,
    options,
    system: oneOf(undefined, "", "Be brief."),
    turns: Arbitrary.array(turn, { maxLength: 3 }),
    last: text,
    think: oneOf(undefined, true, false, "low"),
    tools
  }),
  ({ last, model, options, system, think, tools, turns }): ChatRequest => ({
    model,
    messages: [
      ...(system === undefined ? [] : [{ role: "system" as const, content: system }]),
      ...turns.flatMap(toMessages),
      { role: "user", content: last }
    ],
    ...(think === undefined ? {} : { think }),
    ...(tools.length === 0 ? {} : { tools }),
    ...options
  })
)

/** Requests with a `prompt`. */
export const prompt: Arbitrary.Arbitrary<PromptRequest> = Arbitrary.map(
  Arbitrary.all({
    model,
    options,
    prompt: Arbitrary.filter(text, (text) => text !== ""),
    images: Arbitrary.array(image, { maxLength: 2 })
  }),
  ({ images, model, options, prompt }): PromptRequest => ({
    model,
    prompt,
    ...(images.length === 0 ? {} : { images }),
    ...options
  })
)
