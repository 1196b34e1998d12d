import { createOllama } from "ai-sdk-ollama"
import { aiSdkSubject } from "./aiSdk.ts"
import type { Connect } from "./Subject.ts"

export const connect: Connect = async (serverUrl, protocol) =>
  aiSdkSubject(protocol, createOllama({ baseURL: serverUrl }))
