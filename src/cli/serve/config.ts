/** The file of `local-llm serve --config`. */
import * as Schema from "effect/Schema"
import * as Kinds from "../../servers/kinds.ts"
import * as JsonFile from "../jsonFile.ts"
import { $schema, address, count, filter, optional, text, time } from "../jsonFile.ts"

const variable = Schema.String.check(
  Schema.isPattern(/^[A-Za-z_]\w*$/u, { message: "Expected the name of an environment variable, not its value" })
)

const url = address("tokenVariable names the variable of a token")

const origin = Schema.String.check(
  filter((value) =>
    URL.parse(value)?.origin === value ? undefined : "Expected an origin such as http://localhost:3000"
  )
)

const Host = Schema.Struct({
  url: url.pipe(Schema.annotateKey({ description: "Its address, such as http://gpu-1:11434" })),
  kind: optional(
    Schema.Literals(Kinds.kinds),
    "The kind of server. Default: it is recognised. A server such as vLLM needs `openai`"
  ),
  name: optional(text, "Its name in errors and on the status page. Default: its address"),
  permits: optional(count(1), "How many requests it answers at the same time. Default: that of all hosts"),
  oneModelAtATime: optional(
    Schema.Boolean,
    "Whether requests for another model wait until those for the first have ended. Default: true for LM Studio"
  ),
  tokenVariable: optional(variable, "The environment variable with its token. Default: that of its kind")
})

/** A server, as a file describes it. */
export interface Host extends Schema.Schema.Type<typeof Host> {}

/** The name of a host, which is unique. The same address twice would double its permits. */
export const nameOf = ({ name, url }: Host): string => name ?? url.trim().replace(/\/+$/, "")

const findTwins = (hosts: ReadonlyArray<Host>) => {
  const names = hosts.map(nameOf)
  return names.flatMap((name, i) => {
    const first = names.indexOf(name)
    return first === i ? [] : [{ path: [i], issue: `Expected another name or address than that of hosts[${first}]` }]
  })
}

const fields = {
  $schema,
  hosts: Schema.Array(Host)
    .check(Schema.isMinLength(1, { message: "Expected at least one host" }), filter(findTwins))
    .pipe(Schema.annotateKey({ description: "The servers" })),
  aliases: optional(
    Schema.Record(text, text),
    'Further names of models, such as { "gpt-4o-mini": "llama3.2" }, for tools with fixed names'
  ),
  listen: optional(text, "The address to listen on: HOST, HOST:PORT or PORT. Default: 127.0.0.1:11435"),
  keys: optional(text, "The file of the keys, as `local-llm keys` writes it. Default: that of `local-llm keys`"),
  permits: optional(count(1), "How many requests each host answers at the same time. Default: 4"),
  gateways: optional(
    count(1),
    "How many gateways have these hosts. Each takes its part of their permits, and one at least. Default: 1"
  ),
  redis: optional(
    text,
    "A Redis for what several gateways share, such as redis://cache:6379. REDISCLI_AUTH is the variable of its password"
  ),
  maxWaiting: optional(count(0), "How many requests may wait for a host. Default: 100"),
  firstChunkTimeout: optional(time, "How long the first text may take. Default: 5m"),
  idleTimeout: optional(time, "How long nothing may arrive after it. Default: 2m"),
  stopTimeout: optional(time, "How long running answers may take to end after SIGTERM. Default: 60s"),
  hostnames: optional(Schema.Array(text), "Further names by which clients reach the gateway: their Host header"),
  origins: optional(Schema.Array(origin), "The pages that may use it (CORS). Default: none")
}

/** Everything but the hosts has a default. */
export const Config = Schema.Struct(fields)

export interface Config extends Schema.Schema.Type<typeof Config> {}

/** What editors check a file against. */
export const jsonSchema = (): object => JsonFile.toJsonSchema(Config, "The configuration of local-llm serve")
