/** Parts of `effect/ai` as tests read them: the rules of their order, and what they say together. */
import type * as Response from "effect/ai/Response"

type Part = Response.StreamPart<{}> | { readonly type: string; readonly [field: string]: unknown }

export interface Read {
  readonly text: string
  readonly reasoning: string
  readonly calls: ReadonlyArray<{ readonly id: unknown; readonly name: unknown; readonly params: unknown }>
  /** The arguments of each call as they were streamed, by id. */
  readonly streamed: ReadonlyMap<string, string>
  readonly finish: string | undefined
  readonly parts: ReadonlyArray<string>
}

/** Reads the parts of one answer, and throws if one breaks a rule. */
export const read = (parts: ReadonlyArray<object>): Read => {
  const open = new Map<string, string>()
  const used = new Set<string>()
  const streamed = new Map<string, string>()
  const calls: Array<Read["calls"][number]> = []
  const texts = { text: "", reasoning: "" }
  let finish: string | undefined
  const rule = (holds: boolean, name: string) => {
    if (!holds) throw new Error(name)
  }
  for (const part of parts as ReadonlyArray<Part>) {
    rule(finish === undefined, "nothing follows the finish part")
    const [kind = "", step] = part.type.split(/-(?=start|delta|end)/)
    if (step !== undefined && "id" in part) {
      const id = String(part.id)
      const key = `${kind} ${id}`
      if (step === "start") {
        rule(!used.has(key), "an id starts once")
        if (kind !== "tool-params")
          rule(![...open.values()].some((other) => other !== "tool-params"), "one text at a time")
        used.add(key)
        open.set(key, kind)
        if (kind === "tool-params") {
          rule("name" in part && part.name !== "", "a call has a name from its start on")
          streamed.set(id, "")
        }
      } else {
        rule(open.has(key), `a ${step} follows its start`)
        if (step === "end") open.delete(key)
        else if ("delta" in part) {
          rule(part.delta !== "", "no delta is empty")
          if (kind === "tool-params") streamed.set(id, streamed.get(id) + String(part.delta))
          else if (kind === "text" || kind === "reasoning") texts[kind] += String(part.delta)
        }
      }
    }
    if (part.type === "tool-call" && "params" in part) {
      rule(!calls.some(({ id }) => id === part.id), "each call has an id of its own")
      rule(!open.has(`tool-params ${String(part.id)}`), "a call follows the end of its arguments")
      calls.push({ id: part.id, name: part.name, params: part.params })
    }
    if (part.type === "finish" && "reason" in part) {
      rule(open.size === 0, "every start has its end before the finish part")
      finish = String(part.reason)
    }
  }
  return { ...texts, calls, streamed, finish, parts: parts.map((part) => ("type" in part ? String(part.type) : "")) }
}
