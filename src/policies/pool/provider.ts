/** The provider of a pool: each request goes where its scheduler says. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as CompletionRequest from "../../CompletionRequest.ts"
import * as Embedding from "../../Embedding.ts"
import * as Provider from "../../Provider.ts"
import type { ProviderErrorReason } from "../../ProviderError.ts"
import { ProviderError } from "../../ProviderError.ts"
import * as Guard from "../../servers/guard.ts"
import * as GenAi from "../../values/genAi.ts"
import * as Commit from "../commit.ts"
import * as Attempts from "./attempts.ts"
import * as Models from "./models.ts"
import * as Prompt from "./prompt.ts"

export const make = (parts: Attempts.Parts, defaults: CompletionRequest.Defaults | undefined): Provider.Provider => {
  const { name, scheduler } = parts
  const fail = (reason: ProviderErrorReason) => Effect.fail(new ProviderError({ provider: name, reason }))
  return Provider.make({
    name,
    kind: GenAi.sharedKind(scheduler.hosts().map(({ provider }) => provider)),
    // A host may have a default for the model.
    stream: (input) =>
      Stream.suspend(() => {
        const valid = CompletionRequest.check(CompletionRequest.withDefaults(defaults, input))
        if (Result.isFailure(valid)) return Stream.fromEffect(fail(valid.failure))
        const request = valid.success
        const plan = Attempts.plan(parts, request, Prompt.ofRequest(request), ({ provider }) => provider.stream)
        return Commit.attempts(request, plan)
      }),
    embed: (input) =>
      Effect.suspend(() => {
        const valid = Embedding.check(Embedding.withDefaults(defaults, input))
        if (Result.isFailure(valid)) return fail(valid.failure)
        return Attempts.embed(parts, valid.success)
      }),
    countTokens: (input) =>
      Effect.suspend(() => {
        const valid = CompletionRequest.check(CompletionRequest.withDefaults(defaults, input))
        if (Result.isFailure(valid)) return fail(valid.failure)
        return Models.countTokens(name, scheduler.hosts(), valid.success)
      }),
    optionsOf: (request) => Models.sharedOptions(Guard.withDefaults(defaults, request), scheduler.hosts()),
    ...Models.makeLists(name, scheduler.hosts),
    isSameModel: (a, b) => a === b || scheduler.hosts().some(({ provider }) => provider.isSameModel(a, b))
  })
}
