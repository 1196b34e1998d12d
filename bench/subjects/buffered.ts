// The way this project replaces: wait for the whole body, then take it apart.
import { wires } from "../server/wire.ts"
import { requestBody, textOfLine } from "./lines.ts"
import { type Connect } from "./Subject.ts"

export const connect: Connect = async (serverUrl, protocol) => {
  const url = serverUrl + wires[protocol].path
  const textOf = textOfLine[protocol]
  return {
    protocol,
    read: async (scenario, onText, signal) => {
      const response = await fetch(url, { method: "POST", body: requestBody(scenario), ...(signal && { signal }) })
      const body = await response.text()
      for (const line of body.split("\n")) onText(textOf(line))
    }
  }
}
