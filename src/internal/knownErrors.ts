/**
 * Error texts that servers are known to send, what each one means, and how it is described in words of ours.
 *
 * A description goes into messages that people log, so it never repeats the text of a server. It takes over numbers and words
 * from closed lists only. Every text is cut to a bound before it is matched, and no pattern nests quantifiers.
 */

export interface KnownError {
  readonly kind: Kind
  readonly description?: string | undefined
  /** For `invalid`: the field that is wrong. */
  readonly field?: string | undefined
  /** For `unsupported`: the feature that is missing. Default: the endpoint. */
  readonly feature?: string | undefined
}

/** `status`: the text does not change the reason, the status decides. */
export type Kind = "model-missing" | "model-unloadable" | "overflow" | "unsupported" | "engine" | "invalid" | "status"

/** The longest text that is matched, in characters. */
const maxLength = 2000

/** From here on, a server quotes a prompt, an answer or a tool call, which must not be taken for words of the server. */
const quotation = /\braw=|['"]input['"]:|\binput_value=|\bat pos \d/

/** The words of the server itself: the beginning of its text, without what it quotes. */
export const ownWords = (text: string): string => {
  const beginning = text.slice(0, maxLength)
  const end = beginning.search(quotation)
  return end === -1 ? beginning : beginning.slice(0, end)
}

/** What the first rule that applies makes of a text. Texts about a model count only if the request named one. */
export const find = (text: string, code: string | undefined, namedModel: boolean): KnownError | undefined => {
  // The code is on a line of its own, so that no pattern matches across both.
  const subject = `${ownWords(text)}\n${code ?? ""}`
  for (const [pattern, toKnownError] of rules) {
    const match = pattern.exec(subject)
    const known = match === null ? undefined : toKnownError(match)
    if (known === undefined) continue
    if (namedModel || (known.kind !== "model-missing" && known.kind !== "model-unloadable")) return known
  }
  return undefined
}

const sameNames = [
  "model messages prompt temperature seed stop tools format images think stream",
  "role content name function parameters arguments type text input dimensions url"
].flatMap((names) => names.split(" "))

/** Names of fields in request bodies, and the names of the same fields in `CompletionRequest`, where they differ. */
const fieldNames: ReadonlyMap<string, string> = new Map([
  ...sameNames.map((name) => [name, name] as const),
  ["top_p", "topP"],
  ["top_k", "topK"],
  ["min_p", "minP"],
  ["typical_p", "typicalP"],
  ["max_tokens", "maxTokens"],
  ["max_completion_tokens", "maxTokens"],
  ["num_predict", "maxTokens"],
  ["num_ctx", "contextLength"],
  ["repeat_penalty", "repeatPenalty"],
  ["presence_penalty", "presencePenalty"],
  ["frequency_penalty", "frequencyPenalty"],
  ["response_format", "format"],
  ["json_schema", "format"],
  ["tool_choice", "toolChoice"],
  ["tool_calls", "toolCalls"],
  ["reasoning_effort", "think"],
  ["keep_alive", "keepAlive"],
  ["image_url", "images"],
  ["reasoning_content", "thinking"],
  ["stream_options", "dialect.streamOptions"]
])

/** A path as servers report it, as far as it consists of known names and indices, such as `messages[0].content`. */
export const toField = (path: ReadonlyArray<unknown>): string | undefined => {
  let field: string | undefined
  const isWrapper = (segment: unknown): boolean => segment === "body" || segment === "options"
  for (const segment of path.slice(
    path.findIndex((segment) => !isWrapper(segment)),
    10
  )) {
    const index = typeof segment === "string" && /^\d{1,4}$/.test(segment) ? Number(segment) : segment
    const name = typeof segment === "string" ? fieldNames.get(segment) : undefined
    if (name !== undefined) field = field === undefined ? name : `${field}.${name}`
    else if (typeof index === "number" && Number.isInteger(index) && index >= 0 && field !== undefined) {
      field = `${field}[${index}]`
    } else break
  }
  return field
}

/** The same for a path written as one text, such as `messages[0].content`. */
export const parseField = (path: string): string | undefined =>
  toField(
    path
      .slice(0, 200)
      .split(/[.[\]]/)
      .filter((segment) => segment !== "")
  )

const typeNames = "string|number|boolean|object|array|null|integer|int|float|float32|float64|bool"

/** Features that servers report as missing. Longer names stand before their own beginnings. */
const features = [
  "tool use|tool calling|tool calls|tool choice|tools|function calling|thinking|reasoning",
  "image inputs|image input|images|vision|audio inputs|audio input|audio|video input",
  "chat completions|chat|completions|completion|generate|insert|embeddings|embedding",
  "structured outputs|structured output|response_format|logprobs|streaming|system messages"
].join("|")

const size = String.raw`(\d{1,6}(?:\.\d{1,3})?) ?([KMGT]i?B)`

type Rule = readonly [pattern: RegExp, toKnownError: (match: RegExpExecArray) => KnownError | undefined]

const always = (kind: Kind, description?: string) => (): KnownError => ({ kind, description })

const unsupported = ([, feature]: RegExpExecArray): KnownError => ({
  kind: "unsupported",
  feature: feature?.toLowerCase()
})

/** Applies if the text names a known field. Other words in its place may mean anything. */
const invalid =
  (description: string) =>
  ([, path = ""]: RegExpExecArray): KnownError | undefined => {
    const field = parseField(path)
    return field === undefined ? undefined : { kind: "invalid", field, description }
  }

const wrongType = (match: RegExpExecArray): KnownError | undefined =>
  invalid(match[2] === undefined ? "it has the wrong type" : `it must be of type ${match[2].toLowerCase()}`)(match)

/** The first match counts. Texts that contain the words of another rule stand before that rule. */
const rules: ReadonlyArray<Rule> = [
  // The model does not exist, or no model is loaded.
  [/no models? loaded|\bmodel (?:is )?not loaded/i, always("model-missing", "it is not loaded")],
  [
    /\bmodel ["'`][^"'`\n]{0,300}["'`] (?:is )?not found|\bmodel not found|\bmodel_not_found\b|invalid model identifier/i,
    always("model-missing", "the server does not have it")
  ],
  [
    /\bmodel ["'`][^"'`\n]{0,300}["'`] does not exist|is not a valid model id\b|^no endpoints found for /i,
    always("model-missing", "the server does not have it")
  ],

  // The model exists and cannot be loaded.
  [
    new RegExp(String.raw`requires more system memory \(${size}\) than is available \(${size}\)`, "i"),
    ([, needed, neededUnit, available, availableUnit]) => ({
      kind: "model-unloadable",
      description: `it requires ${needed} ${neededUnit} of memory, and ${available} ${availableUnit} are available`
    })
  ],
  [/requires more system memory/i, always("model-unloadable", "there is not enough memory to load it")],
  [
    /failed to allocate (?:the )?(?:kv|cache|compute|buffer)/i,
    always("model-unloadable", "there is not enough memory for its context; request a smaller context")
  ],
  [
    /timed out waiting for (?:llama-server|llama runner)|waiting for llama(?:-server| runner) to start/i,
    always("model-unloadable", "its process did not start in time")
  ],
  [/llama runner process has terminated/i, always("model-unloadable", "its process ended while it was loaded")],
  [
    /(?:failed|unable) to load (?:the )?model|error loading (?:the )?model/i,
    always("model-unloadable", "the server could not load it")
  ],

  // The engine below the server failed.
  [
    /model has crashed(?:[^\n(]{0,60}\(exit code: (\d{1,10})\))?/i,
    ([, code]) => ({
      kind: "engine",
      description: `the model crashed${code === undefined ? "" : ` (exit code ${code})`}`
    })
  ],
  [/\bmodel (?:is |was )?unloaded/i, always("engine", "the model was unloaded")],
  [
    /^an error was encountered while running the model|model runner has unexpectedly stopped|^error reading llama-server/i,
    always("engine", "the model's process failed")
  ],
  [/\bout of memory\b|insufficient (?:system )?(?:resources|memory)/i, always("engine", "out of memory")],
  [/^channel error|^terminated$/im, always("engine", "the engine failed")],

  // The request is too long. The first of these is about the answer: the prompt itself fits.
  [
    /'?max_(?:completion_)?tokens'? is too large/i,
    () => ({ kind: "invalid", field: "maxTokens", description: "it is more than the context leaves for the answer" })
  ],
  [
    /exceed_context_size|context_length_exceeded|maximum context length|longer than the model's context|keep the first \d/i,
    always("overflow")
  ],
  [
    /(?:exceeds?|exceeded|exceeding|greater than|fit in|fit into) (?:the )?(?:max |maximum |available |model's )?context/i,
    always("overflow")
  ],
  [
    /context (?:size|length|window) (?:has been |was |is )?exceeded|\bn_(?:keep|ctx)\b|exceeds the maximum allowed length/i,
    always("overflow")
  ],
  [/^prompt (?:is )?too long|maximum model length|context length is only/i, always("overflow")],
  // An embedding model reads a text at once.
  [/is too large to process/i, always("overflow", "the server's physical batch size limits it (`--ubatch-size`)")],
  [/^engine protocol/i, always("engine", "the engine failed")],

  // A feature is missing.
  [new RegExp(`(?:does|do) not support (?:the )?(${features})\\b`, "i"), unsupported],
  [new RegExp(`\\b(${features}) (?:is|are) not supported`, "i"), unsupported],
  [new RegExp(`^no endpoints found that support (${features})\\b`, "i"), unsupported],
  [/"auto" tool choice requires/i, () => ({ kind: "unsupported", feature: "tools" })],
  [/^at most 0 image/i, () => ({ kind: "unsupported", feature: "images" })],
  [
    /unexpected endpoint|^404 page not found|^405 method not allowed|^file not found/i,
    always("unsupported", "the server does not have this endpoint; check baseUrl and the version of the server")
  ],

  // A field of the request is wrong.
  [
    /\bstream_options\b/i,
    () => ({
      kind: "invalid",
      field: "dialect.streamOptions",
      description: "the server does not accept `stream_options`: `OpenAiCompatible` has an option that leaves it out"
    })
  ],
  [
    /\b(?:reasoning_content|property 'messages\.\d{1,4}\.(?:reasoning|thinking)')/i,
    () => ({
      kind: "invalid",
      field: "dialect.thinkingField",
      description: "the server does not accept, or requires, the thinking of earlier answers in this field"
    })
  ],
  [new RegExp(`^option "(\\w{1,40})" must be of type (${typeNames})\\b`, "i"), wrongType],
  [new RegExp(`field '([\\w.]{1,60})'[^\\n]{0,80}type must be (${typeNames})\\b`, "i"), wrongType],
  [/cannot unmarshal [^\n]{0,80}go struct field \w{1,40}\.([\w.]{1,60}) of type/i, wrongType],
  [/^option "/i, always("invalid", "the server rejected an option")],
  [/^invalid (format)\b/i, invalid('it must be "json" or a JSON Schema')],
  [/^'?([\w.]{1,60})'?(?: field)? is required/i, invalid("it is required")],
  [/^'([\w.]{1,60})' (?:field )?must be/i, invalid("the server rejected it")],
  [/^invalid '?([\w.]{1,60})'?/i, invalid("the server rejected it")],
  [/^unrecognized key\(s\) in object: '(\w{1,40})'/i, invalid("the server does not know it")],
  [/'loc': \('body', '(\w{1,40})'/, invalid("the server rejected it")],
  [/\bjson schema error\b/i, always("invalid", "the server cannot use a JSON Schema of the request")],

  // Nothing but a better description.
  [/^loading model/i, always("status", "the model is loading")],
  [/^server busy/i, always("status", "the server is busy")],
  [
    /\b(hourly|daily|weekly|monthly) usage limit/i,
    ([, period]) => ({ kind: "status", description: `the ${period?.toLowerCase()} usage limit is reached` })
  ]
]
