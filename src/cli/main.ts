#!/usr/bin/env node
/** The entry point. `@effect/platform-node` is an optional peer of the package, so it may be missing. */
import * as Module from "node:module"

// The next start need not compile the modules again.
Module.enableCompileCache()

try {
  await import("./program.ts")
} catch (error) {
  const isMissing = error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND"
  if (!isMissing || !error.message.includes("@effect/platform-node")) throw error
  process.stderr.write(
    "local-llm: the package @effect/platform-node is missing. " +
      'In a project, run "npm install @effect/platform-node". ' +
      'For a global installation, run "npm install -g @effect/platform-node". ' +
      'With npx, run "npx -p effect-local-llm -p @effect/platform-node local-llm".\n'
  )
  process.exitCode = 1
}
