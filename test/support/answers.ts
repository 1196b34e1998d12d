/**
 * Whole answers in all the ways that servers write them, for laws that hold for any answer. An answer is what a model says;
 * a style is how a server puts it on the wire.
 */
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import type { Protocol } from "./decoding.ts"
import * as OllamaProtocol from "../../src/protocol/ollama/endpoints.ts"
import { dialect as lmStudio } from "../../src/servers/lmStudio.ts"
import * as OpenAiProtocol from "../../src/protocol/openai/endpoints.ts"
import type { StreamingChunk } from "../../src/StreamingChunk.ts"

export interface Answer {
  readonly model: string
  readonly thinking: ReadonlyArray<string>
  readonly content: ReadonlyArray<string>
  readonly calls: ReadonlyArray<{ readonly name: string; readonly arguments: Readonly<Record<string, unknown>> }>
  readonly finishReason: "stop" | "length"
  readonly usage: readonly [promptTokens: number, completionTokens: number]
}

/** An answer written by a server, and what a reader must make of it. */
export interface Written {
  readonly text: string
  readonly summary: Summary
}

/** What is left of the chunks of an answer when it is of no matter how they were cut. */
export interface Summary {
  readonly content: string
  readonly thinking: string
  readonly calls: ReadonlyArray<{ readonly id: string; readonly name: string; readonly arguments: unknown }>
  /** The arguments of each call as the fragments spell them; only servers that send fragments. */
  readonly spelled: ReadonlyArray<string>
  readonly model: string | undefined
  readonly finishReason: string | undefined
  readonly usage: ReadonlyArray<number | undefined> | undefined
}

export const summarize = (chunks: ReadonlyArray<StreamingChunk>): Summary => {
  const spelled: Array<string> = []
  for (const { argumentsDelta, index } of chunks.flatMap((chunk) => chunk.toolCallDeltas ?? [])) {
    spelled[index] = (spelled[index] ?? "") + argumentsDelta
  }
  const last = chunks.at(-1)
  const final = last?.isFinal === true ? last : undefined
  const usage = final?.usage
  return {
    content: chunks.map((chunk) => chunk.content).join(""),
    thinking: chunks.map((chunk) => chunk.thinking ?? "").join(""),
    calls: chunks.flatMap((chunk) => chunk.toolCalls ?? []),
    spelled,
    model: final?.model,
    finishReason: final?.finishReason,
    usage: usage === undefined ? undefined : [usage.promptTokens, usage.completionTokens, usage.totalTokens]
  }
}

// --- what a model says

const oneOf = <const A extends ReadonlyArray<string | number | boolean>>(
  ...values: A
): Arbitrary.Arbitrary<A[number]> => Arbitrary.schema(Schema.Literals(values))

/** Characters of one to four bytes, and whatever means something to a parser on the way. */
const text = Arbitrary.map(
  Arbitrary.array(
    oneOf(
      "a",
      " ",
      "é",
      "中",
      "😀",
      "\ud83d",
      "\u2028",
      "\u0085",
      "\ufeff",
      "\n",
      "\r\n",
      "\r",
      '"',
      "\\",
      "{",
      "}",
      ":"
    ),
    { minLength: 1 }
  ),
  (characters) => characters.join("")
)

const pieces = Arbitrary.array(
  oneOf("Hello", " sky", "data: ", "[DONE]", "\n\n", "event: error", '{"error":"no"}', "0")
)
const texts = Arbitrary.map(Arbitrary.all([pieces, Arbitrary.array(text)]), ([common, odd]) => [...odd, ...common])

const args = Arbitrary.map(
  Arbitrary.array(Arbitrary.all([text, Arbitrary.schema(Schema.Union([Schema.Finite, Schema.Boolean, Schema.Null]))])),
  // As JSON has it: no -0.
  (entries): Readonly<Record<string, unknown>> =>
    JSON.parse(JSON.stringify(Object.fromEntries([...entries, ["city", "Åre 😀"]])))
)

const call = Arbitrary.all({ name: oneOf("get_weather", "f"), arguments: args })

const tokens = Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100_000 })))

const answer: Arbitrary.Arbitrary<Answer> = Arbitrary.all({
  model: oneOf("llama3.2", "qwen/qwen3-8b", "modèle"),
  thinking: texts,
  content: texts,
  calls: Arbitrary.array(call, { maxLength: 3 }),
  finishReason: oneOf("stop", "length"),
  usage: Arbitrary.all([tokens, tokens])
})

// --- how Ollama writes it

const ollamaStyle = Arbitrary.all({
  lineEnd: oneOf("\n", "\r\n"),
  bom: oneOf(false, true),
  blankLines: oneOf(false, true),
  lastLineEnded: oneOf(true, false),
  callsWith: oneOf("done", "a line of their own", "a line each"),
  ids: oneOf(true, false),
  lastPieceWithDone: oneOf(false, true),
  unknownFields: oneOf(false, true)
})

