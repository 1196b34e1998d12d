#!/usr/bin/env node
/** The entry point. `effect` and `@effect/platform-node` are peers of the package, so they may be missing. */
import * as Module from "node:module"

// The next start need not compile the modules again. Deno has no such cache.
Module.enableCompileCache?.()

// Node.js prefers FORCE_COLOR, and warns on standard error that it ignores NO_COLOR.
if (process.env["NO_COLOR"]) delete process.env["FORCE_COLOR"]

try {
  await import("./program.ts")
} catch (error) {
  const isMissing = error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND"
  // The words of Node, Bun and Deno, and those of Yarn's Plug'n'Play.
  const words = /(?:package '|tried to access )(@effect\/platform-node|effect)[' ]/
  const missing = isMissing ? words.exec(error.message)?.[1] : undefined
  if (missing === undefined) throw error
  process.stderr.write(
    `local-llm: the package ${missing} is missing. ` +
      `In a project, run "npm install ${missing}". ` +
      `For a global installation, run "npm install -g ${missing}". ` +
      'With npx, run "npx -p effect-local-llm -p @effect/platform-node local-llm".\n'
  )
  process.exitCode = 1
}
