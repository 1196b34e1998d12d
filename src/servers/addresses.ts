/** Where servers are expected. */
import * as BaseUrl from "../values/baseUrl.ts"

export interface Place extends BaseUrl.Defaults {
  readonly defaultUrl: string
  /** The variables with which a user names another address, and a token. */
  readonly environment: {
    readonly baseUrl: string
    readonly token: string
    /** Turns the variable's value into a base URL. Default: it is one. */
    readonly parse?: (value: string) => string
  }
}

export const ollama: Place = {
  defaultUrl: "http://127.0.0.1:11434",
  port: "11434",
  root: "/api",
  otherRoot: { path: "/v1", advice: "Remove `/v1`: Ollama's own routes are used. For its `/v1` use OpenAiCompatible" },
  environment: { baseUrl: "OLLAMA_HOST", token: "OLLAMA_API_KEY", parse: BaseUrl.fromOllamaHost }
}

export const lmStudio: Place = {
  defaultUrl: "http://127.0.0.1:1234",
  port: "1234",
  root: "/v1",
  environment: { baseUrl: "LMSTUDIO_BASE_URL", token: "LM_API_TOKEN" }
}

export const llamaServer: Place = {
  defaultUrl: "http://127.0.0.1:8080",
  port: "8080",
  root: "/v1",
  environment: { baseUrl: "LLAMA_SERVER_URL", token: "LLAMA_API_KEY" }
}
