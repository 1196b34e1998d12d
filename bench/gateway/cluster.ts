/** `local-llm serve` with two hosts, alone and with a cluster of two runners and a PostgreSQL. */
import { execFileSync } from "node:child_process"
import { once } from "node:events"
import { chownSync, mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { findProgram, type Program as Found } from "../../test/cluster/setup.ts"
import { launch, type Program, urlOf } from "../process.ts"

export type Running = Omit<Program, "ask">

export interface Cluster {
  readonly alone: ReadonlyArray<Running>
  readonly gateways: ReadonlyArray<Running>
  readonly runners: ReadonlyArray<Running>
  readonly stop: () => void
}

export const findPostgres = (): Found | undefined => findProgram("postgres")

/** Two gateways of each kind. */
export async function startCluster(postgres: Found, hosts: ReadonlyArray<string>): Promise<Cluster> {
  const database = await startPostgres(postgres)
  const runners = await Promise.all(
    hosts.map(async (host) => {
      const listen = `127.0.0.1:${await freePort()}`
      return command(/joins the cluster/, "join", "--cluster", database.url, "--host", host, "--listen", listen)
    })
  )
  const serve = (...parameters: ReadonlyArray<string>) =>
    command(/OLLAMA_HOST=(\S+)/, "serve", "--no-keys", "--listen", "127.0.0.1:0", ...parameters)
  const gateways = await Promise.all(hosts.map(() => serve("--cluster", database.url)))
  const alone = await Promise.all(hosts.map(() => serve(...hosts.flatMap((host) => ["--host", host]), ...permits)))
  const stop = () => {
    for (const program of [...alone, ...gateways, ...runners]) program.stop()
    database.stop()
  }
  return { alone, gateways, runners, stop }
}

const permits = ["--permits", "1000"]
const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))

const command = (ready: RegExp, name: string, ...parameters: ReadonlyArray<string>): Promise<Running> =>
  launch(process.execPath, [main, name, ...parameters, ...(name === "join" ? permits : [])], ready)

async function startPostgres({ folder: programs, libraries }: Found): Promise<{ url: string; stop: () => void }> {
  const folder = mkdtempSync(join(tmpdir(), "local-llm-bench-"))
  // PostgreSQL does not run as root.
  const nobody = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : undefined
  if (nobody !== undefined) chownSync(folder, nobody.uid, nobody.gid)
  const options = { ...nobody, cwd: folder, env: { LC_ALL: "C", LD_LIBRARY_PATH: libraries } }
  const data = join(folder, "data")
  const initial = ["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
  execFileSync(join(programs, "initdb"), initial, { ...options, stdio: "ignore" })
  const port = await freePort()
  const parameters = ["-D", data, "-h", "127.0.0.1", "-p", String(port), "-k", folder, "-F"]
  const server = await launch(join(programs, "postgres"), parameters, /ready to accept/, {
    ...options,
    killSignal: "SIGQUIT"
  })
  const stop = () => {
    server.stop()
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  }
  return { url: `postgres://postgres@127.0.0.1:${port}/postgres`, stop }
}

async function freePort(): Promise<string> {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = new URL(urlOf(server.address()))
  server.close()
  return port
}
