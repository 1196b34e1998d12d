/** `useChat` of the npm package `ai` with the routes of a program: agents and plain completions. */
import { NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
import { beforeAll, describe, expect, it } from "@effect/vitest"
import * as Chat from "effect/ai/Chat"
import type * as Prompt from "effect/ai/Prompt"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Http from "node:http"
import { inject } from "vitest"
import * as Agent from "../../src/Agent.ts"
import * as EffectAi from "../../src/EffectAi.ts"
import * as Ollama from "../../src/Ollama.ts"
import * as Provider from "../../src/Provider.ts"
import * as StreamResponse from "../../src/StreamResponse.ts"
import * as UiMessages from "../../src/UiMessages.ts"
import * as UiPart from "../../src/UiPart.ts"
import facts from "./facts.json" with { type: "json" }
import { secret, startControl, startHost } from "./hosts.ts"
import { type Line, run } from "./tests.ts"

const makeToolkit = (needsApproval: boolean) =>
  Toolkit.make(
    Tool.make(facts.tool.name, {
      description: facts.tool.description,
      parameters: Schema.Struct({ city: Schema.String }),
      success: Schema.String,
      needsApproval
    })
  )

const routes = HttpRouter.use(
  Effect.fn(function* (router) {
    const provider = yield* Provider.Provider
    const answer = (model: string, chat: Chat.Chat | undefined, prompt: Prompt.RawInput) => {
      const toolkit = makeToolkit(model === "guarded")
      const live = toolkit.toLayer({ [facts.tool.name]: () => Effect.succeed(facts.toolResult) })
      const name = model === "guarded" ? "caller" : model
      return Agent.stream({ prompt, toolkit, chat }).pipe(
        Stream.provide(live),
        Stream.provide(EffectAi.layerLanguageModel({ model: name })),
        Stream.provideService(Provider.Provider, provider)
      )
    }
    const chats = new Map<string, Chat.Chat>()
    yield* router.add(
      "POST",
      "/:model",
      Effect.gen(function* () {
        const { model = "" } = yield* HttpRouter.params
        const { id, prompt } = yield* HttpServerRequest.schemaBodyJson(UiMessages.Turn)
        if (model === "lost") {
          const socket = (yield* HttpServerRequest.HttpServerRequest).source as Http.IncomingMessage
          const parts = Stream.concat(Stream.succeed<UiPart.UiPart>({ _tag: "Text", text: "The " }), Stream.never)
          return yield* StreamResponse.parts(
            Stream.merge(
              parts,
              Stream.drain(
                Stream.fromEffect(
                  Effect.delay(
                    Effect.sync(() => socket.socket.destroy()),
                    50
                  )
                )
              )
            )
          )
        }
        const chat = chats.get(id) ?? (yield* Chat.empty)
        chats.set(id, chat)
        return yield* StreamResponse.parts(answer(model, chat, prompt))
      })
    )
    yield* router.add(
      "POST",
      "/plain/:model",
      Effect.gen(function* () {
        const { model = "" } = yield* HttpRouter.params
        const chunks = provider.stream({ model, messages: [{ role: "user", content: facts.question }] })
        return yield* StreamResponse.parts(UiPart.fromChunks(chunks))
      })
    )
  })
)

const start = Effect.gen(function* () {
  const host = yield* startHost
  const control = yield* startControl({ host })
  const provider = Layer.provide(Ollama.layer({ baseUrl: host.url }), NodeHttpClient.layerUndici)
  const server = NodeHttpServer.layer(Http.createServer, { host: "127.0.0.1", port: 0 })
  const live = HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provide(provider),
    Layer.provideMerge(server),
    Layer.orDie
  )
  const { address } = Context.get(yield* Layer.build(live), HttpServer.HttpServer)
  return { host: "host", url: `http://127.0.0.1:${"port" in address ? address.port : 0}`, control: `${control}/host` }
})

const runner = inject("npm")

describe.skipIf("missing" in runner)("useChat", () => {
  let output = ""
  let lines: ReadonlyArray<Line> = []
  beforeAll(async () => {
    if ("missing" in runner) return
    output = await Effect.runPromise(
      Effect.scoped(Effect.flatMap(start, (target) => Effect.promise(() => run(runner, "useChat.ts", [target]))))
    )
    lines = output
      .trim()
      .split("\n")
      .map((line): Line => JSON.parse(line))
  })

  const text = (text: string, state = "done") => ({ type: "text", text, state })
  const step = { type: "step-start" }
  const tool = { type: "tool-weather", toolCallId: "call_1", input: { city: "Paris" } }
  const complete = { status: "ready", finished: { finishReason: "stop", isAbort: false, isError: false } }
  const failed = { status: "error", finished: { isError: true }, parts: [step, text("The sky is ", "streaming")] }

  it.each([
    ["text", { ...complete, parts: [step, text(facts.question)], metadata: { usage: { totalTokens: 15 }, rounds: 1 } }],
    [
      "thinking",
      { ...complete, parts: [step, { type: "reasoning", text: "Light is scattered." }, text("Blue light most.")] }
    ],
    [
      "tool",
      {
        ...complete,
        parts: [step, { ...tool, state: "output-available", output: "sunny" }, step, text("It is sunny.")],
        metadata: { rounds: 2, usage: { promptTokens: 20 } }
      }
    ],
    [
      "invented",
      {
        ...complete,
        parts: [
          step,
          text("Let me see."),
          {
            type: "tool-fly",
            state: "output-error",
            input: { to: "Paris" },
            errorText: 'There is no tool "fly". The tools are: weather.'
          },
          step,
          { type: "text" }
        ]
      }
    ],
    ["length", { status: "ready", finished: { finishReason: "length" }, parts: [step, text("The sky is ")] }],
    ["missing", { status: "error", error: { name: "AI_APICallError" }, parts: [], finished: { isError: true } }],
    ["breaks", failed],
    ["dies", failed],
    ["ends", failed],
    ["lost", { status: "error", finished: { isError: true }, parts: [step, text("The ", "streaming")] }],
    ["plain", { ...complete, parts: [step, { type: "reasoning" }, text("Blue light most.")] }],
    ["plainBreaks", { ...failed, error: { message: "the server failed while answering" } }],
    ["plainMissing", { status: "error", error: { message: 'the model "missing" is not available' }, parts: [] }],
    [
      "approved",
      {
        first: {
          status: "ready",
          parts: [step, { ...tool, state: "approval-requested" }],
          metadata: { stoppedBy: "approval" }
        },
        second: {
          status: "ready",
          parts: [step, { ...tool, state: "output-available", output: "sunny" }, step, text("It is sunny.")],
          metadata: { stoppedBy: null }
        },
        messages: 2
      }
    ],
    ["cancel", { status: "ready", closed: true }],
    ["chunks", { text: "It is sunny.", types: expect.arrayContaining(["start", "finish"]) as unknown }]
  ])("%s", (name, sight) => {
    const line = lines.find((line) => line.case === name)
    expect(line?.fault).toBeUndefined()
    expect(line?.result).toMatchObject(sight)
  })

  it("the page sees no text of a host's failure", () => {
    expect(output).not.toContain(secret)
    expect(output).not.toContain("127.0.0.1")
  })
})
