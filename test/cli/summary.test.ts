import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import { summarize } from "../../src/cli/answer.ts"

describe("the summary", () => {
  const times = { startedAt: 1000, firstAt: 1250, endedAt: 3250 }

  it("measures the speed itself if the server reports no time", () => {
    const chunk = { model: "m", finishReason: "stop", usage: { promptTokens: 26, completionTokens: 101 } } as const
    expect(summarize("Ollama", chunk, times)).toBe(
      "m on Ollama · 101 tokens after 26 of the prompt · first after 0.25 s · 50.0 tokens/s"
    )
  })

  it("uses the time that the server reports", () => {
    const timings = { completion: Duration.seconds(4) }
    const chunk = { model: "m", finishReason: "stop", usage: { completionTokens: 100 }, timings } as const
    expect(summarize("Ollama", chunk, times)).toBe("m on Ollama · 100 tokens · first after 0.25 s · 25.0 tokens/s")
  })

  it("leaves out what is unknown", () => {
    expect(summarize("Ollama", { model: "m", finishReason: "length" }, times)).toBe(
      "m on Ollama · first after 0.25 s · ended by length"
    )
    const tooFast = { model: "m", finishReason: "stop", usage: { completionTokens: 9 } } as const
    expect(summarize("Ollama", tooFast, { ...times, endedAt: times.firstAt + 2 })).toBe(
      "m on Ollama · 9 tokens · first after 0.25 s"
    )
    expect(summarize("Ollama", { model: "m", finishReason: "stop" }, { ...times, firstAt: undefined })).toBe(
      "m on Ollama"
    )
  })
})
