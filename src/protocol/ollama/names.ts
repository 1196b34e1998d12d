/** How Ollama reads the name of a model. Facts: Ollama's `types/model/name.go`. */

/** Whether two names mean the same model: what a name leaves out is filled in, and case does not count. */
export const isSame = (a: string, b: string): boolean => a === b || complete(a) === complete(b)

/** `host/namespace/model:tag`, of which a name may have the end alone. */
const complete = (name: string): string => {
  const address = name.toLowerCase().replace(/^[a-z]+:\/\//, "")
  const [, path = "", tag = ""] = /^(.*?)(?::([^:/]*))?$/s.exec(address) ?? []
  const [model = "", namespace = "", ...host] = path.split("/").toReversed()
  return `${host.toReversed().join("/") || "registry.ollama.ai"}/${namespace || "library"}/${model}:${tag || "latest"}`
}
