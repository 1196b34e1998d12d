/**
 * Error texts that servers are known to send. Descriptions take over numbers and words from closed lists only, and no pattern
 * nests quantifiers.
 */
import type { ErrorRule, KnownError } from "./errorRule.ts"
import { apply, describe, invalid, parseField, pattern } from "./errorRule.ts"

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

/** Why a model could not be loaded, by the words of the engine. */
const loadFaults = describe("model-unloadable", {
  "there is not enough memory for its context; request a smaller context":
    /failed to allocate (?:the )?(?:kv|cache|compute|buffer)/i,
  "there is not enough memory to load it": [
    /out[ _]?of[ _]?(?:\w{1,10}[ _]?)?memory|(?:not enough|insufficient) (?:\w{1,10} )?(?:memory|vram|resources)|bad_alloc/i,
    /(?:failed|unable|cannot|could not) (?:to )?(?:be )?(?:allocated?|reserved?)/i,
    /malloc failed|alloc_buffer|requires more (?:\w{1,10} )?memory/i
  ],
  "its process was killed while it was loaded, as systems do when they run out of memory":
    /signal: (?:killed|9)\b|\bsigkill\b|exit (?:status|code):? (?:137|-9)\b/i,
  "the server is too old for it; install a newer version": /unknown (?:model )?architecture|newer version of/i,
  "a file of the server's engine or of the model is missing; install it again": /not found|no such file/i,
  "its process did not start in time": /timed out|timeout|waiting for/i,
  "its process ended while it was loaded": /terminated|no longer running|exited/i
})

const unloadable = ({ input }: RegExpExecArray): KnownError =>
  apply(loadFaults, input, true) ?? { kind: "model-unloadable", description: "the server could not load it" }

const lacks = (feature: string | undefined, description?: string): KnownError => ({
  kind: "unsupported",
  feature,
  description
})

/** A parameter that the server does not take. Tools need a template, which llama.cpp's server uses only with `--jinja`. */
const unsupportedParameter = ({ 1: name = "", input }: RegExpExecArray): KnownError => {
  const description = input.includes("--jinja") ? "start the server with `--jinja`" : undefined
  const feature = parseField(name)
  return feature === undefined
    ? { kind: "invalid", description: description ?? "the server does not take a parameter of the request" }
    : lacks(feature, description)
}

/** Applies if the text names a known field. Other words in its place may mean anything. */
const invalidField =
  (description: string) =>
  ([, path = ""]: RegExpExecArray): KnownError | undefined => {
    const field = parseField(path)
    return field === undefined ? undefined : invalid(field)(description)
  }

const wrongType = (match: RegExpExecArray): KnownError | undefined =>
  invalidField(match[2] === undefined ? "it has the wrong type" : `it must be of type ${match[2].toLowerCase()}`)(match)

