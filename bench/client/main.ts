// The process of one subject: connects it, then runs the tasks of the measures.
import { flushCompileCache } from "node:module"
import { measureNamed } from "../measures/all.ts"
import { serve } from "../process.ts"
import { connectSubject, type SubjectName } from "../subjects/catalogue.ts"

const [subjectName = "", serverUrl = ""] = process.argv.slice(2)
const subject = await connectSubject(subjectName as SubjectName, serverUrl)
flushCompileCache()

serve("connected", async ({ measure, load }: { readonly measure: string; readonly load: never }) => {
  // The garbage of one round must not be collected during the next one.
  globalThis.gc?.()
  return measureNamed(measure).task?.(subject, load, serverUrl)
})
