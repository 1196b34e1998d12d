/** What a gateway makes of the requests of Ollama's clients. */
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Struct from "effect/Struct"
import type { CompletionRequest } from "../../src/CompletionRequest.ts"
import * as CompletionRequests from "../../src/CompletionRequest.ts"
import type { Endpoint } from "../../src/protocol/endpoint.ts"
import { chat, generate } from "../../src/protocol/ollama/endpoints.ts"
import { decodeChat, decodeGenerate } from "../../src/protocol/ollama/servedRequest.ts"
import type { Decode, ReceivedCompletion } from "../../src/protocol/served.ts"
import * as Values from "../../src/values/objects.ts"
import * as Requests from "../support/requests.ts"

type Encode = Pick<Endpoint<CompletionRequest, unknown>, "encode">

/** The body as it arrives. */
const send = (protocol: Encode, request: CompletionRequest) =>
  JSON.parse(JSON.stringify(Result.getOrThrow(protocol.encode(request))))

/** The request as it is passed on to a server that speaks Ollama's protocol. */
const passOn = ({ only = {}, request, tuning = {} }: ReceivedCompletion): CompletionRequest => ({
  ...request,
  ...tuning,
  extra: Values.merge(tuning.extra ?? {}, only)
})

const law = (protocol: Encode, decode: Decode<ReceivedCompletion>, request: CompletionRequest) =>
  Effect.sync(() => {
    const body = send(protocol, request)
    const received = Result.getOrThrow(decode(body))
    const passed = passOn(received)
    expect(Result.isSuccess(CompletionRequests.validate(passed))).toBe(true)
    // Whatever the client sent is sent on.
    expect(send(protocol, passed)).toEqual(body)
    expect(received.isStream).toBe(true)
    expect(received.unloads).not.toBe(true)
    const { keepAlive, messages, overflow, tools, ...fields } = { ...request }
    const { messages: _messages, tools: _tools, ...arrived } = { ...passed }
    // Images arrive as base64.
    expect(arrived).toMatchObject(Struct.omit(fields, ["images"]))
    expect(arrived.overflow ?? "fail").toBe(overflow ?? "fail")
    expect(passed.tools?.map(({ name }) => name)).toEqual(tools?.map(({ name }) => name))
    expect(passed.messages?.map(({ role }) => role)).toEqual(messages?.map(({ role }) => role))
    if (keepAlive === undefined) expect(passed.keepAlive).toBeUndefined()
    else expect(Duration.toMillis(passed.keepAlive ?? -1)).toBe(Duration.toMillis(keepAlive))
  })

describe("a request of our own client arrives as it was sent", () => {
  it.effect.prop("with messages", { request: Requests.chat }, ({ request }) => law(chat, decodeChat, request))
  it.effect.prop("with a prompt", { request: Requests.prompt }, ({ request }) => law(generate, decodeGenerate, request))
})
