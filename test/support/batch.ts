/** The files of batches. */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

/** A folder with this many requests, and a place for their results. */
export const writeRequests = (count: number) => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "batch-"))
  const file = Path.join(folder, "requests.jsonl")
  const lines = Array.from({ length: count }, (_, index) =>
    JSON.stringify({
      custom_id: `r${index}`,
      body: { messages: [{ role: "user", content: `Question ${index}` }], max_tokens: 9 }
    })
  )
  Fs.writeFileSync(file, lines.join("\n"))
  return { file, out: Path.join(folder, "results.jsonl") }
}

/** The ids of the results of a file. */
export const readIds = (path: string): ReadonlyArray<string> =>
  Fs.readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line).custom_id)