/** The first match counts. Texts that contain the words of another rule stand before that rule. */
export const rules: ReadonlyArray<ErrorRule> = [
  // The model does not exist, or no model is loaded.
  ...describe("model-missing", {
    "it is not loaded": /no models? loaded|\bmodel (?:is )?not loaded/i,
    "the server does not have it": [
      /\bmodel ["'`][^"'`\n]{0,300}["'`] (?:is )?not found|\bmodel not found|\bmodel_not_found\b|invalid model identifier/i,
      /\bmodel ["'`][^"'`\n]{0,300}["'`] does not exist|is not a valid model id\b|^no endpoints found for /i
    ]
  }),

  // A gateway does not say more.
  ...describe("model-unloadable", {
    "the server does not have it, or cannot load it": /^the model (?:"[^"\n]{0,300}" )?is not available/i
  }),

  // The vocabulary of the model is read for a format only.
  [
    lacks("format", "the server cannot read the model's vocabulary"),
    /\bvocab(?:ulary)? [^\n]{0,20}\bfor (?:the )?(?:format|structured output)/i
  ],

  // The model exists and cannot be loaded.
  [
    ([, needed, neededUnit, available, availableUnit]) => ({
      kind: "model-unloadable",
      description: `it requires ${needed} ${neededUnit} of memory, and ${available} ${availableUnit} are available`
    }),
    pattern`requires more (?:\w{1,10} )?memory \(${size}\) than is (?:currently )?available \(${size}\)`
  ],
  [
    unloadable,
    /requires more (?:\w{1,10} )?memory|failed to allocate (?:the )?(?:kv|cache|compute|buffer)|memory layout cannot be/i,
    /unable to allocate \w{1,20} buffer/i,
    pattern`(?:timed out )?waiting for ${engine} to (?:start|load)`,
    pattern`${engine} (?:process )?(?:binary )?(?:has |is |was |did )?(?:terminated|exited|no longer running|not found)`,
    pattern`${engine} (?:process )?(?:binary )?(?:has |is |was |did )?(?:not start|failed to (?:start|load))`,
    pattern`(?:failed|unable|error|could not|cannot) (?:to )?(?:load|start|create|launch|spawn|find)(?:ing)? (?:the )?(?:${engine}|model)\b`,
    /\bmodel (?:has )?failed to load|(?:memory|vram) to load|create (?:the )?(?:llama |model )?context\b/i,
    /requires a newer version of ollama|unknown (?:model )?architecture/i
  ],

  // The engine below the server failed.
  [
    ([, code = ""]) => ({ kind: "engine", description: `the model crashed${code && ` (exit code ${code})`}` }),
    /model has crashed(?:[^\n(]{0,60}\(exit code: (\d{1,10})\))?/i
  ],
  ...describe("engine", {
    "the model was unloaded": /\bmodel (?:is |was )?unloaded/i,
    "the model's process failed":
      /^an error was encountered while running the model|model runner has unexpectedly stopped|^error reading llama-server/i,
    "out of memory": /\bout of memory\b|insufficient (?:system )?(?:resources|memory)/i,
    "the engine failed": /^channel error|^terminated$/im
  }),

  // The request is too long. The first of these is about the completion: the prompt itself fits.
  ...describe(invalid("maxTokens"), {
    "it is more than the context leaves for the answer": /'?max_(?:completion_)?tokens'? is too large/i
  }),
  [
    { kind: "overflow" },
    /exceed_context_size|context_length_exceeded|maximum context length|longer than the model's context|keep the first \d/i,
    /(?:exceeds?|exceeded|exceeding|greater than|fit in|fit into) (?:the )?(?:max |maximum |available |model's )?context/i,
    /context (?:size|length|window) (?:has been |was |is )?exceeded|\bn_(?:keep|ctx)\b|exceeds the maximum allowed length/i,
    /^prompt (?:is )?too long|maximum model length|context length is only|\bmax_(?:seq|model)_len\b/i,
    /`?inputs`? tokens \+ `?max_new_tokens`? must be|`?inputs`? must have (?:less|fewer) than \d/i,
    /request length [^\n]{0,40}(?:greater|longer|more) than|(?:prompt|inputs?) (?:is |are )?too (?:long|large)\b/i,
    /\b(?:prompt|input|sequence) (?:token )?(?:length|tokens|count)\b[^\n]{0,40}(?:exceed|(?:greater|longer|larger|more) than| > )/i
  ],
  ...describe("overflow", {
    // An embedding model reads a text at once.
    "the server's physical batch size limits it (`--ubatch-size`)": /is too large to process/i
  }),
  ...describe("engine", { "the engine failed": /^engine protocol/i }),

  // A feature is missing.
  [unsupportedParameter, /\b(\w{1,40}) param(?:eter)?s? (?:requires?|needs?) [^\n]{0,20}--jinja\b/i],
  [lacks("tools", "start the server with `--jinja`"), /--jinja\b/i],
  [unsupportedParameter, /\bunsupported param(?:eter)?s?: ?['"`]?(\w{1,40})/i],
  [
    lacks("images"),
    /multimodal data provided|(?:not|n't) (?:support )?(?:a )?multimodal|multimodal [^\n]{0,20}not supported/i,
    /data required for image input/i
  ],
  [lacks("thinking"), /think value [^\n]{0,40} is not supported/i],
  [lacks("tools"), /requires? [^\n]{0,40}--(?:enable-auto-tool-choice|tool-call-parser)\b/i],
  [
    ([, feature]) => lacks(feature?.toLowerCase()),
    pattern`(?:does|do) not support (?:the )?(${features})\b`,
    pattern`\b(${features})['"\x60]? (?:is |are )?(?:not supported|unsupported|not enabled|disabled|not available)\b`,
    pattern`^no endpoints found that support (${features})\b`
  ],
  [lacks("tools"), /"auto" tool choice requires/i],
  [lacks("images"), /^at most 0 image/i],
  ...describe("unsupported", {
    "the server does not have this endpoint; check baseUrl and the version of the server":
      /unexpected endpoint|^404 page not found|^405 method not allowed|^file not found/i
  }),

  // A JSON Schema of the request, of its format or of a tool. Templates are the context in which some engines read it.
  ...describe(invalidField, { "the server cannot use its JSON Schema": /invalid json schema in (format)\b/i }),
  ...describe("invalid", {
    "the server cannot use a JSON Schema of the request": [
      /\bjson schema error\b|json schema conversion failed|not (?:a )?valid json schema/i,
      /(?:invalid|unsupported|unrecognized) (?:json |format )?(?:schema|grammar)\b|grammar error/i,
      /(?:pars|compil|convert|initializ|init|load|build|creat)(?:e|ing)? (?:the )?(?:grammar|json schema|samplers?|sampling context)\b/i,
      /\bgrammars? (?:constraints?|(?:could|can) ?not be|can be|is not|are not|failed)\b|["'`]grammar["'`] can be/i
    ],

    // The template of the model raised an exception, or it is wrong itself.
    "the model's chat template requires that user and assistant messages alternate": /roles must alternate/i,
    "the model's chat template does not have a role of the messages": [
      /system (?:role|message|prompt)s? (?:is |are )?not supported|(?:only|supports) [^\n]{0,40} roles are supported/i,
      /unexpected (?:message )?role|unknown role/i
    ],
    "the model's chat template cannot render the messages": [
      /no user query found|system message must be at the beginning|after the optional system message/i,
      /assistant response prefill|(?:2|two) or more assistant messages|unknown (?:\(built-in\) )?filter/i,
      /\bwhile executing \w{1,40} at line \d/i,
      /cannot put tools in the first user message|tool call ids should be|single tool-calls? at once/i,
      /same number of function calls and responses|\bat row \d|raise_exception/i,
      /\bjinja|\bminja\b|\bundefinederror\b|\bunknown (?:filter|statement)\b|chat[ _-]?template/i,
      /\btemplate(?:syntax|runtime|assertion)?[ _]?error|^template: /im,
      /error rendering (?:the )?prompt|(?:parse|apply|render|compile) (?:the )?(?:prompt )?template|parser for this template/i
    ]
  }),

  // A field of the request is wrong.
  ...describe(invalid("dialect.streamOptions"), {
    "the server does not accept `stream_options`: `OpenAiCompatible` has an option that leaves it out":
      /\bstream_options\b/i
  }),
  ...describe(invalid("dialect.thinkingField"), {
    "the server does not accept, or requires, the thinking of earlier answers in this field":
      /\b(?:reasoning_content|property 'messages\.\d{1,4}\.(?:reasoning|thinking)')/i
  }),
  [
    wrongType,
    pattern`^option "(\w{1,40})" must be of type (${typeNames})\b`,
    pattern`field '([\w.]{1,60})'[^\n]{0,80}type must be (${typeNames})\b`,
    /cannot unmarshal [^\n]{0,80}go struct field \w{1,40}\.([\w.]{1,60}) of type/i
  ],
  ...describe("invalid", { "the server rejected an option": /^option "/i }),
  ...describe(invalidField, {
    'it must be "json" or a JSON Schema': /^invalid (format)\b/i,
    "it is required": /^'?([\w.]{1,60})'?(?: field)? is required/i,
    "the server rejected it": [/^'([\w.]{1,60})' (?:field )?must be/i, /^invalid '?([\w.]{1,60})'?/i],
    "the server does not know it": /^unrecognized key\(s\) in object: '(\w{1,40})'/i
  }),
  ...describe(invalidField, { "the server rejected it": /'loc': \('body', '(\w{1,40})'/ }),

  // Nothing but a better description.
  ...describe("status", { "the model is loading": /^loading model/i, "the server is busy": /^server busy/i }),
  [
    ([, period]) => ({ kind: "status", description: `the ${period?.toLowerCase()} usage limit is reached` }),
    /\b(hourly|daily|weekly|monthly) usage limit/i
  ]
]

/** Where texts are embedded. The same text gives such numbers again, and JSON has no notation for them. */
export const embeddingErrors: ReadonlyArray<ErrorRule> = describe(invalid("input"), {
  "the model makes no vector of it: its numbers are NaN or infinite": [
    /\bunsupported value: [+-]?(?:nan|inf)/i,
    /\bfloat values are not json compliant/i,
    /(?:embeddings?|vectors?)\b[^\n]{0,40}\b(?:nans?|infs?|infinity)\b/i,
    /\b(?:nans?|infs?|infinity)\b[^\n]{0,40}(?:embeddings?|vectors?)\b/i
  ]
})
