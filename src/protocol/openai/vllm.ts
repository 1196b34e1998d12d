/** The route that only vLLM has. Facts: the classes `TokenizeChatRequest` and `TokenizeResponse` of its `protocol.py`. */
import * as Record from "effect/Record"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { CompletionRequest } from "../../CompletionRequest.ts"
import * as Endpoint from "../endpoint.ts"
import * as WireSchema from "../wireSchema.ts"

/** What decides about the tokens of a prompt. vLLM before 0.9 ignores the tools. */
const fields = new Set([
  "model",
  "messages",
  "prompt",
  "tools",
  "add_generation_prompt",
  "add_special_tokens",
  "chat_template",
  "chat_template_kwargs",
  "continue_final_message",
  "mm_processor_kwargs"
])

/** `POST /tokenize`, which puts the messages into the chat template. `encode` is that of a completion. */
export const tokenize = (encode: Endpoint.Endpoint<CompletionRequest, unknown>["encode"]) =>
  Endpoint.postEncoded(
    "/tokenize",
    (request: CompletionRequest) =>
      Result.map(encode(request), (body = {}) => Record.filter(body, (_, name) => fields.has(name))),
    Endpoint.json(Schema.Struct({ count: WireSchema.Count }), ({ count }) => Result.succeed(count))
  )
