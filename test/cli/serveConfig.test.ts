/** The file of `local-llm serve --config`: each mistake has a line with its place. */
import { describe, expect, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Fs from "node:fs"
import * as GatewayConfig from "../../src/cli/serve/config.ts"
import * as JsonFile from "../../src/cli/jsonFile.ts"

const decode = (config: unknown) =>
  JsonFile.decode(typeof config === "string" ? config : JSON.stringify(config), GatewayConfig.Config)

const hosts = [{ url: "http://gpu-1:11434" }]

const everything = {
  $schema: "./node_modules/effect-local-llm/src/gateway.schema.json",
  hosts: [
    { url: "gpu-1" },
    { url: "http://desk:1234", kind: "lmstudio", name: "desk", permits: 1, oneModelAtATime: false },
    { url: "https://models.example/v1", kind: "openai", tokenVariable: "MODELS_TOKEN" }
  ],
  aliases: { "gpt-4o-mini": "llama3.2" },
  listen: "0.0.0.0:11435",
  keys: "keys.json",
  permits: 8,
  maxWaiting: 0,
  firstChunkTimeout: "10m",
  idleTimeout: "never",
  stopTimeout: "1.5h",
  hostnames: ["gateway.lan"],
  origins: ["http://localhost:3000"]
}

/** The mistakes, each with the text of the file. */
const rows: ReadonlyArray<[config: unknown, mistakes: ReadonlyArray<string>]> = [
  ["", [":1:1: Expected JSON"]],
  ['{\n  "hosts": [,]\n}', [":2:13: Expected JSON"]],
  [[], [": Expected object"]],
  [{}, [": hosts: Expected this field"]],
  [{ hosts: [] }, [": hosts: Expected at least one host"]],
  [{ hosts: ["http://gpu-1"] }, [": hosts[0]: Expected object"]],
  [{ hosts, host: 1, "we ird": 1 }, [": host: unknown field", ': ["we ird"]: unknown field']],
  [
    { hosts: [{ url: "http://a", adress: 1 }, {}] },
    [": hosts[0].adress: unknown field", ": hosts[1].url: Expected this field"]
  ],
  [{ hosts: [{ url: "ftp://a" }] }, [": hosts[0].url: Expected an http or https address"]],
  [
    { hosts: [{ url: "http://user:secret@a" }] },
    [": hosts[0].url: Expected no user name or password; tokenVariable names the variable of a token"]
  ],
  [
    { hosts: [{ url: "http://a", kind: "vllm" }] },
    [': hosts[0].kind: Expected "ollama" | "llama-server" | "lmstudio" | "openai"']
  ],
  [{ hosts: [{ url: "http://a", permits: 0 }] }, [": hosts[0].permits: Expected a whole number, 1 or more"]],
  [
    { hosts: [{ url: "http://a", tokenVariable: "sk-secret" }] },
    [": hosts[0].tokenVariable: Expected the name of an environment variable, not its value"]
  ],
  [{ hosts: [...hosts, ...hosts] }, [": hosts[1]: Expected another name or address than that of hosts[0]"]],
  [
    { hosts: [{ url: "http://a" }, { url: "http://a/" }] },
    [": hosts[1]: Expected another name or address than that of hosts[0]"]
  ],
  [{ hosts, aliases: { a: 1 } }, [": aliases.a: Expected string"]],
  [{ hosts, aliases: ["a"] }, [": aliases: Expected object"]],
  [
    { hosts, firstChunkTimeout: "5 minutes" },
    [": firstChunkTimeout: Expected a time such as 90s, 10m or 2h, or never"]
  ],
  [{ hosts, origins: ["localhost"] }, [": origins[0]: Expected an origin such as http://localhost:3000"]],
  [
    { hosts, permits: "4", maxWaiting: -1 },
    [": permits: Expected number", ": maxWaiting: Expected a whole number, 0 or more"]
  ]
]

describe("a configuration", () => {
  it("can have every field", () => {
    expect(decode(everything)).toEqual(Result.succeed(everything))
  })

  it.each(rows)("%j has its mistakes with their places", (config, mistakes) => {
    expect(decode(config)).toEqual(Result.fail(mistakes))
  })

  it("quotes no value of the file in a mistake", () => {
    for (const [config] of rows) expect(JSON.stringify(decode(config))).not.toMatch(/secret/)
  })

  it("has a JSON Schema for editors, which scripts/schemas.ts writes", () => {
    const written: unknown = JSON.parse(Fs.readFileSync("src/gateway.schema.json", "utf8"))
    expect(written).toEqual(GatewayConfig.jsonSchema())
  })

  it("has a description of each field in the JSON Schema", () => {
    JSON.parse(JSON.stringify(GatewayConfig.jsonSchema()), (key, value: { readonly [key: string]: unknown }) => {
      if (key !== "properties") return value
      for (const schema of Object.values(value)) expect(schema).toHaveProperty("description")
      return value
    })
  })
})
