/** An nginx with the lines of `docs/scale.md`. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Process from "./process.ts"

export interface Nginx extends Process.Process {
  readonly url: string
}

const guide = Path.join(import.meta.dirname, "../../docs/scale.md")

/** The lines of the guide, with these ports. */
const linesFor = (port: number, gateways: ReadonlyArray<string>): string => {
  const [, lines = ""] = /```nginx\n([^]*?)```/.exec(Fs.readFileSync(guide, "utf8")) ?? []
  return gateways
    .reduce((text, url, i) => text.replace(`gateway-${i + 1}:11435`, new URL(url).host), lines)
    .replace("listen 80;", `listen 127.0.0.1:${port};`)
}

/** In front of gateways, until the scope ends. */
export const make = Effect.fnUntraced(function* (
  gateways: ReadonlyArray<string>
): Effect.fn.Return<Nginx, never, Scope.Scope> {
  const program = Process.find("nginx")
  const folder = yield* Process.folder
  const port = yield* Process.freePort
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder};`)
  const file = Path.join(folder, "nginx.conf")
  const text = `daemon off;
worker_processes 2;
pid ${folder}/nginx.pid;
error_log stderr notice;
events {}
http {
access_log off;
add_header X-Gateway $upstream_addr always;
${temporary.join("\n")}
${linesFor(port, gateways)}
}
`
  yield* Effect.sync(() => Fs.writeFileSync(file, text))
  const process = yield* Process.make({
    program,
    executable: "nginx",
    args: ["-p", folder, "-c", file],
    isUnprivileged: true,
    ready: "start worker process",
    stop: "SIGTERM"
  })
  return { ...process, url: `http://127.0.0.1:${port}` }
})
