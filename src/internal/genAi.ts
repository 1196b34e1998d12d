/** Names of OpenTelemetry's conventions for generative AI. */

const providerNames = new Map([
  ["Ollama", "ollama"],
  ["LM Studio", "lmstudio"]
])

/** The value of `gen_ai.provider.name`. The conventions have none for these servers. */
export const providerName = (name: string): string => providerNames.get(name) ?? name
