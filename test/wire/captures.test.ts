/** Every answer recorded from a real server, through the real exchange, and what must come out of it. */
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as HttpClient from "effect/http/HttpClient"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as LmStudio from "../../src/LmStudio.ts"
import type { ModelProgress } from "../../src/ModelProgress.ts"
import * as Ollama from "../../src/Ollama.ts"
import type { Provider } from "../../src/Provider.ts"
import type { ProviderError } from "../../src/ProviderError.ts"
import { isProviderError } from "../../src/ProviderError.ts"
import type { StreamingChunk } from "../../src/StreamingChunk.ts"
import { cuttings } from "../support/bytes.ts"
import * as CannedHttp from "../support/cannedHttp.ts"
import * as Captures from "../support/captures.ts"
import { endless, json, repeat, sky, think, tool, utf8 } from "../support/scriptedModels.ts"
import type { Transcript } from "../support/transcript.ts"
import { record } from "../support/transcript.ts"

const chat = { model: "asked", messages: [{ role: "user", content: "Why?" }] } as const
const prompt = { model: "asked", prompt: "Why?" } as const

const streamed = (stream: Stream.Stream<StreamingChunk, ProviderError>) => Effect.map(record(stream), show)

const ollama = Ollama.make()
const lmStudio = LmStudio.make()

/** An answer as the tables below have it: its pieces, and what its final chunk says, in one line. Times in milliseconds. */
const answer = (pieces: string, final: string, more: Partial<Transcript> = {}): object => ({ pieces, final, ...more })

const show = ({ final, ...transcript }: Transcript): object => ({
  ...transcript,
  ...(final === undefined ? {} : { final: showFinal(final) })
})

const showFinal = ({ finishReason, model, timings = {}, usage }: NonNullable<Transcript["final"]>): string =>
  [
    `${model} ${finishReason}`,
    ...(usage === undefined ? [] : [`${usage[0]} + ${usage[1]} = ${usage[2]} tokens`]),
    ...Object.entries(timings).map(([name, time]) => `${name} ${time}`)
  ].join(", ")

const pieces = (list: ReadonlyArray<string>): string => list.map((piece) => `${piece}|`).join("")
const failure = (_tag: string, fields: object = {}): Transcript => ({ pieces: "", failure: { _tag, ...fields } })

const thinking = `${think.thinking.map((piece) => `(${piece})|`).join("")}${pieces(think.content)}`

const notAStream = (detail: string): Transcript =>
  failure("ApiError", {
    status: 200,
    description: "JSON instead of a stream; a proxy in front of the server may ignore `stream`",
    detail
  })

/** The reports of a transfer in one line. */
const transferred = (run: (server: Ollama.Ollama) => Stream.Stream<ModelProgress, ProviderError>) =>
  Effect.gen(function* () {
    const reports: Array<ModelProgress> = []
    const result = yield* Effect.result(
      Stream.runForEach(run(yield* ollama), (report) => Effect.sync(() => reports.push(report)))
    )
    if (Result.isFailure(result)) return `after ${reports.length} reports: ${result.failure.reason.message}`
    const { completedBytes, isFinal, status, totalBytes } = reports.at(-1) ?? {}
    expect(reports.map(({ isFinal }) => isFinal)).toEqual(reports.map((_, i) => i === reports.length - 1))
    const layers = new Set(reports.flatMap(({ layer }) => layer?.digest ?? [])).size
    return `${reports.length} reports, ${isFinal && status}, ${completedBytes} of ${totalBytes} bytes in ${layers} layers`
  })

/** An embedding in one line. */
const embedded = <P extends Provider>(
  server: Effect.Effect<P, ProviderError, HttpClient.HttpClient>,
  input: ReadonlyArray<string>
) =>
  Effect.flatMap(server, (provider) =>
    Effect.match(provider.embed({ model: "asked", input }), {
      onSuccess: (embedding) => `${embedding.vectors.length} × ${embedding.vectors[0]?.length}, ${embedding.model}`,
      onFailure: ({ reason }) => reason._tag
    })
  )

