// A page of Effect that reads a stream of Ollama by hand, without checks, bounds, deadlines or typed errors.
import { Effect, Schema, Stream } from "effect"
import { FetchHttpClient, HttpClient, HttpClientRequest } from "effect/http"

const Line = Schema.fromJsonString(Schema.Struct({ message: Schema.Struct({ content: Schema.String }) }))

HttpClientRequest.post("http://127.0.0.1:11434/api/chat").pipe(
  HttpClientRequest.bodyJsonUnsafe({ model: "m", messages: [{ role: "user", content: "Why?" }] }),
  HttpClient.execute,
  Effect.flatMap(({ stream }) =>
    stream.pipe(
      Stream.decodeText,
      Stream.splitLines,
      Stream.mapEffect(Schema.decodeUnknownEffect(Line)),
      Stream.runForEach((line) => Effect.sync(() => document.body.append(line.message.content)))
    )
  ),
  Effect.provide(FetchHttpClient.layer),
  Effect.runPromise
)
