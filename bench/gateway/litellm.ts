/** LiteLLM's proxy, if it is installed. */
import { execFileSync, spawn } from "node:child_process"
import { mkdtempSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { urlOf, usageOf, type Program } from "../process.ts"
import { key, listedModels } from "../server/scenarios.ts"

/** It prints "LiteLLM: Current Version = 1.2.3". */
export const versionOf = (command: string): string =>
  `LiteLLM ${execFileSync(command, ["--version"]).toString().split("= ")[1]?.trim()}`

/** Starts it before an Ollama. */
export async function startLiteLlm(command: string, baseUrl: string): Promise<Omit<Program, "ask">> {
  const url = await findUrl()
  const config = join(mkdtempSync(join(tmpdir(), "litellm-")), "config.yaml")
  const models = listedModels.map((name) => ({
    model_name: name,
    litellm_params: { model: `ollama_chat/${name}`, api_base: baseUrl }
  }))
  const embeddings = { model_name: "embeddings", litellm_params: { model: "ollama/embeddings", api_base: baseUrl } }
  // YAML contains JSON.
  writeFileSync(config, JSON.stringify({ model_list: [...models, embeddings], general_settings: { master_key: key } }))
  const { hostname, port } = new URL(url)
  const flags = ["--config", config, "--host", hostname, "--port", port, "--keepalive_timeout", "600"]
  const child = spawn(command, flags, { stdio: "ignore" })
  const isReady = () =>
    fetch(`${url}/health/liveliness`).then(
      ({ ok }) => ok,
      () => false
    )
  while (!(await isReady())) {
    if (child.exitCode !== null) throw new Error(`${command} has ended`)
    await sleep(500)
  }
  return { ready: url, usage: () => usageOf(child.pid), stop: () => void child.kill("SIGKILL") }
}

const findUrl = (): Promise<string> =>
  new Promise((resolve) => {
    const server = createServer()
    server.listen(0, "127.0.0.1", () => {
      const url = urlOf(server.address())
      server.close(() => resolve(url))
    })
  })