const unknownText = "the server's text is in the redacted `detail`"
const noEndpoint = "the server does not have this endpoint; check baseUrl and the version of the server"
const noModel = "the server does not have it"

const ollamaModel = (name: string, sizeBytes: number, parameterSize: string) => ({
  id: `${name}:latest`,
  sizeBytes,
  parameterSize,
  family: "llama",
  quantization: "unknown"
})

interface Operation {
  readonly name: string
  readonly run: Effect.Effect<unknown, ProviderError, HttpClient.HttpClient>
  /** The captures that answer it, and what comes out of them. */
  readonly answers: Readonly<Record<string, unknown>>
}

const operations: ReadonlyArray<Operation> = [
  {
    name: "Ollama chat",
    run: Effect.flatMap(ollama, (service) => streamed(service.stream(chat))),
    answers: {
      "ollama/chat-cached-count": answer(
        '{"|city|": |"Par|is",| "|celsius|":| 21|}|',
        "json stop, 5 + 11 = 16 tokens, total 277.626821, load 260.827635, prompt 1.926, completion 6.327"
      ),
      "ollama/chat-length": answer(
        "The| sky| is|",
        "sky length, 8 + 3 = 11 tokens, total 14.425329, load 2.604049, prompt 2.268854, completion 8.159146"
      ),
      "ollama/chat-load": answer("", "sky other"),
      "ollama/chat-logprobs": answer(
        "The| sky|",
        "sky length, 8 + 2 = 10 tokens, total 391.407079, load 304.623641, prompt 80.427207, completion 4.768268"
      ),
      "ollama/chat-stop": answer(
        pieces(sky),
        "sky stop, 8 + 49 = 57 tokens, total 660.917633, load 7.157036, prompt 6.278727, completion 641.899589"
      ),
      "ollama/chat-stop-word": answer(
        "The| sky| is| blue| because| |",
        "sky stop, 8 + 6 = 14 tokens, total 186.149696, load 5.748948, prompt 60.73733, completion 117.742148"
      ),
      "ollama/chat-thinking": answer(
        thinking,
        "think stop, 8 + 10 = 18 tokens, total 388.575548, load 11.940131, prompt 4.800829, completion 369.582242"
      ),
      "ollama/chat-thinking-off": answer(
        "<think>|\nLet| me| see|: Rayleigh|</think>|\n\nBecause| of| scattering|",
        "think stop, 23 + 10 = 33 tokens, total 401.358297, load 2.498473, prompt 13.204882, completion 383.030741"
      ),
      "ollama/chat-thinking-unset": answer(
        thinking,
        "think stop, 8 + 10 = 18 tokens, total 359.744554, load 1.706885, prompt 1.788638, completion 353.484069"
      ),
      "ollama/chat-tools": answer(
        "|",
        "tool tool-calls, 278 + 22 = 300 tokens, total 1639.830109, load 302.986701, prompt 253.375457, completion 1078.453522",
        { calls: [{ id: "call_rmhhbthw", ...tool }] }
      ),
      "ollama/chat-tools-result": answer(
        "The| sky| is|",
        "sky length, 18 + 3 = 21 tokens, total 19.990685, load 5.067667, prompt 8.805982, completion 4.370336"
      ),
      "ollama/chat-unload": answer("", "sky other"),
      "ollama/chat-utf8": answer(
        pieces(utf8),
        "utf8 stop, 8 + 15 = 23 tokens, total 157.7307, load 6.276652, prompt 8.158783, completion 140.659609"
      ),
      // Asked with `stream: false`: one object is a stream of one chunk.
      "ollama/chat-whole": answer(
        "The sky is",
        "sky length, 8 + 3 = 11 tokens, total 169.077318, load 4.460975, prompt 74.405547, completion 87.970104"
      ),
      "ollama/context-full-while-generating": answer(
        pieces(endless(200)),
        "endless length, 6 + 200 = 206 tokens, total 5055.625569, load 306.58381, prompt 4.15818, completion 4725.681751"
      ),
      "ollama-0.34/024-bad-schema": failure("InvalidRequest", {
        field: "format",
        description: "the server cannot use its JSON Schema",
        detail: "invalid JSON schema in format"
      }),
      "ollama-0.34/034-load-exit-silent": failure("ModelNotAvailable", {
        model: "asked",
        description: "its process ended while it was loaded",
        detail: "llama-server process has terminated: exit status 3"
      }),
      "ollama-0.34/034-load-failed": failure("ModelNotAvailable", {
        model: "asked",
        description: "its process ended while it was loaded",
        detail: "llama-server process has terminated: exit status 1: error: failed to load model tensor x"
      }),
      "ollama-0.34/034-load-oom": failure("ModelNotAvailable", {
        model: "asked",
        description: "there is not enough memory for its context; request a smaller context",
        detail:
          "llama-server process has terminated: exit status 1: ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 9999999999\nllama_init_from_model: failed to initialize the context: failed to allocate compute pp buffers"
      }),
      "ollama-0.34/034-no-engine": failure("ModelNotAvailable", {
        model: "asked",
        description: "a file of the server's engine or of the model is missing; install it again",
        detail:
          "error starting llama-server: llama-server binary not found (checked: /srv/ollama/lib/ollama/llama-server, /srv/ollama/bin/build/lib/ollama/llama-server, /srv/ollama/bin/dist/linux-amd64/lib/ollama/llama-server, /srv/ollama/bin/dist/linux_amd64/lib/ollama/llama-server, /srv/build/lib/ollama/llama-server, /srv/dist/linux-amd64/lib/ollama/llama-server, /srv/dist/linux_amd64/lib/ollama/llama-server). Run 'cmake -S llama/server --preset cpu && cmake --build --preset cpu' first"
      }),
      "ollama-0.34/034-prompt-no-truncate": failure("ContextOverflow", {
        promptTokens: 10_004,
        contextLength: 4096,
        detail: "request (10004 tokens) exceeds the available context size (4096 tokens), try increasing it"
      }),
      "ollama-0.34/034-think-level": failure("InvalidRequest", {
        field: "think",
        description: "the server rejected it",
        detail: 'invalid think value: "xhigh" (must be "high", "medium", "low", "max", true, or false)'
      }),
      "ollama/error-bad-json": failure("InvalidRequest", { description: unknownText, detail: "unexpected EOF" }),
      "ollama/error-bad-option": failure("InvalidRequest", {
        field: "temperature",
        description: "it must be of type float32",
        detail: 'option "temperature" must be of type float32'
      }),
      "ollama/error-bad-role": answer(
        "The| sky|",
        "sky length, 14 + 2 = 16 tokens, total 114.327736, load 4.002189, prompt 8.593085, completion 100.521577"
      ),
      "ollama/error-bad-type": failure("InvalidRequest", {
        field: "messages",
        description: "it has the wrong type",
        detail: "json: cannot unmarshal string into Go struct field ChatRequest.messages of type []api.Message"
      }),
      "ollama/error-empty-model": failure("InvalidRequest", {
        field: "model",
        description: "it is required",
        detail: "model is required"
      }),
      "ollama/error-format": failure("InvalidRequest", {
        field: "format",
        description: 'it must be "json" or a JSON Schema',
        detail: String.raw`invalid format: "\"xml\""; expected "json" or a valid JSON Schema object`
      }),
      "ollama/error-method": failure("Unsupported", {
        feature: "POST /api/chat",
        endpoint: "POST /api/chat",
        description: noEndpoint,
        detail: "405 method not allowed"
      }),
      "ollama/error-no-images": answer(
        pieces(sky),
        "sky stop, 12 + 49 = 61 tokens, total 541.755346, load 4.626364, prompt 4.866632, completion 528.369338"
      ),
      "ollama/error-no-model": failure("ModelNotAvailable", {
        model: "asked",
        description: `${noModel}; run \`ollama pull asked\``,
        detail: "model 'nope' not found"
      }),
      "ollama/error-no-thinking": failure("Unsupported", {
        feature: "thinking",
        detail: '"sky" does not support thinking'
      }),
      "ollama/error-no-tools": failure("Unsupported", {
        feature: "tools",
        detail: "registry.ollama.ai/library/sky:latest does not support tools"
      }),
      "ollama/error-unknown-option": answer(
        "The| sky|",
        "sky length, 8 + 2 = 10 tokens, total 17.944246, load 2.384049, prompt 7.442328, completion 6.556505"
      ),
      "ollama/error-unknown-path": failure("Unsupported", {
        feature: "POST /api/chat",
        endpoint: "POST /api/chat",
        description: noEndpoint,
        detail: "404 page not found"
      }),
      "ollama/format-schema": answer(
        pieces(json),
        "json stop, 12 + 11 = 23 tokens, total 708.905733, load 312.49247, prompt 9.075966, completion 383.353776"
      ),
      "ollama/no-shift-while-generating": answer(
        pieces(endless(59)),
        "endless length, 6 + 59 = 65 tokens, total 878.912302, load 2.2773, prompt 1.611788, completion 870.733311"
      ),
      "ollama/prompt-no-truncate": failure("ContextOverflow", {
        detail: "the input length exceeds the context length"
      }),
      "ollama/prompt-too-long": answer(
        "The| sky| is|",
        "endless length, 256 + 3 = 259 tokens, total 178.857575, load 5.604618, prompt 152.474124, completion 16.307261"
      ),
      "ollama/runner-killed": {
        ...failure("StreamError", {
          description: "the model's process failed",
          detail: "an error was encountered while running the model: unexpected EOF"
        }),
        pieces: pieces(endless(79))
      },
      "ollama/silent-end": { ...failure("StreamTruncated"), pieces: pieces(repeat(32)) },
      "ollama/truncated-prompt": answer(
        "The| sky| is|",
        "endless length, 8 + 3 = 11 tokens, total 430.010127, load 318.029637, prompt 5.202669, completion 104.09461"
      ),
      "ollama/unload-while-generating": answer(
        pieces(endless(900)),
        "endless length, 6 + 900 = 906 tokens, total 20111.511228, load 303.038727, prompt 106.421972, completion 19633.06635"
      )
    }
  },
  {
    name: "Ollama generate",
    run: Effect.flatMap(ollama, (service) => streamed(service.stream(prompt))),
    answers: {
      "ollama/generate": answer(
        "The| sky| is| blue|",
        "sky length, 8 + 4 = 12 tokens, total 84.063442, load 2.671204, prompt 3.691689, completion 76.159692"
      ),
      "ollama/generate-load": answer("", "sky other"),
      "ollama/generate-raw": answer(
        "The| sky| is| blue|",
        "sky length, 5 + 4 = 9 tokens, total 14.948094, load 2.501548, prompt 3.474213, completion 7.381174"
      ),
      // The tags of the thinking come as lines that say nothing.
      "ollama/generate-thinking": answer(
        `|${pieces(think.thinking.map((piece) => `(${piece})`))}|${pieces(think.content)}`,
        "think stop, 8 + 10 = 18 tokens, total 351.047885, load 305.370232, prompt 8.060973, completion 35.683488"
      )
    }
  },
  {
    name: "Ollama listModels",
    run: Effect.flatMap(ollama, (service) => service.listModels),
    answers: {
      "ollama/tags": [
        ollamaModel("think", 3750170, "935K"),
        ollamaModel("utf8", 3750014, "935K"),
        ollamaModel("endless", 3849118, "960K"),
        ollamaModel("sky", 3849118, "960K"),
        ollamaModel("tool", 3750895, "935K")
      ]
    }
  },
  {
    name: "Ollama version",
    run: Effect.flatMap(ollama, (service) => service.version),
    answers: { "ollama/version": "0.0.0" }
  },
  {
    name: "LM Studio chat",
    run: Effect.flatMap(lmStudio, (service) => streamed(service.stream(chat))),
    answers: {
      "llama-server/chat-length": answer(
        "|The| sky| is|",
        "models/sky.gguf length, 8 + 3 = 11 tokens, prompt 2.626, completion 0.906"
      ),
      "llama-server/chat-no-usage": answer("|The| sky| is|", "models/sky.gguf length, prompt 0.791, completion 3.453"),
      "llama-server/chat-ping": answer(
        "|The| sky|",
        "models/endless.gguf length, 20004 + 2 = 20006 tokens, prompt 19398.914, completion 27.116"
      ),
      "llama-server/chat-progress": answer(
        "|||||||The| sky|",
        "models/endless.gguf length, 10004 + 2 = 10006 tokens, prompt 7822.684, completion 8.948"
      ),
      "llama-server/chat-stop": answer(
        `|${pieces(sky)}`,
        "models/sky.gguf stop, 8 + 49 = 57 tokens, prompt 1.292, completion 35.933"
      ),
      "llama-server/chat-stop-word": answer(
        "|The| sky| is| blue| because| |",
        "models/sky.gguf stop, 8 + 6 = 14 tokens, prompt 0.899, completion 2.505"
      ),
      "llama-server/chat-thinking": answer(
        `|${thinking}`,
        "models/think.gguf stop, 8 + 10 = 18 tokens, prompt 5.093, completion 3.138"
      ),
      "llama-server/chat-tools": answer(
        String.raw`|[0#EgXr392rlzaI5e2GvdJuLawCi3fcEskc get_weather({]|[0("city]|[0(" : "]|[0(Par]|[0(is]|[0(","unit":]|[0("c"}]|`,
        "models/tool.gguf tool-calls, 562 + 22 = 584 tokens, prompt 67.206, completion 22.741",
        { calls: [{ id: "EgXr392rlzaI5e2GvdJuLawCi3fcEskc", ...tool }] }
      ),
      "llama-server/chat-utf8": answer(
        `|${pieces(utf8)}`,
        "models/utf8.gguf stop, 8 + 15 = 23 tokens, prompt 6.523, completion 4.742"
      ),
      // Asked with `stream: false`, as a gateway might make of it.
      "llama-server/chat-whole": answer(
        "The sky is|",
        "models/sky.gguf length, 8 + 3 = 11 tokens, prompt 0.532, completion 3.4"
      ),
      "llama-server/embeddings-off": failure("Unsupported", {
        feature: "embeddings",
        detail: "This server does not support embeddings. Start it with `--embeddings`"
      }),
      "llama-server/error-bad-json": failure("InvalidRequest", {
        description: unknownText,
        detail:
          "[json.exception.parse_error.101] parse error at line 1, column 10: syntax error while parsing value - unexpected end of input; expected '[', '{', or a literal"
      }),
      "llama-server/error-bad-schema": failure("InvalidRequest", {
        description: "the server cannot use a JSON Schema of the request",
        detail:
          "Unable to generate parser for this template. Automatic parser generation failed: JSON schema error at #: unrecognized type nonsense"
      }),
      "llama-server/error-bad-temperature": failure("InvalidRequest", {
        field: "temperature",
        description: "it must be of type number",
        detail: "Field 'temperature': [json.exception.type_error.302] type must be number, but is string"
      }),
      "llama-server/error-no-key": failure("AuthenticationError", { detail: "Invalid API Key" }),
      "llama-server/error-no-messages": failure("InvalidRequest", {
        field: "messages",
        description: "it is required",
        detail: "'messages' is required"
      }),
      "llama-server/error-overflow": failure("ContextOverflow", {
        promptTokens: 20004,
        contextLength: 512,
        detail: "request (20004 tokens) exceeds the available context size (512 tokens), try increasing it"
      }),
      "llama-server/error-unknown-path": failure("Unsupported", {
        feature: "POST /v1/chat/completions",
        endpoint: "POST /v1/chat/completions",
        description: noEndpoint,
        detail: "File Not Found"
      }),
      "llama-server/error-wrong-key": failure("AuthenticationError", { detail: "Invalid API Key" }),
      "llama-server/format-schema": answer(
        `|${pieces(json)}`,
        "models/json.gguf stop, 12 + 11 = 23 tokens, prompt 1.651, completion 4.216"
      ),
      "llama-server/health": notAStream('{"status":"ok"}'),
      "llama-server/overflow-while-generating": answer(
        `|${pieces(endless(506))}`,
        "models/endless.gguf length, 6 + 506 = 512 tokens, prompt 3.169, completion 354.575"
      ),
      "ollama-0.34/034-v1-error-no-images": failure("Unsupported", {
        feature: "images",
        detail: "Multimodal data provided, but model does not support multimodal requests."
      }),
      "ollama/v1-chat": answer("The| sky| is|", "sky length, 8 + 3 = 11 tokens"),
      "ollama/v1-error": failure("ModelNotAvailable", {
        model: "asked",
        description: `${noModel}; run \`lms get asked\``,
        detail: "model 'nope' not found"
      }),
      "ollama/v1-tools": answer('[0#call_wbeq8m6w get_weather({"city":"Paris","unit":"c"}]|', "tool tool-calls", {
        calls: [{ id: "call_wbeq8m6w", ...tool }]
      })
    }
  },
  {
    name: "LM Studio completion",
    run: Effect.flatMap(lmStudio, (service) => streamed(service.stream(prompt))),
    answers: {
      "llama-server/completion": answer(
        "The| sky| is| blue| because|",
        "models/sky.gguf length, 4 + 5 = 9 tokens, prompt 0.794, completion 3.683"
      )
    }
  },
  {
    name: "Ollama pull",
    run: transferred(({ pull }) => pull("asked")),
    answers: {
      "ollama/pull": "8 reports, success, 40022716 of 40022716 bytes in 4 layers",
      "ollama/pull-whole": "1 reports, success, 0 of 0 bytes in 0 layers",
      "ollama/pull-empty": "after 0 reports: invalid model: the server rejected it",
      "ollama/pull-missing": 'after 1 reports: the model "asked" is not available: the registry does not have it',
      "ollama/pull-https": "after 1 reports: invalid insecure: the registry has no valid TLS: set `insecure: true`",
      "ollama/pull-unreachable": "after 1 reports: the connection failed: Ollama cannot reach the registry",
      "ollama-0.34/pull-digest-mismatch":
        'after 6 reports: the model "asked" is not available: what was transferred does not have its digest; transfer it again',
      "ollama-0.34/pull-manifest-403":
        "after 1 reports: the registry refused the server: the model may be private, or it does not exist",
      "ollama-0.34/pull-manifest-429": "after 1 reports: too many requests: the registry limits requests",
      "ollama-0.34/push-missing": 'after 2 reports: the model "asked" is not available: the server does not have it',
      "ollama-0.34/034-create-quantize": "after 0 reports: invalid quantize: Ollama cannot quantize this model to it",
      "ollama-0.34/create-bad-template":
        "after 0 reports: invalid request: the model's chat template cannot render the messages",
      "ollama/push": "9 reports, success, 40022716 of 40022716 bytes in 4 layers",
      "ollama/create": "6 reports, success, 0 of 0 bytes in 0 layers"
    }
  },
  {
    name: "Ollama deleteModel",
    run: Effect.flatMap(ollama, ({ deleteModel }) =>
      Effect.catch(deleteModel("nope"), ({ reason }) => Effect.succeed(reason._tag))
    ),
    answers: {
      "ollama/delete": undefined,
      "ollama/delete-missing": "ModelNotAvailable",
      "ollama/copy-missing": "ModelNotAvailable"
    }
  },
  {
    name: "Ollama embed, one text",
    run: embedded(ollama, ["a"]),
    answers: {
      "ollama/embed": "1 × 384, sky",
      "ollama/embed-too-long": "1 × 384, sky",
      "ollama/embed-dimensions": "1 × 8, sky",
      "ollama/embed-empty": "ParseError",
      "ollama/embed-no-model": "ModelNotAvailable",
      "ollama/embed-too-long-no-truncate": "ContextOverflow",
      "ollama-0.34/034-embed-language-model": "Unsupported"
    }
  },
  {
    name: "Ollama embed, three texts",
    run: embedded(ollama, ["The sky", "is", "blue"]),
    answers: { "ollama/embed-many": "3 × 384, sky" }
  },
  {
    name: "LM Studio embed, two texts",
    run: embedded(lmStudio, ["a", "b"]),
    answers: {
      "llama-server/embeddings": "2 × 384, sky",
      "ollama/v1-embeddings": "2 × 384, sky"
    }
  },
  {
    name: "Ollama model",
    run: Effect.flatMap(ollama, ({ model }) =>
      Effect.catch(model("think"), ({ reason }) => Effect.succeed(reason._tag))
    ),
    answers: {
      "ollama/show": {
        id: "think",
        family: "llama",
        parameterSize: "935K",
        quantization: "unknown",
        contextLength: 131_072,
        capabilities: ["completion", "thinking"],
        isLoaded: false
      },
      "ollama/show-missing": "ModelNotAvailable"
    }
  },
  {
    name: "LM Studio listModels",
    run: Effect.flatMap(lmStudio, (service) => service.listModels),
    answers: {
      "llama-server/models": [{ id: "models/sky.gguf", sizeBytes: 3838464, contextLength: 4096 }],
      "ollama/v1-models": [
        "sky2:latest",
        "think:latest",
        "endless:latest",
        "sky:latest",
        "tool:latest",
        "utf8:latest"
      ].map((id) => ({ id }))
    }
  }
]

