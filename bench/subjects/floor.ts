// The least that can be done with node:http and nothing else. It checks nothing, bounds nothing and notices no cut
// answer: no client to use, but the line below which none can come.
import { Agent, request } from "node:http"
import { wires } from "../server/wire.ts"
import { requestBody, textOfLine } from "./lines.ts"
import type { Connect } from "./Subject.ts"

export const connect: Connect = async (serverUrl, protocol) => {
  const agent = new Agent({ keepAlive: true })
  const url = serverUrl + wires[protocol].path
  const textOf = textOfLine[protocol]
  return {
    protocol,
    read: (scenario, onText, signal) =>
      new Promise((resolve, reject) => {
        const sent = request(url, { method: "POST", agent, ...(signal && { signal }) }, (response) => {
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
}
