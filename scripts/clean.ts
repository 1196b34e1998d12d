// Removes what the build made, so that no file of an earlier build stays.
import { rmSync } from "node:fs"
import { join } from "node:path"
import { root } from "./support/repository.ts"

rmSync(join(root, "dist"), { recursive: true, force: true })