type Style<A> = A extends Arbitrary.Arbitrary<infer S> ? S : never

/** A last piece that begins with all pieces before it is taken for the answer sent again. */
const repeatsAll = (pieces: ReadonlyArray<string>): boolean => {
  const before = pieces.slice(0, -1).join("")
  return before !== "" && pieces.at(-1)?.startsWith(before) === true
}

const writeOllama = (answer: Answer, style: Style<typeof ollamaStyle>, path: "chat" | "generate"): Written => {
  const calls = answer.calls.map((call, i) => ({
    ...(style.ids ? { id: `call_x${i}` } : {}),
    function: { index: i, name: call.name, arguments: call.arguments }
  }))
  const deltas: Array<{ content?: string; thinking?: string; tool_calls?: typeof calls }> = [
    ...answer.thinking.map((thinking) => ({ thinking })),
    ...answer.content.map((content) => ({ content })),
    ...(style.callsWith === "a line of their own" && calls.length > 0 ? [{ tool_calls: calls }] : []),
    ...(style.callsWith === "a line each" ? calls.map((call) => ({ tool_calls: [call] })) : [])
  ]
  const last = {
    ...(style.lastPieceWithDone && !repeatsAll(answer.content) && !repeatsAll(answer.thinking) ? deltas.pop() : {}),
    ...(style.callsWith === "done" && calls.length > 0 ? { tool_calls: calls } : {})
  }
  const toLine = ({ content = "", ...rest }: (typeof deltas)[number], more: object): string =>
    JSON.stringify({
      model: answer.model,
      created_at: "2026-11-23T14:46:00.5Z",
      ...(path === "chat" ? { message: { role: "assistant", content, ...rest } } : { response: content, ...rest }),
      ...(style.unknownFields ? { logprobs: [{ token: "x", logprob: 0 }], remote_host: null } : {}),
      ...more
    })
  const [promptTokens, completionTokens] = answer.usage
  const lines = [
    ...deltas.map((piece) => toLine(piece, { done: false })),
    toLine(last, {
      done: true,
      done_reason: answer.finishReason,
      prompt_eval_count: promptTokens,
      eval_count: completionTokens,
      total_duration: 1
    })
  ]
  const between = style.lineEnd + (style.blankLines ? style.lineEnd : "")
  return {
    text: (style.bom ? "\ufeff" : "") + lines.join(between) + (style.lastLineEnded ? style.lineEnd : ""),
    summary: {
      content: answer.content.join(""),
      thinking: answer.thinking.join(""),
      calls: answer.calls.map((call, i) => ({ id: style.ids ? `call_x${i}` : `call_${i}`, ...call })),
      spelled: [],
      model: answer.model,
      finishReason: calls.length > 0 && answer.finishReason === "stop" ? "tool-calls" : answer.finishReason,
      usage: [promptTokens, completionTokens, promptTokens + completionTokens]
    }
  }
}

// --- how the OpenAI-style servers write it

const openAiStyle = Arbitrary.all({
  lineEnd: oneOf("\n", "\r\n", "\r"),
  bom: oneOf(false, true),
  comments: oneOf("", ": ping", ":"),
  fields: oneOf("", "event: message", "id: 7", "retry: 1000", "unknown"),
  space: oneOf(" ", ""),
  /** The JSON of a chunk on several data lines. */
  spread: oneOf(false, true),
  role: oneOf("first", "every", "never"),
  reasoning: oneOf("reasoning_content", "reasoning"),
  /** How the fragments of a call are distinguished from those of another one. */
  callsBy: oneOf("index and id", "index", "index, empty id", "id", "id, index 0", "interleaved"),
  fragmentLength: oneOf(1, 5, 1000),
  usage: oneOf("after", "before", "with the finish", "never"),
  done: oneOf(true, false),
  lastEventEnded: oneOf(true, false)
})

type OpenAiStyle = Style<typeof openAiStyle>

