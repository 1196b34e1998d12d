/** What asks the proxies. LiteLLM has the routes of OpenAI, the others those of Ollama. */
import { Agent, type IncomingMessage, request } from "node:http"
import { key } from "./process.ts"

const agent = new Agent({ keepAlive: true, maxSockets: Infinity })

/** LiteLLM closes idle connections without notice. */
const agentForLiteLlm = new Agent({ maxSockets: Infinity })

const post = (url: string, isOpenAi: boolean, body: object): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", authorization: `Bearer ${key}` }
    const sent = request(url, { agent: isOpenAi ? agentForLiteLlm : agent, method: "POST", headers }, resolve)
    sent.on("error", reject)
    sent.end(JSON.stringify(body))
  })

/** Milliseconds of a completion. */
export interface Answer {
  /** To its first bytes. */
  readonly first: number
  readonly whole: number
}

export const read = async (baseUrl: string, isOpenAi: boolean, tokens: number): Promise<Answer> => {
  const startedAt = performance.now()
  const messages = [{ role: "user", content: "Why is the sky blue?" }]
  const response = isOpenAi
    ? await post(`${baseUrl}/v1/chat/completions`, isOpenAi, { model: "m", stream: true, messages, max_tokens: tokens })
    : await post(`${baseUrl}/api/chat`, isOpenAi, { model: "m", messages, options: { num_predict: tokens } })
  let first: number | undefined
  let last = ""
  for await (const bytes of response) {
    first ??= performance.now() - startedAt
    last = String(bytes)
  }
  if (!last.includes(isOpenAi ? "[DONE]" : '"done":true')) throw new Error(`an incomplete response: ${last}`)
  return { first: first ?? 0, whole: performance.now() - startedAt }
}

/** Milliseconds until the vectors of 1,000 texts are there. */
export const embed = async (baseUrl: string, isOpenAi: boolean): Promise<number> => {
  const startedAt = performance.now()
  const input = Array.from({ length: 1000 }, (_, index) => `text ${index}`)
  const response = await post(baseUrl + (isOpenAi ? "/v1/embeddings" : "/api/embed"), isOpenAi, {
    model: isOpenAi ? "embeddings" : "m",
    input
  })
  let bytes = 0
  for await (const part of response) bytes += part.length
  if (bytes < 30e6) throw new Error(`${response.statusCode}: only ${bytes} bytes`)
  return performance.now() - startedAt
}
