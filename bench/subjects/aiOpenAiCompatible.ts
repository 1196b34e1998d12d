import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { aiSdkSubject } from "./aiSdk.ts"
import type { Connect } from "./Subject.ts"

export const connect: Connect = async (serverUrl, protocol) =>
  aiSdkSubject(protocol, createOpenAICompatible({ name: "lmstudio", baseURL: `${serverUrl}/v1` }))
