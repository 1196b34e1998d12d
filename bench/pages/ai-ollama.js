import { createOllama } from "ai-sdk-ollama"
import { show } from "./ai.js"

await show(createOllama({ baseURL: "http://127.0.0.1:11434" })("m"))
