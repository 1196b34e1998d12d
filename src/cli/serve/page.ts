/** The status page. It is one file without anything from elsewhere. Texts of servers are never read as HTML. */
import { createHash } from "node:crypto"

const style = `
:root { color-scheme: light dark; --line: #8884; --dim: #888; --bad: #d33; --good: #2a7; --wait: #c80 }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem }
h1 { font-size: 1.3rem; margin: 0 }
h2 { font-size: 1rem; margin: 2rem 0 .5rem }
header { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; align-items: baseline }
#notice { color: var(--wait) }
dl { display: flex; gap: 2rem; margin: 1rem 0 }
dt { color: var(--dim); font-size: .85rem }
dd { font-size: 1.5rem; margin: 0; font-variant-numeric: tabular-nums }
table { border-collapse: collapse; width: 100% }
th { color: var(--dim); font-size: .85rem; font-weight: normal; text-align: left }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .75rem .35rem 0; vertical-align: top; overflow-wrap: anywhere }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap }
.ready { color: var(--good) } .off, .missing { color: var(--bad) } .draining { color: var(--wait) }
.dim { color: var(--dim) }
form { display: flex; gap: .5rem; margin: 2rem 0 }
input { flex: 1; font: inherit; max-width: 32rem }
button { font: inherit }
`

const script = `
"use strict"
const byId = (id) => document.getElementById(id)
const cell = (text, className = "") => Object.assign(document.createElement("td"), { textContent: text, className })
const row = (...cells) => { const tr = document.createElement("tr"); tr.append(...cells); return tr }
const size = (bytes) => bytes === undefined ? "" : " (" + (bytes / 1e9).toFixed(1) + " GB)"
const span = (s) => s < 60 ? s + " s" : s < 3600 ? Math.floor(s / 60) + " min" : Math.floor(s / 3600) + " h " + Math.floor(s / 60) % 60 + " min"
const rate = (n) => n < 10 ? n.toFixed(1) : String(Math.round(n))

const show = ({ at, failures, hosts, isDemonstration, upSeconds, waiting }) => {
  byId("state").hidden = false
  byId("access").hidden = true
  byId("up").textContent = "up " + span(upSeconds)
  byId("notice").textContent = isDemonstration ? "A demonstration: the answers come from the built-in FAKE server, not from a model." : ""
  byId("active").textContent = hosts.reduce((sum, { active }) => sum + active, 0)
  byId("waiting").textContent = waiting
  byId("speed").textContent = rate(hosts.reduce((sum, { tokensPerSecond }) => sum + tokensPerSecond, 0))
  byId("hosts").replaceChildren(...hosts.map(({ active, kind = "", models, name, permits, status, tokensPerSecond }) => row(
    cell(name), cell(kind, "dim"), cell(status, status), cell(active + " of " + permits, "number"), cell(rate(tokensPerSecond), "number"),
    models === undefined ? cell("not known", "dim") : cell(models.map(({ id, memoryBytes }) => id + size(memoryBytes)).join(", "))
  )))
  byId("failed").hidden = failures.length === 0
  byId("failures").replaceChildren(...failures.map((failure) => row(
    cell(span(Math.max(0, Math.round((at - failure.at) / 1000))) + " ago", "number"), cell(failure.host), cell(failure.model), cell(failure.message)
  )))
}

const refuse = (message) => {
  byId("state").hidden = true
  byId("access").hidden = false
  byId("refusal").textContent = message
}

const watch = async () => {
  const key = sessionStorage.getItem("key")
  const authorization = key === null ? {} : { authorization: "Bearer " + key }
  const response = await fetch("status", { headers: { accept: "text/event-stream", ...authorization }, cache: "no-store" })
  if (response.status === 401 || response.status === 403) {
    const { error } = await response.json()
    return refuse(error.message)
  }
  if (!response.ok) throw new Error("status " + response.status)
  byId("connection").textContent = ""
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  for (let rest = ""; ;) {
    const { done, value } = await reader.read()
    if (done) throw new Error("the connection ended")
    const events = (rest + value).split("\\n\\n")
    rest = events.pop()
    for (const event of events) if (event.startsWith("data: ")) show(JSON.parse(event.slice(6)))
  }
}

const follow = () => watch().catch(() => {
  byId("connection").textContent = "The gateway does not answer. Trying again."
  setTimeout(follow, 2000)
})

byId("access").addEventListener("submit", (event) => {
  event.preventDefault()
  sessionStorage.setItem("key", byId("key").value.trim())
  byId("key").value = ""
  follow()
})
follow()
`

const body = `
<header><h1>local-llm gateway</h1><span class="dim" id="up"></span><span id="notice"></span><span class="off" id="connection" role="status"></span></header>
<form id="access" hidden><label for="key" id="refusal"></label><input id="key" type="password" autocomplete="off" required><button>Show</button></form>
<main id="state" hidden>
<dl>
<div><dt>requests that are answered</dt><dd id="active"></dd></div>
<div><dt>requests that wait</dt><dd id="waiting"></dd></div>
<div><dt>tokens a second</dt><dd id="speed"></dd></div>
</dl>
<h2>Hosts</h2>
<table><thead><tr><th>host<th>kind<th>state<th>answers<th>tokens a second<th>models in memory</thead><tbody id="hosts"></tbody></table>
<div id="failed" hidden>
<h2>Last failures</h2>
<table><thead><tr><th>when<th>host<th>model<th>what happened</thead><tbody id="failures"></tbody></table>
</div>
</main>
<noscript>This page needs JavaScript. "local-llm top" shows the same in a terminal.</noscript>
`

/** The whole page. */
export const html = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>local-llm gateway</title>
<link rel="icon" href="data:,">
<style>${style}</style>
${body}
<script>${script}</script>
</html>
`

const hashOf = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`

/** The page may run its own script and read from its own server, and nothing else. */
export const headers: Readonly<Record<string, string>> = {
  "content-security-policy": [
    "default-src 'none'",
    `script-src ${hashOf(script)}`,
    `style-src ${hashOf(style)}`,
    "img-src data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'"
  ].join("; "),
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "cache-control": "no-store",
  vary: "accept"
}
