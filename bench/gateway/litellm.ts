/** LiteLLM's proxy, if it is installed. */
import { execFileSync, spawn } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { usageOf, type Program } from "../process.ts"
import { key, listedModels } from "../server/scenarios.ts"

/** It prints "LiteLLM: Current Version = 1.2.3". */
export const versionOf = (command: string): string =>
  `LiteLLM ${execFileSync(command, ["--version"]).toString().split("= ")[1]?.trim()}`

/** Starts it before an Ollama. */
export async function startLiteLlm(command: string, baseUrl: string): Promise<Omit<Program, "ask">> {
  // It does not say which port it has.
  const port = String(20_000 + Math.floor(20_000 * Math.random()))
  const url = `http://127.0.0.1:${port}`
  const folder = join(import.meta.dirname, "../results")
  const config = join(folder, "litellm.yaml")
  const models = listedModels.map((name) => ({
    model_name: name,
    litellm_params: { model: `ollama_chat/${name}`, api_base: baseUrl }
  }))
  const embeddings = { model_name: "embeddings", litellm_params: { model: "ollama/embeddings", api_base: baseUrl } }
  mkdirSync(folder, { recursive: true })
  // YAML contains JSON.
  writeFileSync(config, JSON.stringify({ model_list: [...models, embeddings], general_settings: { master_key: key } }))
  const flags = ["--config", config, "--host", "127.0.0.1", "--port", port, "--keepalive_timeout", "600"]
  // Otherwise it fetches a list of prices when it starts.
  const env = { ...process.env, LITELLM_LOCAL_MODEL_COST_MAP: "True" }
  const child = spawn(command, flags, { stdio: "ignore", env })
  const stop = () => void child.kill("SIGKILL")
  process.once("exit", stop)
  const isReady = () =>
    fetch(`${url}/health/liveliness`).then(
      ({ ok }) => ok,
      () => false
    )
  // It imports for half a minute, and much longer on a busy machine.
  const giveUpAt = performance.now() + 900_000
  while (!(await isReady())) {
    if (child.exitCode !== null) throw new Error(`${command} has ended`)
    if (performance.now() > giveUpAt) throw new Error(`${command} does not answer`)
    await sleep(500)
  }
  return { ready: url, usage: () => usageOf(child.pid), stop }
}
