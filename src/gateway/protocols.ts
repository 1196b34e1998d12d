/** The protocols that a gateway speaks. */
import * as Anthropic from "./anthropic.ts"
import type { Protocol } from "./gateway.ts"
import * as Ollama from "./ollama.ts"
import * as OpenAi from "./openai.ts"

export const protocols: ReadonlyArray<Protocol> = [
  Ollama.protocol,
  OpenAi.protocol,
  Anthropic.protocol,
  OpenAi.lmStudio
]
