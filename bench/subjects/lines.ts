import type { Protocol } from "../server/wire.ts"
import { messages } from "./Subject.ts"

/** The text of one line of a body, by hand: what the floor and the buffered way share. */
export const textOfLine: Readonly<Record<Protocol, (line: string) => string>> = {
  ndjson: (line) => (line === "" ? "" : (JSON.parse(line) as OllamaLine).message.content),
  sse: (line) =>
    line === "" || line === "data: [DONE]"
      ? ""
      : ((JSON.parse(line.slice("data: ".length)) as LmStudioEvent).choices[0]?.delta.content ?? "")
}

export function requestBody(scenario: string): string {
  return JSON.stringify({ model: scenario, messages, stream: true })
}

interface OllamaLine {
  readonly message: { readonly content: string }
}

interface LmStudioEvent {
  readonly choices: ReadonlyArray<{ readonly delta: { readonly content?: string } }>
}
