/** Programs of the benchmark, each a process of its own. What they have used is read from `/proc`, so this needs Linux. */
import { type ChildProcess, fork, spawn } from "node:child_process"
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs"
import { type AddressInfo, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

export interface Usage {
  /** Microseconds of the processor, so far. The system counts hundredths of a second. */
  readonly cpu: number
  /** Megabytes. */
  readonly rss: number
}

export interface Program {
  readonly url: string
  readonly usage: () => Usage
  readonly stop: () => void
}

const makeProgram = (url: string, { pid = 0 }: ChildProcess, stop: () => void): Program => ({
  url,
  usage: () => readUsage(pid),
  stop
})

const readUsage = (pid: number): Usage => {
  const [, fields = ""] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")
  const [user, system] = fields.split(" ").slice(11, 13)
  const [, kilobytes] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? []
  return { cpu: (Number(user) + Number(system)) * 10_000, rss: Number(kilobytes) / 1000 }
}

/** Starts a program of this folder. */
export const start = (name: "host" | "proxy", ...parameters: ReadonlyArray<string>): Promise<Program> =>
  new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(new URL(`./${name}.ts`, import.meta.url)), parameters)
    child.once("error", reject)
    child.once("exit", () => reject(new Error(`${name} ${parameters.join(" ")} has ended`)))
    child.once("message", (url) => resolve(makeProgram(String(url), child, () => child.disconnect())))
  })

/** In a program of this folder: says where it listens, and ends with the program that started it. */
export const serve = (url: string): void => {
  process.send?.(url)
  process.once("disconnect", () => process.exit())
}

/** LiteLLM does not start without one. */
export const key = "sk-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/** Starts LiteLLM's proxy, which has to be installed, before a host. */
export const startLiteLlm = async (command: string, baseUrl: string): Promise<Program> => {
  const port = await findPort()
  const config = join(mkdtempSync(join(tmpdir(), "gateway-")), "config.yaml")
  const models = ["m", "embeddings"].map((name) => ({
    model_name: name,
    litellm_params: { model: name === "m" ? "ollama_chat/m" : "ollama/m", api_base: baseUrl }
  }))
  // YAML contains JSON.
  writeFileSync(config, JSON.stringify({ model_list: models, general_settings: { master_key: key } }))
  const child = spawn(command, ["--config", config, "--host", "127.0.0.1", "--port", String(port)], { stdio: "ignore" })
  const url = `http://127.0.0.1:${port}`
  while (!(await isReady(`${url}/health/liveliness`))) {
    if (child.exitCode !== null) throw new Error(`${command} has ended`)
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
  return makeProgram(url, child, () => child.kill())
}

const isReady = (url: string): Promise<boolean> =>
  fetch(url).then(
    ({ ok }) => ok,
    () => false
  )

const findPort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer()
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
