// The process of one subject: loads it, then does the tasks it is sent.
import { flushCompileCache } from "node:module"
import { measures } from "../measures/index.ts"
import { connectSubject, type SubjectName } from "../subjects/catalogue.ts"
import { collectGarbage } from "./readings.ts"
import type { Order, Outcome } from "./Task.ts"

const [subjectName = "", serverUrl = ""] = process.argv.slice(2)
const subject = await connectSubject(subjectName as SubjectName, serverUrl)

process.on("message", async (order: Order) => {
  process.send?.(await carryOut(order))
})
process.once("disconnect", () => process.exit())
flushCompileCache()
process.send?.("ready")

async function carryOut(order: Order): Promise<Outcome> {
  const task = measures.flatMap(({ tasks }) => tasks).find(({ name }) => name === order.task)
  if (task === undefined) return { failure: `there is no task ${order.task}` }
  // What one round leaves behind must not be cleared away in the next one's time.
  collectGarbage()
  try {
    return { figures: await task.run(subject, order.options as never, serverUrl) }
  } catch (error) {
    return { failure: error instanceof Error ? error.message : String(error) }
  }
}
