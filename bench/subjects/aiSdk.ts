import { streamText, type LanguageModel } from "ai"
import type { Protocol } from "../server/wire.ts"
import { messages, type Subject } from "./Subject.ts"

/** The `ai` package over any of its providers. */
export function aiSdkSubject(protocol: Protocol, languageModel: (scenario: string) => LanguageModel): Subject {
  return {
    protocol,
    read: async (scenario, onText, signal) => {
      const answer = streamText({
        model: languageModel(scenario),
        messages,
        maxRetries: 0,
        ...(signal && { abortSignal: signal }),
        // It would print them; a failed answer shows by its missing tokens.
        onError: () => {}
      })
      for await (const text of answer.textStream) onText(text)
    }
  }
}
