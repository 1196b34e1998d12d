#!/usr/bin/env node
/** The door of the command line: `@effect/platform-node` is an optional peer of the package, so it may be missing. */
try {
  await import("./program.ts")
} catch (error) {
  const isMissing = error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND"
  if (!isMissing || !error.message.includes("@effect/platform-node")) throw error
  process.stderr.write("local-llm: it needs one package more: npm install @effect/platform-node\n")
  process.exitCode = 1
}
