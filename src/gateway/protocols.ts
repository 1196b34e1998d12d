/** The protocols that a gateway speaks. */
import * as Anthropic from "./anthropic.ts"
import type { Protocol } from "./gateway.ts"
import * as Ollama from "./ollama.ts"

export const protocols: ReadonlyArray<Protocol> = [Anthropic.protocol, Ollama.protocol]
