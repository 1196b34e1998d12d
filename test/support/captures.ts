/** Answers recorded from real servers: `test/fixtures/captures/README.md` says which and how. */
import * as Fs from "node:fs"

export interface Capture {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: Uint8Array<ArrayBuffer>
}

const folder = new URL("../fixtures/captures/", import.meta.url)

/** All of them, as `folder/name`. */
export const names: ReadonlyArray<string> = Fs.readdirSync(folder, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".http"))
  .map((file) => file.slice(0, -".http".length))
  .toSorted()

export const read = (name: string): Capture => {
  const file = Fs.readFileSync(new URL(`${name}.http`, folder))
  const [head = ""] = /^[^]*?\r?\n\r?\n/.exec(file.toString("latin1")) ?? []
  const [statusLine = "", ...fields] = head.trim().split(/\r?\n/)
  return {
    status: Number(statusLine.split(" ")[1]),
    headers: Object.fromEntries(
      fields.map((field) => {
        const colon = field.indexOf(":")
        return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()]
      })
    ),
    body: new Uint8Array(file.subarray(head.length))
  }
}
