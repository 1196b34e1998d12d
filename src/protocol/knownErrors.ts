/**
 * Error texts that servers are known to send, what each one means, and how it is described in words of ours.
 *
 * A description goes into messages that people log, so it never repeats the text of a server. It takes over numbers and words
 * from closed lists only. Every text is cut to a bound before it is matched, and no pattern nests quantifiers.
 */

import type { ErrorRule, Kind, KnownError } from "./errorRule.ts"

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

interface Subject {
  readonly text: string
  readonly code: string | undefined
  /** Whether the request named a model. Texts about a model count only then. */
  readonly namedModel: boolean
  /** What texts mean at the endpoint of the request. They are tried first. */
  readonly endpointRules?: ReadonlyArray<ErrorRule> | undefined
  /** Everything the server sent. The rules of an endpoint apply to what it says around the innermost message too. */
  readonly body: string
}

/** What the first rule that applies makes of a text. */
export const find = ({ body, code, endpointRules = [], namedModel, text }: Subject): KnownError | undefined => {
  // The code is on a line of its own, so that no pattern matches across both.
  const subject = `${ownWords(text)}\n${code ?? ""}`
  const known =
    endpointRules.length === 0 ? undefined : apply(endpointRules, `${subject}\n${ownWords(body)}`, namedModel)
  return known ?? apply(rules, subject, namedModel)
}

const apply = (rules: ReadonlyArray<ErrorRule>, subject: string, namedModel: boolean): KnownError | undefined => {
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
  ["functions", "tools"],
  ["function_call", "toolChoice"],
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
  "tool use|tool calling|tool calls|tool choice|tool_choice|tools|function calling|thinking|reasoning",
  "image inputs|image input|images|vision|audio inputs|audio input|audio|video input",
  "chat completions|chat|completions|completion|generate|insert|embeddings|embedding",
  "structured outputs|structured output|response_format|logprobs|streaming|system messages"
].join("|")

/** What servers call the process that has the model. */
const engine = String.raw`(?:external )?(?:llama[- ]?server|(?:llama |ollama |model )?runner|llama[- ]?engine|engine process)`

const size = String.raw`(\d{1,6}(?:\.\d{1,3})?) ?([KMGT]i?B)`

export const always = (kind: Kind, description?: string) => (): KnownError => ({ kind, description })

const unsupported = ([, feature]: RegExpExecArray): KnownError => ({
  kind: "unsupported",
  feature: feature?.toLowerCase()
})

const lacks = (feature: string, description?: string) => (): KnownError => ({
  kind: "unsupported",
  feature,
  description
})

/** A parameter that the server does not take. Tools need a template, which llama.cpp's server may be told not to use. */
const unsupportedParameter = (match: RegExpExecArray): KnownError => {
  const description = match.input.includes("--jinja") ? "start the server with `--jinja`" : undefined
  const feature = parseField(match[1] ?? "")
  return feature === undefined
    ? { kind: "invalid", description: description ?? "the server does not take a parameter of the request" }
    : { kind: "unsupported", feature, description }
}

/** Why a model could not be loaded, by the words of the engine. */
const loadFaults: ReadonlyArray<readonly [pattern: RegExp, description: string]> = [
  [
    /failed to allocate (?:the )?(?:kv|cache|compute|buffer)/i,
    "there is not enough memory for its context; request a smaller context"
  ],
  [
    /out[ _]?of[ _]?(?:\w{1,10}[ _]?)?memory|(?:not enough|insufficient) (?:\w{1,10} )?(?:memory|vram|resources)|bad_alloc/i,
    "there is not enough memory to load it"
  ],
  [
    /(?:failed|unable|cannot|could not) (?:to )?(?:be )?(?:allocated?|reserved?)|malloc failed|alloc_buffer|requires more (?:\w{1,10} )?memory/i,
    "there is not enough memory to load it"
  ],
  [
    /signal: (?:killed|9)\b|\bsigkill\b|exit (?:status|code):? (?:137|-9)\b/i,
    "its process was killed while it was loaded, as systems do when they run out of memory"
  ],
  [/unknown (?:model )?architecture|newer version of/i, "the server is too old for it; install a newer version"],
  [/not found|no such file/i, "a file of the server's engine or of the model is missing; install it again"],
  [/timed out|timeout|waiting for/i, "its process did not start in time"],
  [/terminated|no longer running|exited/i, "its process ended while it was loaded"]
]

