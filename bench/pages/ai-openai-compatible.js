import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { show } from "./ai.js"

await show(createOpenAICompatible({ name: "lmstudio", baseURL: "http://127.0.0.1:1234/v1" })("m"))
