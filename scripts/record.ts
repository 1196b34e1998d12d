// npm run record: draws docs/terminal.svg from a run of the command line against a real llama.cpp server.
import { execFileSync, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Screen from "./recording/screen.ts"
import * as Svg from "./recording/svg.ts"
import * as Terminal from "./recording/terminal.ts"
import { root } from "./support/repository.ts"

const size = { columns: 96, rows: 22 }
const folder = join(root, ".cache/recording")
const python = join(folder, "python/bin/python")
const model = join(folder, "demo.gguf")

const install = (): void => {
  if (spawnSync(python, ["-c", "import gguf, xllamacpp"]).status !== 0) {
    console.log("installing llama.cpp's server …")
    execFileSync("python3", ["-m", "venv", join(folder, "python")])
    // The latter two write model files.
    const packages = ["-r", join(root, "test/real/requirements.txt"), "gguf==0.19.0", "numpy==2.4.6"]
    execFileSync(python, ["-m", "pip", "install", "--only-binary", ":all:", "--quiet", ...packages])
  }
  execFileSync(python, [join(root, "scripts/recording/model.py"), model])
}

const startServer = async () => {
  // Small batches, so that the server reports the progress of the prompt often.
  const settings = { model, model_alias: ["demo"], n_ctx: 4096, n_parallel: 1, n_batch: 64, n_ubatch: 64 }
  const server = spawn(python, [join(root, "test/real/server.py"), JSON.stringify(settings)], {
    stdio: ["pipe", "pipe", "ignore"]
  })
  const [url] = await once(server.stdout.setEncoding("utf8"), "data")
  return { url: String(url).trim(), stop: () => server.kill() }
}

/** The command line of this checkout, by the name that it has where it is installed. */
const linkCommand = (): string => {
  const bin = join(folder, "bin")
  mkdirSync(bin, { recursive: true })
  const script = `#!/bin/sh\nexec "${process.execPath}" "${join(root, "src/cli/main.ts")}" "$@"\n`
  writeFileSync(join(bin, "local-llm"), script, { mode: 0o755 })
  return bin
}

/** What the person does. */
const perform = async ({ type, until }: Terminal.Terminal): Promise<void> => {
  const [ctrlC, ctrlD] = ["\u0003", "\u0004"]
  await until(/\$ /, 800)
  await type('local-llm "Summarize this letter:" < letter.txt\r')
  await until(/tokens\/s[^]*\$ /, 2500)
  await type("local-llm\r")
  await until(/> /, 800)
  await type("Why is the sky blue?\r")
  await until(/tokens\/s[^]*> /, 2000)
  await type("Write a poem about that.\r")
  await until(/across the fields/)
  await type(ctrlC)
  await until(/> /, 1200)
  await type(ctrlD)
  await until(/\$ /, 500)
}

install()
const server = await startServer()
const environment = { HOME: folder, PATH: `${linkCommand()}:${process.env["PATH"]}`, LLAMA_SERVER_URL: server.url }
const terminal = Terminal.open(size, join(root, "scripts/recording"), environment)
try {
  await perform(terminal)
} finally {
  server.stop()
  terminal.close()
}
const title = "local-llm answers a question in a terminal, then holds a conversation, in which Ctrl-C stops an answer"
const svg = Svg.render(await Screen.play(terminal.output, size), { ...size, title })
writeFileSync(join(root, "docs/terminal.svg"), svg)
console.log(`docs/terminal.svg, ${Math.round(Buffer.byteLength(svg) / 1024)} kB`)
