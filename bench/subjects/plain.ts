// Clients without any library: the minimum that streaming costs, and reading whole bodies.
import { Agent, request } from "node:http"
import { text as readText } from "node:stream/consumers"
import { wires, type Protocol } from "../server/wire.ts"
import { key, messages } from "../server/scenarios.ts"
import type { Connect } from "./catalogue.ts"

/**
 * The minimum with node:http. It checks nothing, has no bounds and does not detect a truncated answer. It is a lower
 * limit for comparison, not a usable client.
 */
export const floor: Connect = async (serverUrl, protocol) => {
  const agent = new Agent({ keepAlive: true })
  const url = serverUrl + wires[protocol].path
  const textOf = textOfLine[protocol]
  // For proxies.
  const headers = { "content-type": "application/json", authorization: `Bearer ${key}` }
  return (scenario, onText, signal) =>
    new Promise((resolve, reject) => {
      const sent = request(url, { method: "POST", agent, headers, ...(signal && { signal }) }, async (response) => {
        if (response.statusCode !== 200) return reject(new Error(`${response.statusCode}: ${await readText(response)}`))
        const decoder = new TextDecoder()
        let rest = ""
        response.on("data", (bytes: Buffer) => {
          const text = rest + decoder.decode(bytes, { stream: true })
          let start = 0
          for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n", start)) {
            onText(textOf(text.slice(start, end)))
            start = end + 1
          }
          rest = text.slice(start)
        })
        response.on("end", resolve)
        response.on("error", reject)
      })
      sent.on("error", reject)
      sent.end(requestBody(scenario))
    })
}

/** Waits for the whole body, then parses it. */
export const buffered: Connect = async (serverUrl, protocol) => {
  const url = serverUrl + wires[protocol].path
  const textOf = textOfLine[protocol]
  return async (scenario, onText, signal) => {
    const response = await fetch(url, { method: "POST", body: requestBody(scenario), ...(signal && { signal }) })
    const body = await response.text()
    for (const line of body.split("\n")) onText(textOf(line))
  }
}

const requestBody = (scenario: string): string => JSON.stringify({ model: scenario, messages, stream: true })

const textOfLine: Readonly<Record<Protocol, (line: string) => string>> = {
  ndjson: (line) => (line === "" ? "" : (JSON.parse(line) as { message: { content: string } }).message.content),
  sse: (line) => {
    if (line === "" || line === "data: [DONE]") return ""
    const event = JSON.parse(line.slice("data: ".length)) as { choices: Array<{ delta: { content?: string } }> }
    return event.choices[0]?.delta.content ?? ""
  }
}
