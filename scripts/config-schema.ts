// Writes the JSON Schema of the file of `local-llm serve --config`, which editors use.
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as GatewayConfig from "../src/cli/serve/config.ts"
import { root } from "./support/repository.ts"

writeFileSync(join(root, "src/gateway.schema.json"), `${JSON.stringify(GatewayConfig.jsonSchema(), null, 2)}\n`)
