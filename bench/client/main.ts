// The process of one subject: connects it, then runs the tasks that the benchmark sends.
import { flushCompileCache } from "node:module"
import { measures } from "../measures/all.ts"
import { connectSubject, type SubjectName } from "../subjects/catalogue.ts"
import type { Outcome, TaskRequest } from "./Client.ts"

const [subjectName = "", serverUrl = ""] = process.argv.slice(2)
const subject = await connectSubject(subjectName as SubjectName, serverUrl)

process.on("message", async (request: TaskRequest) => {
  process.send?.(await run(request))
})
process.once("disconnect", () => process.exit())
flushCompileCache()
process.send?.("ready")

async function run({ measure, options }: TaskRequest): Promise<Outcome> {
  const task = measures.find(({ name }) => name === measure)?.task
  if (task === undefined) return { failure: `the measure ${measure} has no task` }
  // The garbage of one round must not be collected during the next one.
  globalThis.gc?.()
  try {
    return { figures: await task(subject, options as never, serverUrl) }
  } catch (error) {
    return { failure: error instanceof Error ? error.message : String(error) }
  }
}