const writeOpenAi = (answer: Answer, style: OpenAiStyle, path: "chat" | "completion"): Written => {
  const isChat = path === "chat"
  const calls = isChat ? answer.calls : []
  const finishReason = calls.length > 0 ? "tool_calls" : answer.finishReason
  const usage = { prompt_tokens: answer.usage[0], completion_tokens: answer.usage[1], total_tokens: sum(answer.usage) }
  const deltas: Array<object> = isChat
    ? [
        ...(style.role === "first" ? [{ role: "assistant", content: null }] : []),
        ...answer.thinking.map((thinking) => ({ [style.reasoning]: thinking })),
        ...answer.content.map((content) => ({ content })),
        ...toFragments(calls, style).map((fragment) => ({ tool_calls: [fragment] }))
      ]
    : answer.content.map((text) => ({ text, logprobs: null }))
  const toChoice = (piece: object, finish_reason: string | null): object =>
    isChat
      ? { index: 0, delta: { ...(style.role === "every" ? { role: "assistant" } : {}), ...piece }, finish_reason }
      : { index: 0, text: "", ...piece, finish_reason }
  const toChunk = (choices: ReadonlyArray<object>, more: object = {}): object => ({
    id: "x",
    model: answer.model,
    choices,
    ...more
  })
  const chunks: Array<object> = [
    ...deltas.map((piece) => toChunk([toChoice(piece, null)])),
    ...(style.usage === "before" ? [toChunk([], { usage })] : []),
    toChunk([toChoice({}, finishReason)], style.usage === "with the finish" ? { usage } : {}),
    ...(style.usage === "after" ? [toChunk([], { usage })] : [])
  ]
  return {
    text: toEvents(chunks, style),
    summary: {
      content: answer.content.join(""),
      thinking: isChat ? answer.thinking.join("") : "",
      calls: calls.map((call, i) => ({ id: hasIds(style) ? `x${i}` : `call_${i}`, ...call })),
      spelled: calls.map((call) => JSON.stringify(call.arguments)),
      model: answer.model,
      finishReason: calls.length > 0 ? "tool-calls" : answer.finishReason,
      usage: style.usage === "never" ? undefined : [...answer.usage, sum(answer.usage)]
    }
  }
}

const toEvents = (chunks: ReadonlyArray<object>, style: OpenAiStyle): string => {
  const data = chunks.map((chunk) => JSON.stringify(chunk, null, style.spread ? 1 : 0))
  if (style.done) data.push("[DONE]")
  const separator = style.lineEnd.repeat(2)
  const events = data.map((value) =>
    [style.fields, ...value.split("\n").map((line) => `data:${style.space}${line}`)]
      .filter((line) => line !== "")
      .join(style.lineEnd)
  )
  const comment = style.comments === "" ? "" : style.comments + separator
  return (
    (style.bom ? "\ufeff" : "") + comment + events.join(separator + comment) + (style.lastEventEnded ? separator : "")
  )
}

const hasIds = ({ callsBy }: OpenAiStyle): boolean => callsBy !== "index" && callsBy !== "index, empty id"

const toFragments = (calls: Answer["calls"], style: OpenAiStyle): ReadonlyArray<object> => {
  const { callsBy } = style
  const ofCalls = calls.map(({ name, arguments: args }, i) => {
    const toFragment = (more: object): object =>
      callsBy === "id" ? more : { index: callsBy === "id, index 0" ? 0 : i, ...more }
    const id = hasIds(style) ? { id: `x${i}` } : callsBy === "index, empty id" ? { id: "" } : {}
    const emptyName = callsBy === "index, empty id" ? { name: "" } : {}
    const text = JSON.stringify(args)
    const parts = Array.from({ length: Math.ceil(text.length / style.fragmentLength) }, (_, part) =>
      text.slice(part * style.fragmentLength, (part + 1) * style.fragmentLength)
    )
    return [
      toFragment({ ...id, type: "function", function: { name, arguments: "" } }),
      ...parts.map((part) => toFragment({ function: { arguments: part, ...emptyName } }))
    ]
  })
  if (callsBy !== "interleaved") return ofCalls.flat()
  const longest = Math.max(0, ...ofCalls.map((fragments) => fragments.length))
  return Array.from({ length: longest }, (_, i) => ofCalls.flatMap((fragments) => fragments.slice(i, i + 1))).flat()
}

const sum = ([a, b]: readonly [number, number]): number => a + b

// --- all of them

const written = <S>(
  style: Arbitrary.Arbitrary<S>,
  write: (answer: Answer, style: S) => Written
): Arbitrary.Arbitrary<Written> =>
  Arbitrary.map(Arbitrary.all({ answer, style }), (value) => write(value.answer, value.style))

export interface Wire {
  readonly name: string
  readonly protocol: Protocol
  readonly written: Arbitrary.Arbitrary<Written>
}

const ollama = (route: "chat" | "generate"): Wire => ({
  name: `Ollama ${route}`,
  protocol: route === "chat" ? OllamaProtocol.chat : OllamaProtocol.generate,
  written: written(ollamaStyle, (answer, style) => writeOllama(answer, style, route))
})

const openAi = (route: "chat" | "completion"): Wire => ({
  name: `LM Studio ${route}`,
  protocol: route === "chat" ? OpenAiProtocol.chat(lmStudio) : OpenAiProtocol.completion(lmStudio),
  written: written(openAiStyle, (answer, style) => writeOpenAi(answer, style, route))
})

export const wires: ReadonlyArray<Wire> = [ollama("chat"), ollama("generate"), openAi("chat"), openAi("completion")]
