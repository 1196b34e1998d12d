import { Effect, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import { Provider } from "../../src/index.ts"

export const show = (layer) =>
  Provider.Provider.use(({ stream }) =>
    stream({ model: "m", messages: [{ role: "user", content: "Why?" }] }).pipe(
      Stream.runForEach(({ content }) => Effect.sync(() => document.body.append(content)))
    )
  ).pipe(Effect.provide(layer), Effect.provide(FetchHttpClient.layer), Effect.runPromise)
