// Writes the JSON Schemas of the files of settings, which editors use.
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as GatewayConfig from "../src/cli/serve/config.ts"
import * as Settings from "../src/cli/settings.ts"
import { root } from "./support/repository.ts"

const schemas = { gateway: GatewayConfig.jsonSchema(), settings: Settings.jsonSchema() }

for (const [name, schema] of Object.entries(schemas)) {
  writeFileSync(join(root, `src/${name}.schema.json`), `${JSON.stringify(schema, null, 2)}\n`)
}