/** Answers of endpoints that nothing here asks: they serve the last test alone. */
const notAsked: ReadonlyArray<string> = ["ollama/ps", "ollama/ps-loaded", "ollama/root"]

const replay = <A, E>(
  operation: Effect.Effect<A, E, HttpClient.HttpClient>,
  { body, headers, status }: Captures.Capture,
  cut: (bytes: Uint8Array) => Array<Uint8Array>
): Effect.Effect<A, E> => Effect.provide(operation, CannedHttp.layer({ status, headers, pieces: cut(body) }))

it("every capture is used", () => {
  const used = [...operations.flatMap(({ answers }) => Object.keys(answers)), ...notAsked]
  expect(used.toSorted()).toEqual(Captures.names)
})

for (const { answers, name, run } of operations) {
  describe(name, () => {
    for (const [capture, answer] of Object.entries(answers)) {
      it.effect(capture, () =>
        Effect.gen(function* () {
          const seen: Record<string, unknown> = {}
          for (const [cutting, cut] of Object.entries(cuttings)) {
            seen[cutting] = yield* replay(run, Captures.read(capture), cut)
          }
          expect(seen).toEqual({ whole: answer, "byte by byte": answer, "odd pieces": answer })
        })
      )
    }
  })
}

describe("any answer to any question is a success or a ProviderError", () => {
  it.effect.each([...Captures.names])("%s", (capture) =>
    Effect.gen(function* () {
      for (const { run } of operations) {
        const exit = yield* Effect.exit(replay(run, Captures.read(capture), cuttings.whole))
        expect(Exit.isSuccess(exit) || isProviderError(Cause.squash(exit.cause))).toBe(true)
      }
    })
  )
})