const unloadable = ({ input }: RegExpExecArray): KnownError => ({
  kind: "model-unloadable",
  description: loadFaults.find(([pattern]) => pattern.test(input))?.[1] ?? "the server could not load it"
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

const template = always("invalid", "the model's chat template cannot render the messages")
const schema = always("invalid", "the server cannot use a JSON Schema of the request")

/** The first match counts. Texts that contain the words of another rule stand before that rule. */
const rules: ReadonlyArray<ErrorRule> = [
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

  // The vocabulary of the model is read for a format only.
  [
    /\bvocab(?:ulary)? [^\n]{0,20}\bfor (?:the )?(?:format|structured output)/i,
    lacks("format", "the server cannot read the model's vocabulary")
  ],

  // The model exists and cannot be loaded.
  [
    new RegExp(
      String.raw`requires more (?:\w{1,10} )?memory \(${size}\) than is (?:currently )?available \(${size}\)`,
      "i"
    ),
    ([, needed, neededUnit, available, availableUnit]) => ({
      kind: "model-unloadable",
      description: `it requires ${needed} ${neededUnit} of memory, and ${available} ${availableUnit} are available`
    })
  ],
  [
    /requires more (?:\w{1,10} )?memory|failed to allocate (?:the )?(?:kv|cache|compute|buffer)|memory layout cannot be/i,
    unloadable
  ],
  [/unable to allocate \w{1,20} buffer/i, unloadable],
  [new RegExp(`(?:timed out )?waiting for ${engine} to (?:start|load)`, "i"), unloadable],
  [
    new RegExp(
      `${engine} (?:process )?(?:binary )?(?:has |is |was |did )?(?:terminated|exited|no longer running|not found|not start|failed to (?:start|load))`,
      "i"
    ),
    unloadable
  ],
  [
    new RegExp(
      `(?:failed|unable|error|could not|cannot) (?:to )?(?:load|start|create|launch|spawn|find)(?:ing)? (?:the )?(?:${engine}|model)\\b`,
      "i"
    ),
    unloadable
  ],
  [/\bmodel (?:has )?failed to load|(?:memory|vram) to load|create (?:the )?(?:llama |model )?context\b/i, unloadable],
  [/requires a newer version of ollama|unknown (?:model )?architecture/i, unloadable],

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
  [
    /^prompt (?:is )?too long|maximum model length|context length is only|\bmax_(?:seq|model)_len\b/i,
    always("overflow")
  ],
  [/`?inputs`? tokens \+ `?max_new_tokens`? must be|`?inputs`? must have (?:less|fewer) than \d/i, always("overflow")],
  [
    /request length [^\n]{0,40}(?:greater|longer|more) than|(?:prompt|inputs?) (?:is |are )?too (?:long|large)\b/i,
    always("overflow")
  ],
  [
    /\b(?:prompt|input|sequence) (?:token )?(?:length|tokens|count)\b[^\n]{0,40}(?:exceed|(?:greater|longer|larger|more) than| > )/i,
    always("overflow")
  ],
  // An embedding model reads a text at once.
  [/is too large to process/i, always("overflow", "the server's physical batch size limits it (`--ubatch-size`)")],
  [/^engine protocol/i, always("engine", "the engine failed")],

  // A feature is missing.
  [/\b(\w{1,40}) param(?:eter)?s? (?:requires?|needs?) [^\n]{0,20}--jinja\b/i, unsupportedParameter],
  [/--jinja\b/i, lacks("tools", "start the server with `--jinja`")],
  [/\bunsupported param(?:eter)?s?: ?['"`]?(\w{1,40})/i, unsupportedParameter],
  [
    /multimodal data provided|(?:not|n't) (?:support )?(?:a )?multimodal|multimodal [^\n]{0,20}not supported/i,
    lacks("images")
  ],
  [/data required for image input/i, lacks("images")],
  [/think value [^\n]{0,40} is not supported/i, lacks("thinking")],
  [/requires? [^\n]{0,40}--(?:enable-auto-tool-choice|tool-call-parser)\b/i, lacks("tools")],
  [new RegExp(`(?:does|do) not support (?:the )?(${features})\\b`, "i"), unsupported],
  [
    new RegExp(
      `\\b(${features})['"\`]? (?:is |are )?(?:not supported|unsupported|not enabled|disabled|not available)\\b`,
      "i"
    ),
    unsupported
  ],
  [new RegExp(`^no endpoints found that support (${features})\\b`, "i"), unsupported],
  [/"auto" tool choice requires/i, lacks("tools")],
  [/^at most 0 image/i, lacks("images")],
  [
    /unexpected endpoint|^404 page not found|^405 method not allowed|^file not found/i,
    always("unsupported", "the server does not have this endpoint; check baseUrl and the version of the server")
  ],

  // A JSON Schema of the request, of its format or of a tool. Templates are the context in which some engines read it.
  [/invalid json schema in (format)\b/i, invalid("the server cannot use its JSON Schema")],
  [/\bjson schema error\b|json schema conversion failed|not (?:a )?valid json schema/i, schema],
  [/(?:invalid|unsupported|unrecognized) (?:json |format )?(?:schema|grammar)\b|grammar error/i, schema],
  [
    /(?:pars|compil|convert|initializ|init|load|build|creat)(?:e|ing)? (?:the )?(?:grammar|json schema|samplers?|sampling context)\b/i,
    schema
  ],
  [
    /\bgrammars? (?:constraints?|(?:could|can) ?not be|can be|is not|are not|failed)\b|["'`]grammar["'`] can be/i,
    schema
  ],

  // The template of the model raised an exception, or it is wrong itself.
  [
    /roles must alternate/i,
    always("invalid", "the model's chat template requires that user and assistant messages alternate")
  ],
  [
    /system (?:role|message|prompt)s? (?:is |are )?not supported|(?:only|supports) [^\n]{0,40} roles are supported/i,
    always("invalid", "the model's chat template does not have a role of the messages")
  ],
  [
    /unexpected (?:message )?role|unknown role/i,
    always("invalid", "the model's chat template does not have a role of the messages")
  ],
  [/no user query found|system message must be at the beginning|after the optional system message/i, template],
  [/assistant response prefill|(?:2|two) or more assistant messages|unknown (?:\(built-in\) )?filter/i, template],
  [/\bwhile executing \w{1,40} at line \d/i, template],
  [/cannot put tools in the first user message|tool call ids should be|single tool-calls? at once/i, template],
  [/same number of function calls and responses|\bat row \d|raise_exception/i, template],
  [
    /\bjinja|\bminja\b|\bundefinederror\b|\bunknown (?:filter|statement)\b|chat[ _-]?template|\btemplate(?:syntax|runtime|assertion)?[ _]?error|^template: /im,
    template
  ],
  [
    /error rendering (?:the )?prompt|(?:parse|apply|render|compile) (?:the )?(?:prompt )?template|parser for this template/i,
    template
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

  // Nothing but a better description.
  [/^loading model/i, always("status", "the model is loading")],
  [/^server busy/i, always("status", "the server is busy")],
  [
    /\b(hourly|daily|weekly|monthly) usage limit/i,
    ([, period]) => ({ kind: "status", description: `the ${period?.toLowerCase()} usage limit is reached` })
  ]
]
