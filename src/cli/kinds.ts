/** The values of `--provider`. */

/** In the order of preference. The last may be a cloud service, so it is used only if the flag names it. */
export const kinds = ["ollama", "llama-server", "lmstudio", "openai"] as const

export type Kind = (typeof kinds)[number]
